package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// deadline is how long a test waits for anything.
const deadline = 20 * time.Second

// addresses gives every test loopback addresses of its own: hosts share budgets.
var addresses atomic.Uint32

// running is a program under test.
type running struct {
	*program
	t      *testing.T
	key    masterKey
	addr   string
	file   string
	stop   func() // ends it and waits
	client *http.Client
}

// start runs a program without PBXs. file is its settings file; empty: memory.
func start(t *testing.T, file string) *running {
	t.Helper()
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	t.Cleanup(sims.close)
	return startWith(t, "127.0.0.1:0", file, key, sims)
}

func startWith(t *testing.T, addr, file string, key masterKey, sims *simulated) *running {
	t.Helper()
	return startProcess(t, settingsOfProcess{database: file, addr: addr}, key, sims)
}

// startProcess runs a program with these flags. PBXs are those of sims.
func startProcess(t *testing.T, o settingsOfProcess, key masterKey, sims *simulated) *running {
	t.Helper()
	p, err := open(o, key, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	p.app.sims = sims
	l, err := net.Listen("tcp", o.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, l) }()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	r := &running{program: p, t: t, key: key, addr: l.Addr().String(), file: o.database}
	r.client = &http.Client{Jar: jar, Timeout: deadline}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the program ended with %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func (r *running) url(path string) string { return "http://" + r.addr + path }

// get returns a page.
func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := r.client.Get(r.url(path))
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, body(r.t, resp)
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var tokenInput = regexp.MustCompile(`name="token" value="([^"]+)"`)

// post sends a form as a page would, and follows the redirect.
func (r *running) post(path string, form url.Values) (int, string) {
	r.t.Helper()
	resp, err := r.client.PostForm(r.url(path), r.withToken(form))
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, body(r.t, resp)
}

// withToken adds the token of the visitor's pages to a form.
func (r *running) withToken(form url.Values) url.Values {
	r.t.Helper()
	_, page := r.get("/add")
	form.Set("token", tokenInput.FindStringSubmatch(page)[1])
	return form
}

// simulate starts a simulated PBX.
func (r *running) simulate(driver string, secure bool, opts pbxsim.Options) *simulator {
	r.t.Helper()
	sim, err := r.app.sims.add(driver, secure, opts)
	if err != nil {
		r.t.Fatal(err)
	}
	return sim
}

// connect saves settings that reach a simulated PBX, changed by edit.
func (r *running) connect(sim *simulator, name string, edit func(*Settings)) Settings {
	r.t.Helper()
	s := sim.settings(name)
	if edit != nil {
		edit(&s)
	}
	s, err := r.app.save(context.Background(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// waitFor waits until a row is in a state.
func (r *running) waitFor(s Settings, state string) {
	r.t.Helper()
	var last row
	eventually(r.t, func() bool {
		e, _, ok := r.app.entry(s.ID)
		if !ok {
			return false
		}
		last = r.app.row(e, time.Now())
		return last.State == state
	}, func() string {
		return fmt.Sprintf("%s is %s (%s %s), want %s", s.Name, last.State, last.Fact, last.Technical, state)
	})
}

// eventually waits for a condition.
func eventually(t *testing.T, condition func() bool, otherwise func() string) {
	t.Helper()
	for end := time.Now().Add(deadline); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise())
		}
	}
}

// filled is a form as a person would fill it in for a simulated PBX.
func filled(sim *simulator, name string) url.Values {
	form := url.Values{"do": {"save"}, "id": {"0"}, "driver": {sim.driver}, "name": {name}, "url": {sim.URL}, "username": {simUser}, "password": {sim.password}}
	for option, value := range sim.options {
		form.Set("o."+option, value)
	}
	return form
}

// contains reports what of want is missing in a page.
func contains(t *testing.T, page string, want ...string) {
	t.Helper()
	for _, text := range want {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

func secretOf(text string) pbx.Secret { return pbx.NewSecret(text) }
