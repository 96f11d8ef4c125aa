package runtel

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Answer is a failing answer as [Config].Classify sees it. No secret is in it.
type Answer struct {
	// Op is what the answer is to: OpLogin, OpLogout, or OpRequest for a request
	// of the application's own.
	Op pbx.Op
	// HTTPStatus is the outer layer of status, as in 401.
	HTTPStatus int
	// Code is the inner one, the envelope's code as it was written, as in
	// "401"; empty where the answer is no envelope.
	Code string
	// Notices are the texts in the envelope's notifies, at most 20 of at most
	// 200 characters. They are empty for an answer to OpRequest that came without
	// its request: see [PBX.Inspect].
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
		return "wrong login or password, or the platform's defender has blocked this host", pbx.ErrInvalidCredentials
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

// refusal makes the error for an answer that does not say success.
func (p *PBX) refusal(x exchange) *pbx.Error {
	if x.enveloped {
		advice, kind := meaning(x.req.Op, x.status(x.resp.Status))
		return p.fail(x, kind, advice)
	}
	page := p.wire.Unexpected(x.req, x.resp)
	if page.Kind == pbx.ErrProtocol {
		return p.fail(x, page.Kind, page.Message)
	}
	advice, kind := meaning(x.req.Op, x.resp.Status)
	return p.fail(x, kind, advice, page.Message)
}

// fail makes the error for a failing answer. kind and advice are the driver's
// own reading of it.
func (p *PBX) fail(x exchange, kind error, advice ...string) *pbx.Error {
	notices := x.notices()
	if p.classify != nil {
		fault, own := p.ask(Answer{
			Op:         x.req.Op,
			HTTPStatus: x.resp.Status,
			Code:       wire.Clean(text(x.Code), x.req.Secrets...),
			Notices:    slices.Clone(notices),
		})
		if own != nil {
			kind, advice = own, nil
		}
		advice = append(advice, fault)
	}
	if !p.key.IsZero() && kind == pbx.ErrTokenRejected {
		kind, advice = pbx.ErrInvalidCredentials, append([]string{keyRefused}, advice...)
	}
	advice = slices.DeleteFunc(advice, func(s string) bool { return s == "" })
	return p.wire.Fail(x.req, x.resp, kind, text(x.Code), strings.Join(advice, "; "), notices...)
}

// answerKinds are what Classify may say of an answer. Not ErrNotSupported: that
// promises that nothing was sent.
var answerKinds = []error{
	pbx.ErrInvalidCredentials, pbx.ErrLocked, pbx.ErrForbidden, pbx.ErrTokenRejected,
	pbx.ErrTooManySessions, pbx.ErrUnavailable, pbx.ErrProtocol, pbx.ErrConfig,
}

// ask returns what Classify makes of a; nil if it is to be left to the driver,
// and why if Classify is not heeded. Neither a panic's value nor an
// error is shown: both may quote anything.
func (p *PBX) ask(a Answer) (fault string, kind error) {
	defer func() {
		if recover() != nil {
			fault, kind = "Classify panicked and is not heeded", nil
		}
	}()
	kind = p.classify(a)
	if kind == nil {
		return "", nil
	}
	if !slices.Contains(answerKinds, kind) || (kind == pbx.ErrTokenRejected && a.Op == pbx.OpLogin) {
		return "Classify returned what is no kind of failure here and is not heeded", nil
	}
	return "", kind
}

// unanswered adds to the error for a request without an answer what a rejected
// login before it lets one guess: resellers describe a block that is pushed to
// the firewall.
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
