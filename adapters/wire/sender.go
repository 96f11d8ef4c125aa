package wire

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/pbxauth/pbx"
)

// sendOnce sends the requests of all Clients. Each goes to the transport of its
// own Client.
var sendOnce = &retryablehttp.Client{
	HTTPClient:   &http.Client{Transport: direct{}},
	RetryMax:     2,
	RetryWaitMin: 250 * time.Millisecond,
	RetryWaitMax: 2 * time.Second,
	CheckRetry:   checkRetry,
	Backoff:      backoff,
	ErrorHandler: retryablehttp.PassthroughErrorHandler,
}

// senderFor finds or makes what sends for cfg.
func senderFor(cfg pbx.Config) (*sender, error) {
	switch {
	case cfg.Transport == nil:
		return shared(cfg.TLS)
	case isNil(cfg.Transport):
		return nil, wrong("Transport", "Transport is a nil pointer or func in an interface: leave it out, or set one that exists")
	case cfg.TLS != pbx.TLS{}:
		return nil, wrong("TLS", "TLS and Transport are both set: the Transport decides about TLS, so set it there")
	}
	return &sender{custom: cfg.Transport}, nil
}

// isNil reports whether an interface holds nothing that could send.
func isNil(transport http.RoundTripper) bool {
	v := reflect.ValueOf(transport)
	return (v.Kind() == reflect.Pointer || v.Kind() == reflect.Func) && v.IsNil()
}

// direct takes a request to the PBX and nowhere else. http.Client gets to see
// neither a Location, which it would follow, or quote where it cannot read it,
// nor CloseIdleConnections, which retryablehttp calls after every failure: it
// would close the idle connections of all other PBXs.
type direct struct{}

func (direct) RoundTrip(r *http.Request) (*http.Response, error) {
	p := r.Context().Value(passageKey{}).(*passage)
	resp, err := p.client.sender.once().RoundTrip(r)
	if err == nil && resp != nil && resp.StatusCode/100 == 3 {
		p.location = resp.Header.Get("Location")
		resp.Header.Del("Location")
	}
	return resp, err
}

// checkRetry replaces retryablehttp's policy, which sends a POST again after a
// 500, a 429 or a lost response: here nothing is sent again that may have arrived.
func checkRetry(ctx context.Context, _ *http.Response, err error) (bool, error) {
	if err == nil {
		return false, nil
	}
	p := ctx.Value(passageKey{}).(*passage)
	if _, faulty := p.client.misconfiguration(err); faulty || p.maySent() || ctx.Err() != nil {
		return false, nil
	}
	p.client.log.Debug().Str("driver", p.client.driver).Str("host", p.client.host()).Msg("not connected, trying again")
	return true, nil
}

// backoff doubles. It does not read the response: there is none.
func backoff(least, most time.Duration, attempt int, _ *http.Response) time.Duration {
	return min(least<<attempt, most)
}
