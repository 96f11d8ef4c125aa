package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// pingRequest makes [Harness].Call of the request that the driver's Ping sends:
// it is caught before it leaves, and its token is taken out. A driver that is no
// [pbx.Requester] needs no such request, and gets none.
func (h Harness) pingRequest() (call func(base string) *http.Request, err error) {
	opened := false
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v%s", v, panicPlace())
		}
		switch {
		case err != nil && !opened:
			err = fmt.Errorf("opening the driver: %w", err)
		case err != nil:
			err = fmt.Errorf("set Call, since it cannot be derived from the driver's Ping: %w", err)
		}
	}()
	const base = "https://pbx.example.com"
	var caught catcher
	auth, err := h.open(h.converted(pbx.Config{
		URL: base, Username: account, Password: pbx.NewSecret(password), Options: h.Options, Transport: &caught,
	}))
	if err != nil {
		return nil, err
	}
	opened = true
	if _, ok := pbx.As[pbx.Requester](auth); !ok {
		return nil, nil
	}
	pinger, ok := pbx.As[pbx.Pinger](auth)
	if !ok {
		return nil, errors.New("the driver does not implement pbx.Pinger")
	}
	token := h.Simulator(&pbxsim.Options{}).Dialect().NewToken()
	now := time.Now()
	pinger.Ping(context.Background(), &pbx.Token{Value: pbx.NewSecret(token), IssuedAt: now, ExpiresAt: now.Add(time.Hour)})
	return caught.without(token)
}

// catcher keeps the requests that it is given, and sends none.
type catcher struct {
	mu       sync.Mutex // guards requests
	requests []caughtRequest
}

type caughtRequest struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

func (c *catcher) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, caughtRequest{r.Method, r.URL, r.Header.Clone(), body})
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Status: "503 Service Unavailable",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// without returns the caught request that carries token, without it.
func (c *catcher) without(token string) (func(base string) *http.Request, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.requests {
		query, inQuery := withoutValues(r.url.Query(), token)
		header, inHeader := withoutToken(r.header, token)
		body, inBody := r.body, false
		var fields any
		switch {
		case json.Unmarshal(r.body, &fields) == nil:
			if inBody = cut(fields, token); inBody {
				body, _ = json.Marshal(fields) // it was JSON before
			}
		case strings.HasPrefix(r.header.Get("Content-Type"), "application/x-www-form-urlencoded"):
			if form, err := url.ParseQuery(string(r.body)); err == nil {
				if form, inBody = withoutValues(form, token); inBody {
					body = []byte(form.Encode())
				}
			}
		}
		if !inQuery && !inHeader && !inBody {
			continue
		}
		return func(base string) *http.Request {
			target := base + r.url.EscapedPath()
			if len(query) > 0 {
				target += "?" + query.Encode()
			}
			made, err := http.NewRequest(r.method, target, bytes.NewReader(body))
			if err != nil {
				panic(err) // it was a request before
			}
			made.Header = header.Clone()
			return made
		}, nil
	}
	return nil, fmt.Errorf("of the %d requests that Ping sends, none carries the token that it is given, as it is", len(c.requests))
}

// withoutValues drops the values that hold token.
func withoutValues(values url.Values, token string) (url.Values, bool) {
	found := false
	for name, list := range values {
		for _, value := range list {
			if strings.Contains(value, token) {
				values.Del(name)
				found = true
			}
		}
	}
	return values, found
}

// withoutToken drops the cookies and header fields that hold token.
func withoutToken(header http.Header, token string) (http.Header, bool) {
	found := false
	cookies := (&http.Request{Header: header}).Cookies()
	kept := &http.Request{Header: http.Header{}}
	for _, cookie := range cookies {
		if strings.Contains(cookie.Value, token) {
			found = true
			continue
		}
		kept.AddCookie(cookie)
	}
	if found {
		header.Del("Cookie")
		if rest := kept.Header.Get("Cookie"); rest != "" {
			header.Set("Cookie", rest)
		}
	}
	for name, values := range header {
		if strings.Contains(strings.Join(values, " "), token) {
			header.Del(name)
			found = true
		}
	}
	return header, found
}

// cut removes the fields that hold token from a JSON value.
func cut(v any, token string) (found bool) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			found = cut(element, token) || found
		}
	case map[string]any:
		for name, element := range v {
			if text, ok := element.(string); ok && strings.Contains(text, token) {
				delete(v, name)
				found = true
				continue
			}
			found = cut(element, token) || found
		}
	}
	return found
}
