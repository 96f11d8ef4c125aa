package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Every rule searches for secrets. These tempt the driver to show them.
var secretRules = []Rule{
	{
		ID:      "SECRETS-01",
		Says:    "A password, digest or token that a PBX repeats in a refusal, a web page or a redirect gets into no error and no log line.",
		Why:     "A PBX, or a proxy in front of it, may quote the request in its error page, and a ticket quotes the error.",
		options: func(o *pbxsim.Options) { o.Lockout.After = -1 },
		check:   echoedInFailure,
	},
	{
		ID:    "SECRETS-02",
		Says:  "Token.Details holds no secret, wherever in the response the PBX repeats it.",
		Why:   "Details are stored and shown.",
		check: echoedInSuccess,
	},
	{
		ID:    "SECRETS-03",
		Says:  "No network error shows the token, which several brands put into the URL.",
		Why:   "The text of Go's *url.Error is the URL, query included.",
		check: secretsInNetworkErrors,
	},
	{
		ID:    "SECRETS-04",
		Says:  "An error of opening does not quote a URL or an option that holds a password.",
		Why:   "People paste addresses from the browser, and errors about settings are shown to everyone who sees the form.",
		check: secretsInSettings,
	},
	{
		ID:      "SECRETS-05",
		Says:    "A response that the PBX sends twice is not taken for that to a later request.",
		Why:     "On a kept connection, the second copy is the response to whatever is sent next: an account gets the token of another.",
		options: roomForAll,
		check:   doubledResponse,
	},
	{
		ID:    "SECRETS-06",
		Says:  "A URL's query holds a password, digest or token only if the PBX refuses the request without it.",
		Why:   "URLs are in the logs of PBXs and of proxies on the way.",
		check: needlessInURL,
	},
	{
		ID:    "SECRETS-07",
		Says:  "A request that is no login has a header with the password, or its digest, only if the PBX refuses the request without it.",
		Why:   "A token can be revoked, and a password is good for every other service that its owner uses.",
		check: needlessPassword,
	},
}

func needlessInURL(t *testbed) error {
	name, err := t.needless(0, func(r *http.Request) bool {
		kept := slices.DeleteFunc(strings.Split(r.URL.RawQuery, "&"), func(pair string) bool {
			return len(t.leaks.Among(pair)) > 0
		})
		query := strings.Join(kept, "&")
		if query == r.URL.RawQuery {
			return false
		}
		u := *r.URL
		u.RawQuery = query
		r.URL = &u
		return true
	})
	if name != "" {
		err = fmt.Errorf("%s: the URL's query holds a secret, and the PBX accepts the request without it", name)
	}
	return err
}

func needlessPassword(t *testbed) error {
	name, err := t.needless(1, func(r *http.Request) bool { // all but the login
		before := len(r.Header)
		maps.DeleteFunc(r.Header, func(_ string, values []string) bool {
			return slices.Contains(t.leaks.Among(strings.Join(values, "\n")), password)
		})
		return len(r.Header) != before
	})
	if name != "" {
		err = fmt.Errorf("%s: a header holds the password, and the PBX accepts the request without it", name)
	}
	return err
}

// needless returns the name of the first use of a token, from the one with index from
// on, whose requests the PBX accepts without what remove takes out of them. remove
// reports whether it has taken anything.
func (t *testbed) needless(from int, remove func(*http.Request) bool) (string, error) {
	for i := from; ; i++ {
		t.sim.Restart() // to make room
		token, err := t.login()
		if err != nil {
			return "", err
		}
		uses := t.uses(token)
		if i >= len(uses) {
			return "", nil
		}
		before := len(t.sim.Log())
		var removed atomic.Bool
		t.transport.editRequests(func(r *http.Request) {
			if remove(r) {
				removed.Store(true)
			}
		})
		err = uses[i].run(context.Background())
		t.transport.editRequests(nil)
		// A driver may call the logout of a token that the PBX does not know a success.
		if log := t.sim.Log(); err == nil && removed.Load() && len(log) > before && log[len(log)-1].Verdict == pbxsim.OK {
			return uses[i].name, nil
		}
	}
}

func doubledResponse(t *testbed) error {
	for _, mode := range []pbxsim.DoubleMode{pbxsim.DoubleOnNext, pbxsim.DoubleAtOnce} {
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Double: mode})
		first, err := t.login()
		if err != nil {
			return err
		}
		second, err := t.login()
		switch {
		case err != nil:
			return at("the login after a doubled response", err)
		case second.Value.Equal(first.Value):
			return errors.New("the login after a doubled response returns the token of the one before")
		}
	}
	return nil
}

func echoedInFailure(t *testbed) error {
	t.leaks.Plant("password", awkward)
	t.sim.SetPassword(account, awkward)
	auth, err := t.open(func(c *pbx.Config) { c.Password = pbx.NewSecret(awkward) })
	if err != nil {
		return err
	}
	t.auth = auth
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.SetPassword(account, "another")
	t.sim.Restart() // so that everything is refused

	page := func(status int) func(*http.Response, []byte) []byte {
		return func(resp *http.Response, _ []byte) []byte {
			echo := t.carried()
			resp.StatusCode, resp.Status = status, fmt.Sprintf("%d %s", status, echo)
			resp.Header.Set("Content-Type", "text/html")
			return []byte("<html><head><title>" + echo + "</title></head><body>" + echo + "</body></html>")
		}
	}
	uses := t.uses(token)
	fail := func(rewrite func(*http.Response, []byte) []byte) {
		t.transport.rewrite(rewrite)
		for _, op := range uses {
			op.run(context.Background())
		}
	}
	for place, more := everywhere, true; more; place++ { // at one place, the code may stand in another
		more = place == everywhere
		fail(func(_ *http.Response, body []byte) []byte {
			echoed, found := echoing(body, t.carried(), place)
			more = more || found
			return echoed
		})
	}
	for _, rewrite := range []func(*http.Response, []byte) []byte{
		func(_ *http.Response, body []byte) []byte { return withField(body, t.carried()) },
		func(resp *http.Response, body []byte) []byte {
			resp.StatusCode = http.StatusOK
			echoed, _ := echoing(body, t.carried(), everywhere)
			return echoed
		},
		page(200), page(401), page(403), page(500),
		func(resp *http.Response, _ []byte) []byte {
			echo := url.QueryEscape(t.carried())
			resp.StatusCode, resp.Status = http.StatusFound, "302 Found"
			resp.Header.Set("Location", "https://pbx.example.com/"+echo+"/?from="+echo)
			return nil
		},
		func(*http.Response, []byte) []byte { return []byte(t.carried()) },
	} {
		fail(rewrite)
	}
	return nil
}

func echoedInSuccess(t *testbed) error {
	t.transport.rewrite(func(_ *http.Response, body []byte) []byte {
		return withField(body, t.carriedEach())
	})
	_, err := t.login()
	return at("a response with one more field", err)
}

func secretsInNetworkErrors(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	sending := t.sending(token)
	for _, fault := range []pbxsim.Fault{
		{Drop: pbxsim.DropBefore},
		{Drop: pbxsim.DropAfter},
		{Truncate: true},
		{Hang: true},
		{Status: 302, Header: http.Header{"Location": {"//:bad"}}},
	} {
		for _, op := range sending {
			fault.On = op.action
			t.sim.Fault(fault)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			op.run(ctx)
			cancel()
			t.sim.ClearFaults()
		}
	}
	t.server.Close()
	for _, op := range sending {
		op.run(context.Background())
	}
	return nil
}

func secretsInSettings(t *testbed) error {
	attempt := func(change func(*pbx.Config)) {
		if auth, err := t.open(change); err == nil { // which is also fine
			t.observe("Traits", auth.Traits())
		}
	}
	for _, address := range []string{
		"https://crm:" + password + "@pbx.example.com",
		"http://crm:" + password + "@pbx.example.com",
		"https://pbx.example.com/login?password=" + password,
		"https://pbx.example.com/#" + password,
		"https://pbx.example.com:" + password,
		"https://[" + password,
		"ftp://" + password + "@pbx.example.com",
		"https://pbx.example.com/%zz" + password,
	} {
		attempt(func(c *pbx.Config) { c.URL = address })
	}
	d, _ := t.harness.lookup()
	for _, o := range d.Options {
		if o.Kind == pbx.OptionSecret {
			attempt(func(c *pbx.Config) { c.Secrets = map[string]pbx.Secret{o.Name: pbx.NewSecret(password)} })
			attempt(func(c *pbx.Config) { c.Options = map[string]string{o.Name: password} })
		}
	}
	attempt(func(c *pbx.Config) { c.Options = map[string]string{"no-such-option": password} })
	return nil
}

// carried returns the secrets in the last request and its response, as a server
// may repeat them: in every spelling that is searched for.
func (t *testbed) carried() string { return strings.Join(t.carriedEach(), " ") }

// carriedEach is carried with a text for each secret: in a common one, a driver that
// finds one of them would hide all.
func (t *testbed) carriedEach() []string {
	log := t.sim.Log()
	last := log[len(log)-1]
	exchange := fmt.Sprintf("%s\n%v\n%s\n%s", last.RawQuery, last.Header, last.Body, last.Reply)
	return t.leaks.Echoes(exchange)
}

var (
	// xmlText is a text in an XML response, or the value of an attribute.
	xmlText = regexp.MustCompile(`>[^<>]*[^<>\s][^<>]*<|="[^"<>]*"`)
	// textLine is a line that is not empty.
	textLine = regexp.MustCompile(`[^\r\n]+`)
)

// everywhere is all places for [echoing].
const everywhere = -1

// echoing adds echo to a string of a JSON response, to a text of an XML one, or to a
// line of any other: to that at a place, counted from 0, or everywhere. It reports
// whether there is such a place.
func echoing(body []byte, echo string, place int) (echoed []byte, found bool) {
	places := 0
	here := func() bool {
		chosen := place == everywhere || place == places
		places++
		found = found || chosen
		return chosen
	}
	before := func(last int, echo string) func([]byte) []byte {
		return func(text []byte) []byte {
			if !here() {
				return text
			}
			end := len(text) - last
			return slices.Concat(text[:end], []byte(" "+echo), text[end:])
		}
	}
	var parsed any
	if json.Unmarshal(body, &parsed) != nil {
		if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
			var escaped strings.Builder
			xml.EscapeText(&escaped, []byte(echo)) // a Builder takes everything
			return xmlText.ReplaceAllFunc(body, before(1, escaped.String())), found
		}
		return textLine.ReplaceAllFunc(body, before(0, echo)), found
	}
	var add func(any) any
	add = func(v any) any {
		switch v := v.(type) {
		case string:
			if here() {
				return v + " " + echo
			}
		case []any:
			for i := range v {
				v[i] = add(v[i])
			}
			if here() {
				return append(v, echo)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				v[name] = add(v[name])
			}
		}
		return v
	}
	encoded, _ := json.Marshal(add(parsed)) // it was JSON before
	return encoded, found
}

// withField adds a field with echo to every object in a JSON response. Any other
// stays as it is.
func withField(body []byte, echo any) []byte {
	var parsed any
	if json.Unmarshal(body, &parsed) != nil {
		return body
	}
	var add func(any) any
	add = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = add(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = add(v[name])
			}
			v["debug"] = echo
		}
		return v
	}
	encoded, _ := json.Marshal(add(parsed)) // it was JSON before
	return encoded
}
