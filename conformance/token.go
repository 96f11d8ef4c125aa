package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var tokenRules = []Rule{
	{
		ID:    "TOKEN-01",
		Says:  "Authorize puts the token where the PBX accepts it, and Inspect accepts the good response.",
		Why:   "Clients have put it into the body where the query was wanted, and lost the session while using it.",
		needs: []precondition{requester},
		check: authorizedRequest,
	},
	{
		ID:    "TOKEN-02",
		Says:  "If a request carries a token that the PBX has forgotten, revoked, never issued or issued to another address, Inspect returns ErrTokenRejected.",
		Why:   "Clients that guessed the codes for it never noticed that the PBX had restarted.",
		needs: []precondition{requester},
		check: refusedRequest,
	},
	{
		ID:    "TOKEN-03",
		Says:  "Inspect returns nil for a response that says nothing about the token: a recording, an empty body, the beginning of a long response. It does not read or close Response.Body.",
		Why:   "It sees every response to the application, and only the beginning. A false alarm costs a login each.",
		needs: []precondition{requester},
		check: silentResponses,
	},
	{
		ID:    "TOKEN-04",
		Says:  "Other failures (HTTP 404, 500, 502, 503, a web page) are never ErrTokenRejected.",
		Why:   "A PBX that is starting would get a login for every request.",
		needs: []precondition{requester},
		check: otherFailures,
	},
	{
		ID:    "TOKEN-05",
		Says:  "No operation changes the token that it is given.",
		Why:   "Tokens are shared by everyone who sends requests at the time.",
		check: tokenUnchanged,
	},
	{
		ID:    "TOKEN-06",
		Says:  "A response that refuses the token is ErrTokenRejected whatever its Content-Type says.",
		Why:   "PBXs refuse the download of a recording with the type of a recording. A driver that looks at the type never notices that its token is dead.",
		needs: []precondition{requester},
		check: mistypedRefusal,
	},
	{
		ID:    "TOKEN-07",
		Says:  "Authorize returns when the request's context ends, also while the request's body does not.",
		Why:   "A driver that puts the token into the body reads it, and the application may write it slowly, or never.",
		needs: []precondition{requester},
		check: endlessBody,
	},
	{
		ID:    "TOKEN-08",
		Says:  "Authorize replaces a token that the request already carries.",
		Why:   "An application authorizes the request that it repeats, and which of two tokens a PBX reads is left to chance.",
		needs: []precondition{requester},
		check: authorizedTwice,
	},
	{
		ID:    "TOKEN-09",
		Says:  "Authorize leaves the method, the path, and the application's query parameters, headers and cookies as they are.",
		Why:   "A driver that sets the whole query or the whole Cookie header removes what the application asked for.",
		needs: []precondition{requester},
		check: onlyTheToken,
	},
}

func authorizedTwice(t *testbed) error {
	first, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Restart() // to make room
	second, err := t.login()
	if err != nil {
		return err
	}
	r := t.harness.Call(t.server.URL)
	for _, token := range []*pbx.Token{first, second} {
		if err := t.auth.Authorize(r, token); err != nil {
			return fmt.Errorf("Authorize: %w", err)
		}
	}
	resp, err := t.auth.Transport().RoundTrip(r)
	if err != nil {
		return fmt.Errorf("the request gets no response: %w", err)
	}
	resp.Body.Close()
	log := t.sim.Log()
	last := log[len(log)-1]
	// Not with leaks, which finds the beginning of a token too: two may have the same.
	old, carried := first.Value.Reveal(), fmt.Sprintf("%s\n%v\n%s", last.RawQuery, last.Header, last.Body)
	switch {
	case strings.Contains(carried, old), strings.Contains(carried, url.QueryEscape(old)):
		return errors.New("the request carries the token of the first Authorize after the second")
	case last.Verdict != pbxsim.OK:
		return fmt.Errorf("the PBX's verdict on the token of the second Authorize is %q", last.Verdict)
	}
	return nil
}

func onlyTheToken(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	r := t.harness.Call(t.server.URL)
	query := r.URL.Query()
	query.Set("page", "2")
	query.Add("name", "O'Brien & Co")
	query.Add("name", "second")
	r.URL.RawQuery = query.Encode()
	r.Header.Set("X-Application", "crm")
	r.AddCookie(&http.Cookie{Name: "application", Value: "1"})
	before := r.Clone(r.Context())
	if err := t.auth.Authorize(r, token); err != nil {
		return fmt.Errorf("Authorize: %w", err)
	}
	if r.Method != before.Method || r.URL.Host != before.URL.Host || r.URL.EscapedPath() != before.URL.EscapedPath() {
		return errors.New("the request goes elsewhere")
	}
	after := r.URL.Query()
	for name, values := range query {
		if !slices.Equal(after[name], values) {
			return fmt.Errorf("the query parameter %s is changed", name)
		}
	}
	for name, values := range before.Header {
		if name != "Cookie" && !slices.Equal(r.Header[name], values) {
			return fmt.Errorf("the header %s is changed", name)
		}
	}
	if c, err := r.Cookie("application"); err != nil || c.Value != "1" {
		return errors.New("the application's cookie is removed")
	}
	return nil
}

func mistypedRefusal(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Restart()
	for _, contentType := range []string{"application/json", "application/octet-stream", "audio/wav", "text/html", "text/plain", ""} {
		t.transport.rewrite(func(resp *http.Response, body []byte) []byte {
			resp.Header.Set("Content-Type", contentType)
			return body
		})
		if wrong := ofKind(t.call(token), pbx.ErrTokenRejected); wrong != nil {
			return at(fmt.Sprintf("a refusal with the Content-Type %q", contentType), wrong)
		}
	}
	return nil
}

func endlessBody(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	reader, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(context.Background(), contextEnd)
	defer cancel()
	r := t.harness.Call(t.server.URL).WithContext(ctx)
	r.Method, r.Body, r.ContentLength, r.GetBody = http.MethodPost, reader, -1, nil
	release := time.AfterFunc(patience, func() { writer.Close() })
	defer release.Stop()
	begun := time.Now()
	t.auth.Authorize(r, token)
	took := time.Since(begun)
	writer.Close() // for what still reads
	if took > contextEnd+100*time.Millisecond {
		return fmt.Errorf("it returns %s after the context's end", took-contextEnd)
	}
	return nil
}

func authorizedRequest(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := t.call(token); err != nil {
		return err
	}
	log := t.sim.Log()
	if last := log[len(log)-1]; last.Action != pbxsim.AppRequest {
		return fmt.Errorf("the dialect takes the harmless request for %q, want %q: send another one in Ping, or set Harness.Call", last.Action, pbxsim.AppRequest)
	}
	if counts := t.sim.Counts(); counts.AppRequests != 1 || counts.RefusedTokens != 0 {
		return fmt.Errorf("the PBX counts %d good requests and %d refused tokens, want 1 and 0", counts.AppRequests, counts.RefusedTokens)
	}
	return nil
}

func refusedRequest(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Revoke(token.Value.Reveal())
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return at("a revoked token", err)
	}
	if token, err = t.login(); err != nil {
		return err
	}
	t.sim.Restart()
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return at("after a restart", err)
	}
	if err := t.elsewhere(); err != nil {
		return at("a token that is used from another address than it was issued to", err)
	}
	stranger := *token
	stranger.Value = pbx.NewSecret(t.sim.Dialect().NewToken())
	t.leaks.Plant("token", stranger.Value.Reveal())
	return at("a token that was never issued", ofKind(t.call(&stranger), pbx.ErrTokenRejected))
}

// elsewhere uses a token from another address of this machine. Most brands accept it.
func (t *testbed) elsewhere() error {
	token, err := t.login()
	if err != nil {
		return err
	}
	here := t.transport.base
	t.transport.base = t.server.ClientFrom("127.0.0.77").Transport
	defer func() { t.transport.base = here }()
	if err := t.call(token); err != nil {
		return ofKind(err, pbx.ErrTokenRejected)
	}
	return nil
}

func silentResponses(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	var seen atomic.Pointer[[]byte]
	t.transport.rewrite(func(_ *http.Response, body []byte) []byte {
		seen.Store(&body)
		return body
	})
	if err := t.call(token); err != nil {
		return err
	}
	good := *seen.Load()
	for name, body := range map[string][]byte{
		"an empty body":                     nil,
		"a recording":                       []byte("RIFF\x24\x08\x00\x00WAVEfmt \x10\x00\x00\x00"),
		"a list":                            []byte(`[1, 2, 3]`),
		"null":                              []byte(`null`),
		"the first half of a good response": good[:len(good)/2],
	} {
		t.transport.rewrite(func(*http.Response, []byte) []byte { return body })
		if err := t.call(token); err != nil {
			return at(name, err)
		}
	}
	return nil
}

func otherFailures(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, status := range []int{404, 500, 502, 503, 200} {
		for name, body := range map[string]string{"nothing": "", "a web page": pbxsim.HTMLPage} {
			t.sim.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: status, Body: []byte(body)})
			if err := t.call(token); errors.Is(err, pbx.ErrTokenRejected) {
				return fmt.Errorf("HTTP %d with %s is taken for a refused token: %w", status, name, err)
			}
		}
	}
	return nil
}

func tokenUnchanged(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := *token
	time.Sleep(time.Minute) // so that a new end is another one
	for _, op := range t.operations(token) {
		op.run(context.Background())
		if !reflect.DeepEqual(*token, before) {
			return errors.New(op.name + " changes the token that it is given")
		}
	}
	if requester(t) == "" {
		t.auth.Authorize(t.harness.Call(t.server.URL), token)
	}
	if !reflect.DeepEqual(*token, before) {
		return errors.New("Authorize changes the token that it is given")
	}
	return nil
}
