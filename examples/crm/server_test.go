package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

func TestARequestThatNoPageOfOursSendsChangesNothing(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	for _, row := range []struct {
		name   string
		make   func() *http.Request
		status int
		says   string
	}{
		{"no token", func() *http.Request { return r.request("POST", "/add", filled(sim, "New").Encode()) }, 403, "This page was open for too long. Nothing was changed."},
		{"another visitor's token", func() *http.Request {
			form := filled(sim, "New")
			form.Set("token", "AAAA")
			return r.request("POST", "/add", form.Encode())
		}, 403, "open for too long"},
		{"an action without a token", func() *http.Request { return r.request("POST", "/pbx/"+saved.key()+"/remove", "") }, 403, "Nothing was changed."},
		{"another site, with a token", func() *http.Request {
			req := r.request("POST", "/add", r.withToken(filled(sim, "New")).Encode())
			req.Header.Set("Sec-Fetch-Site", "same-site") // another port of this machine
			return req
		}, 403, "another site sent this form"},
		{"another origin, with a token", func() *http.Request {
			req := r.request("POST", "/add", r.withToken(filled(sim, "New")).Encode())
			req.Header.Set("Origin", "http://127.0.0.1:1")
			return req
		}, 403, "another site sent this form"},
		{"a password that is no text", func() *http.Request {
			form := r.withToken(filled(sim, "New"))
			form.Set("password", "\xff")
			return r.request("POST", "/add", form.Encode())
		}, 400, "this form cannot be read"},
		{"10 MB", func() *http.Request {
			return r.request("POST", "/add", "name="+strings.Repeat("x", 10<<20))
		}, 413, "this form is too large"},
		{"another name for this machine", func() *http.Request {
			req := r.request("GET", "/", "")
			req.Host = "attacker.example"
			return req
		}, 421, "This page has another address"},
		{"no such PBX", func() *http.Request { return r.request("GET", "/pbx/999", "") }, 404, "There is no such page"},
		{"no number", func() *http.Request { return r.request("GET", "/pbx/x/edit", "") }, 404, "There is no such page"},
		{"no such page", func() *http.Request { return r.request("GET", "/admin", "") }, 404, "There is no such page"},
		{"a file of the program", func() *http.Request { return r.request("GET", "/static/table.html", "") }, 404, "There is no such page"},
	} {
		t.Run(row.name, func(t *testing.T) {
			resp, err := r.client.Do(row.make())
			if err != nil {
				t.Fatal(err)
			}
			page := body(t, resp)
			if resp.StatusCode != row.status || !strings.Contains(page, row.says) {
				t.Errorf("status %d:\n%s", resp.StatusCode, page)
			}
			if strings.Contains(page, sim.password) {
				t.Error("the password came back")
			}
			if len(r.app.ids()) != 1 {
				t.Error("something was changed")
			}
		})
	}
}

// A proxy in front of the page may pass another Host on than the browser's.
func TestAFormOfThePagesOwnNameIsAccepted(t *testing.T) {
	r := startProcess(t, settingsOfProcess{addr: "127.0.0.1:0", host: "crm.example"}, newKey(), nil)
	form := r.withToken(url.Values{})
	for origin, want := range map[string]int{"https://crm.example": 422, "http://crm.example": 422, "https://other.example": 403} {
		req := r.request("POST", "/add", form.Encode())
		req.Header.Set("Origin", origin)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if body(t, resp); resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", origin, resp.StatusCode, want)
		}
	}
}

func TestOfAHugeBodyNoMoreIsReadThanAFormMayHave(t *testing.T) {
	r := start(t, "")
	for _, method := range []string{"GET", "POST", "PUT"} {
		in, out := io.Pipe()
		sent := make(chan int, 1)
		go func() {
			io.WriteString(out, "--b\r\nContent-Disposition: form-data; name=\"q\"; filename=\"x\"\r\n\r\n")
			total := 0
			for total < 64<<20 {
				n, err := out.Write(make([]byte, 64<<10))
				if total += n; err != nil {
					break
				}
			}
			out.Close()
			sent <- total
		}()
		req, err := http.NewRequest(method, r.url("/"), in)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		if resp, err := r.client.Do(req); err == nil { // or the server has closed the connection
			resp.Body.Close()
		}
		in.Close()
		if n := <-sent; n > 32<<20 { // what fits the buffers on the way
			t.Errorf("%s: %d bytes were read", method, n)
		}
	}
}

func (r *running) request(method, path, form string) *http.Request {
	req, err := http.NewRequest(method, r.url(path), strings.NewReader(form))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

func TestAStaleFormComesBackWithWhatWasTyped(t *testing.T) {
	r := start(t, "")
	resp, err := r.client.Do(r.request("POST", "/add", url.Values{"do": {"save"}, "driver": {"yeastar"}, "name": {"Typed name"}, "url": {"https://typed.example"}, "username": {"typed-user"}, "password": {planted}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	page := body(t, resp)
	contains(t, page, `value="Typed name"`, `value="https://typed.example"`, `value="typed-user"`, "Not saved: 1 thing to fix", "Type the password again, then press “Save and connect”.")
	if strings.Contains(page, planted) {
		t.Error("the password came back")
	}
}

func TestScriptInANameIsText(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	const name = `<script>alert(1)</script>"><img src=x>`
	saved := r.connect(sim, name, nil)
	r.waitFor(saved, "Live")
	for _, path := range []string{"/", "/?q=" + url.QueryEscape(name), "/pbx/" + saved.key(), "/pbx/" + saved.key() + "/edit", "/pbx/" + saved.key() + "/remove"} {
		_, page := r.get(path)
		if strings.Contains(page, "<script>alert") || strings.Contains(page, "<img") {
			t.Errorf("%s: the name is markup", path)
		}
		contains(t, page, "&lt;script&gt;alert(1)")
	}
}

func TestEveryPageIsStrict(t *testing.T) {
	r := start(t, "")
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour", nil)
	for _, path := range []string{"/", "/add", "/pbx/" + saved.key(), "/pbx/" + saved.key() + "/edit", "/nowhere", "/static/page.css"} {
		resp, err := r.client.Get(r.url(path))
		if err != nil {
			t.Fatal(err)
		}
		page := body(t, resp)
		csp := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: %q", path, csp)
		}
		if strings.Contains(page, " style=") || strings.Contains(page, "<style") || strings.Contains(page, " onclick=") {
			t.Errorf("%s has inline style or script", path)
		}
	}
}

// A view is a page with its style sheet and script, not compressed.
func TestAViewWeighsAtMost60KBAndEachPartItsShare(t *testing.T) {
	r := start(t, "")
	var saved Settings
	for i := range 14 {
		saved = r.connect(r.simulate([]string{"yeastar", "yeastar-p", "runtel"}[i%3], false, pbxsim.Options{}), fmt.Sprintf("A customer with a name %d", i), nil)
	}
	r.waitFor(saved, "Live")
	_, css := r.get("/static/page.css")
	_, js := r.get("/static/page.js")
	for _, path := range []string{"/", "/add?driver=yeastar", "/pbx/" + saved.key(), "/pbx/" + saved.key() + "/edit"} {
		_, page := r.get(path)
		t.Logf("%s: HTML %d, CSS %d, script %d, in all %d bytes", path, len(page), len(css), len(js), len(page)+len(css)+len(js))
		for _, part := range []struct {
			name       string
			size, most int
		}{
			{"the page with its style sheet and script", len(page) + len(css) + len(js), 60_000},
			{"the page", len(page), 22_000},
			{"the style sheet", len(css), 18_000},
			{"the script", len(js), 18_000},
		} {
			if part.size > part.most {
				t.Errorf("%s: %s weighs %d bytes, and may weigh %d", path, part.name, part.size, part.most)
			}
		}
	}
}

// stream reads the messages of a page's events.
func (r *running) stream(ctx context.Context, path string) <-chan string {
	r.t.Helper()
	req := r.request("GET", path, "").WithContext(ctx)
	resp, err := (&http.Client{Jar: r.client.Jar}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	messages := make(chan string, 100)
	go func() {
		defer close(messages)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 4<<20)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				messages <- text
			}
		}
	}()
	return messages
}

func TestAChangeIsOnTheStreamSoonAndAsOneRow(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	another := r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Another", nil)
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	r.waitFor(another, "Live") // a change would be its login
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	messages := r.stream(ctx, "/events")
	var first message
	if err := json.Unmarshal([]byte(<-messages), &first); err != nil || !first.All || len(first.Rows) != 2 || first.Now == 0 {
		t.Fatalf("%+v, %v", first, err)
	}
	saved.Disconnected = time.Now()
	if _, err := r.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	for text := range messages {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		for _, row := range m.Rows {
			if row.ID != saved.ID {
				t.Errorf("%s has not changed, and is sent", row.Name)
			}
			if row.State == "Closed" && row.Rest != "Logging out." {
				return
			}
		}
	}
	t.Error("the change was not sent")
}

// Secrets are planted everywhere, and every page, event and test is searched for
// them.
// The page of a PBX reads a change of state out, and not what changes each second.
func TestTheStreamOfAPBXSaysAChangeOfState(t *testing.T) {
	r := start(t, "")
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "A & B", nil)
	r.waitFor(saved, "Live")
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	messages := r.stream(ctx, "/pbx/"+saved.key()+"/events")
	<-messages
	saved.Disconnected = time.Now()
	if _, err := r.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	for text := range messages {
		var m message
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		if says, ok := m.Blocks["says"]; ok {
			if says != "A &amp; B: closed." {
				t.Errorf("it says %q", says)
			}
			return
		}
	}
	t.Error("nothing is said")
}

func TestNoSecretEverReachesTheBrowser(t *testing.T) {
	r := start(t, "")
	var n atomic.Int64
	canary := pbxsim.Options{NewToken: func() string { return fmt.Sprintf("c0ffee%02x", n.Add(1)) }}
	var secrets []string
	var all []Settings
	states := map[int64]string{}
	add := func(state string, s Settings) {
		all = append(all, s)
		states[s.ID] = state
	}
	for _, of := range simulators.All() {
		driver := of.Driver
		sim, other := r.simulate(driver, driver == "yeastar-p", canary), r.simulate(driver, false, canary)
		secrets = append(secrets, sim.password, other.password)
		add("Live", r.connect(sim, "Good "+of.Name()+sim.listen, nil))
		add("Rejected", r.connect(other, "Bad "+of.Name()+other.listen, func(s *Settings) { s.Password = secretOf(planted) }))
	}
	all = append(all, r.connect(r.simulate("runtel", false, canary), "By key", func(s *Settings) {
		s.Username, s.Password, s.Secrets = "", pbx.Secret{}, map[string]pbx.Secret{"key": secretOf(planted)}
	}))
	secrets = append(secrets, planted, "c0ffee", string(r.key[:]))
	for _, s := range all {
		if state := states[s.ID]; state != "" {
			r.waitFor(s, state)
		}
	}
	search := func(where, text string) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows a secret", where)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	streams := map[string]<-chan string{"/events": r.stream(ctx, "/events")}
	visit := func(path string) {
		_, page := r.get(path)
		search(path, page)
	}
	visit("/")
	for _, s := range all {
		path := "/pbx/" + s.key()
		streams[path] = r.stream(ctx, path+"/events")
		for _, what := range []string{"extensions", "retry", "simulate/password", "simulate/restart", "extensions", "simulate/password"} {
			_, page := r.post(path+"/"+what, url.Values{})
			search(path+"/"+what, page)
		}
		visit(path)
		visit(path + "/edit")
		visit(path + "/edit?key=show")
		visit(path + "/remove")
		for _, do := range []string{"test", "save", "brand"} {
			form := url.Values{"id": {s.key()}, "do": {do}, "driver": {s.Driver}, "name": {""}, "url": {s.URL}, "username": {s.Username}, "password": {planted}, "s.key": {planted}, "s.nonsense": {planted}}
			if do == "test" {
				form.Set("name", s.Name)
				form.Del("s.nonsense")
			}
			_, page := r.post(path+"/edit", form)
			search(path+"/edit "+do, page)
			_, page = r.post("/test", form)
			search("/test", page)
		}
	}
	for path, messages := range streams {
		text, ok := <-messages
		if !ok {
			t.Errorf("%s: no event was searched", path)
		}
		search(path+" stream", text)
	}
	cancel()
	if n.Load() < int64(len(simulators.All())) {
		t.Errorf("%d tokens were planted", n.Load())
	}
	for path, messages := range streams {
		for text := range messages {
			search(path+" stream", text)
		}
	}
}

// The brand's own failure is shown as one, also where HTTP says that all is well.
func TestAFailureUnderHTTP200IsShownAsOne(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{Respond: func(*pbxsim.Request) *pbxsim.Reply {
		return &pbxsim.Reply{Body: []byte(`{"errcode":10001,"errmsg":"INTERFACE NOT EXISTED"}`)}
	}})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	_, page := r.post("/pbx/"+saved.key()+"/extensions", url.Values{})
	if strings.Contains(page, "200 OK") {
		t.Error("HTTP 200 is taken for success")
	}
	contains(t, page, "(code 10001)", "1 request, 1 failed")
}

func TestTheTableWorksWithoutScript(t *testing.T) {
	r := start(t, "")
	for i := range 230 {
		s := Settings{Name: fmt.Sprintf("Customer %03d", i), Driver: "runtel", URL: fmt.Sprintf("https://pbx%d.example", i), Username: "crm", Password: secretOf("p"), Disconnected: time.Now()}
		if i == 7 {
			s.Driver = "yeastar"
		}
		if _, err := r.app.save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	_, page := r.get("/?sort=-name")
	if n := strings.Count(page, "<tr id="); n != firstRows {
		t.Errorf("%d rows", n)
	}
	if strings.Index(page, "Customer 229") > strings.Index(page, "Customer 228") {
		t.Error("the order is wrong")
	}
	contains(t, page, `aria-sort="descending"`, `href="/?sort=-name&amp;from=100"`, "230 of 230 shown", "230 PBXs.")
	_, page = r.get("/?sort=-name&from=200")
	if n := strings.Count(page, "<tr id="); n != 30 {
		t.Errorf("%d rows on the last page", n)
	}
	_, page = r.get("/?q=customer+007")
	contains(t, page, "1 of 230 shown", "Customer 007")
	_, page = r.get("/?brand=Yeastar+S-Series")
	contains(t, page, "1 of 230 shown")
	_, page = r.get("/?q=acme")
	contains(t, page, "No PBX matches “acme”.", "Clear filters")
	_, page = r.get("/?show=you")
	contains(t, page, "0 of 230 shown")
}

func TestRemoveAsksFirstAndLogsOut(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	_, page := r.get("/pbx/" + saved.key() + "/remove")
	contains(t, page, "Remove Harbour?", "Its session logs out. Settings and password are deleted.", "Cancel")
	_, page = r.post("/pbx/"+saved.key()+"/remove", url.Values{})
	contains(t, page, "“Harbour” is removed.", "No PBX yet")
	if n := len(sim.pbx.Tokens(simUser)); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestTheProgramLogsOutAtItsEnd(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	r.waitFor(r.connect(sim, "Harbour", nil), "Live")
	r.stop()
	if n := len(sim.pbx.Tokens(simUser)); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

// The demo shows PBXs that work and PBXs that need a person.
func TestTheDemoOpensWithEveryKindOfTrouble(t *testing.T) {
	key := newKey()
	sims := newSimulated(fmt.Sprintf("127.1.%d.1", addresses.Add(1)), key)
	p, err := open(settingsOfProcess{simulate: true}, key, sims, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer sims.close()
	defer p.app.close(context.Background())
	want := map[string]bool{"Live": true, "Rejected": true, "Locked": true, "Held back": true, "Unavailable": true, "Closed": true}
	var states map[string]bool
	eventually(t, func() bool {
		states = map[string]bool{}
		for _, r := range p.app.rows(time.Now()) {
			states[r.State] = true
		}
		for state := range want {
			if !states[state] {
				return false
			}
		}
		return true
	}, func() string { return fmt.Sprintf("the states are %v", states) })
	drivers := map[string]bool{}
	for _, id := range p.app.ids() {
		_, s, _ := p.app.entry(id)
		drivers[s.Driver] = true
	}
	for _, sim := range simulators.All() {
		if !drivers[sim.Driver] {
			t.Errorf("the demo has no %s", sim.Driver)
		}
	}
}

func TestARenewalLeavesTheAgeOfASession(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{Lifetime: 4 * time.Second})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	e, _, _ := r.app.entry(saved.ID)
	before := r.app.row(e, time.Now())
	eventually(t, func() bool { return sim.pbx.Counts().KeepAlives > 1 }, func() string { return "it does not renew" })
	r.waitFor(saved, "Live")
	if after := r.app.row(e, time.Now()); after.From != before.From || after.Since != before.Since {
		t.Errorf("before: since %d, from %d; after: since %d, from %d", before.Since, before.From, after.Since, after.From)
	}
	states := 0
	for _, event := range e.journal.all() {
		if event.Kind == stateChanged {
			states++
		}
	}
	if states > 2 { // Connecting, Live
		t.Errorf("its story has %d states: renewals that work are shown by their keep-alives", states)
	}
	saved.Disconnected = time.Now()
	saved, err := r.app.save(t.Context(), saved)
	if err != nil {
		t.Fatal(err)
	}
	saved.Disconnected = time.Time{}
	if saved, err = r.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { row := r.app.row(e, time.Now()); return row.State == "Live" && row.From > before.From }, func() string { return "it is as old as the login before" })
}

// A request that was under way while its token was renewed says nothing about the new
// one.
func TestARefusalOfAnOlderTokenIsNoEvent(t *testing.T) {
	auth, err := pbx.Open("yeastar-p", pbx.Config{URL: "http://127.0.0.1:1", Username: "u", Password: secretOf("p")})
	if err != nil {
		t.Fatal(err)
	}
	var events []event
	r := recording(auth, func(e event) { events = append(events, e) }).(*requestRecorder)
	old, fresh := &pbx.Token{Value: secretOf("a"), IssuedAt: noon}, &pbx.Token{Value: secretOf("b"), IssuedAt: noon.Add(time.Minute)}
	r.watch(sentLogin, "Login", func() (*pbx.Token, error) { return fresh, nil })
	for _, token := range []*pbx.Token{old, fresh} {
		resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}
		if err := r.Inspect(resp, []byte(`{"errcode":10004,"errmsg":"TOKEN INVALID"}`), token); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("the error is %v", err)
		}
	}
	refused := 0
	for _, e := range events {
		if e.Kind == tokenRefused {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d refusals are written down", refused)
	}
}
