package runtel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Failure is a failing response as [Config].Classify sees it. No secret is in it.
type Failure struct {
	// Op is what the response is to: OpLogin, OpLogout, OpPing, or OpRequest for
	// a request of the application's own.
	Op pbx.Op
	// HTTPStatus is the outer layer of status, as in 401.
	HTTPStatus int
	// Code is the inner one, the envelope's code as it was written, as in
	// "401". Empty: the response is not an envelope.
	Code string
	// Notices are the texts in the envelope's notifies, at most 20 of at most
	// 200 characters.
	Notices []string
}

// meaning is the driver's own reading of a status, HTTP's or the envelope's
// code. The package's doc has it as a table.
func meaning(op pbx.Op, status int) (advice string, kind error) {
	login := op == pbx.OpLogin
	switch {
	case status == http.StatusUnauthorized && login:
		return "wrong login or password", pbx.ErrInvalidCredentials
	case status == http.StatusUnauthorized:
		return "", pbx.ErrTokenRejected
	case status == http.StatusForbidden && login:
		// Which of the two is not known: it is counted, and not repeated.
		return "wrong login or password, or the platform has blocked this host", pbx.ErrInvalidCredentials
	case status == http.StatusForbidden:
		return "", pbx.ErrForbidden
	case status == http.StatusTooManyRequests:
		return "too many attempts: the platform has blocked this host, or slows it down", pbx.ErrLocked
	case status == http.StatusRequestTimeout, status/100 == 5:
		return "", pbx.ErrUnavailable
	case status/100 == 4 && login:
		return "the platform refused the login without a known reason, most likely for a wrong login or password", pbx.ErrInvalidCredentials
	}
	return "what this code means is not documented", nil
}

// refusal makes the error for a response that does not say success.
func (p *PBX) refusal(x exchange) *pbx.Error {
	if !x.enveloped {
		return p.classified(x, p.page(x))
	}
	advice, kind := meaning(x.Request.Op, x.status(x.Response.Status))
	return p.classified(x, x.fail(kind, advice))
}

// page makes the error for a response that is not an envelope. The vendor prints
// no failing response, so a 401 may be the platform's all the same, unless it asks
// for HTTP authentication by a password. RFC 6750 wants a challenge of the scheme
// Bearer with the 401 to a dead token. A 403 to a login may be the platform's too, if
// only the login is refused, and not every request.
func (p *PBX) page(x exchange) *pbx.Error {
	failure := x.Unexpected()
	for _, challenge := range x.Response.Header.Values("WWW-Authenticate") {
		if name, _, _ := strings.Cut(strings.TrimSpace(challenge), " "); !strings.EqualFold(name, strings.TrimSpace(scheme)) {
			return failure
		}
	}
	if status := x.Response.Status; status == http.StatusUnauthorized || x.onlyLogin {
		advice, kind := meaning(x.Request.Op, status)
		failure = x.Fail(kind, "", strings.TrimPrefix(fmt.Sprintf("%s; HTTP status %d without the platform's envelope", advice, status), "; "))
		failure.Ambiguous = x.Request.Op == pbx.OpRequest
	}
	return failure
}

// refusesAll reports whether a request without credentials is refused or redirected
// too, as by a proxy in front of the platform. Without a usable response it reports
// true, because that may be so.
func (p *PBX) refusesAll(ctx context.Context) bool {
	x, err := p.wire.Do(ctx, wire.Request{Op: pbx.OpLogin, Method: http.MethodGet, Path: apiPath, NoProof: true})
	if err != nil {
		return true
	}
	switch x.Response.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return true
	}
	return x.Response.Status/100 == 3 || x.Response.Status/100 == 5
}

// fail makes the error for a response, with the platform's own words.
func (x exchange) fail(kind error, advice string) *pbx.Error {
	return x.Fail(kind, text(x.Code), advice, x.notices()...)
}

// classified lets Classify overrule a failure.
func (p *PBX) classified(x exchange, failure *pbx.Error) *pbx.Error {
	if p.classify != nil {
		fault, own := p.ask(Failure{
			Op:         x.Request.Op,
			HTTPStatus: x.Response.Status,
			Code:       failure.Code,
			Notices:    x.notices(),
		})
		if own != nil {
			failure = x.fail(own, "")
		}
		if fault != "" {
			failure.Message += "; " + fault
		}
	}
	if !failure.Ambiguous { // else a ping decides
		p.key.Judge(failure)
	}
	return failure
}

// failureKinds are what Classify may say of a response. Not ErrNotSupported: that
// promises that nothing was sent.
var failureKinds = []error{
	pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected,
	pbx.ErrTooManySessions, pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig,
}

// ask returns what Classify makes of f: nil if it leaves f to the driver, and why
// if Classify is ignored. Neither a panic's value nor an error is shown: both may
// quote anything.
func (p *PBX) ask(f Failure) (fault string, kind error) {
	defer func() {
		if recover() != nil {
			fault, kind = "Classify panicked: it is ignored", nil
		}
	}()
	kind = p.classify(f)
	if kind == nil {
		return "", nil
	}
	if !slices.Contains(failureKinds, kind) || (kind == pbx.ErrTokenRejected && f.Op == pbx.OpLogin) {
		return "Classify returned something that is not a kind of failure here: it is ignored", nil
	}
	return "", kind
}

// unanswered adds to the error for a request without a response what a rejected
// login before it suggests: resellers describe a block that is pushed to the
// firewall.
func (p *PBX) unanswered(err error) error {
	var failure *pbx.Error
	if p.rejected.Load() && errors.As(err, &failure) && failure.Kind == pbx.ErrUnavailable && ignored(failure.Err) {
		failure.Message += "; after a rejected login this may mean that the platform has blocked this host: ask its operator"
	}
	return err
}

// ignored reports whether a request failed as it would behind a firewall.
func ignored(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return !errors.As(err, &dns) && (errors.As(err, &op) || errors.Is(err, context.DeadlineExceeded))
}
