package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// tab is a page in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context
	r   *running

	mu      sync.Mutex // guards console
	console []string
}

// browser starts chromium once for all tests of the page.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a real browser: left out by -short")
	}
	if !slices.ContainsFunc([]string{"chromium", "chromium-browser", "google-chrome", "headless-shell"}, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil
	}) {
		t.Skip("there is no chromium: apt-get install chromium fonts-inter fonts-jetbrains-mono")
	}
	ctx, cancel := chromedp.NewContext(context.Background())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// open makes a tab for a program.
func openTab(t *testing.T, parent context.Context, r *running) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, r: r}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return // the tab is closed
			}
			if m.Type == chromedp.ConsoleDebug {
				continue // hints that a console shows on request only
			}
			b.mu.Lock()
			b.console = append(b.console, m.String()+" "+m.URL)
			b.mu.Unlock()
		}
	}()
	b.size(1280, 860)
	return b
}

// do runs actions within the deadline.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, deadline)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) visit(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.r.url(path)))
}

func (b *tab) size(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(1)))
}

func (b *tab) scheme(scheme string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// eval returns the value of an expression, as JSON would hold it.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, deadline)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await ("+expression+")) ?? 'null')()", chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		b.t.Fatalf("%s is %s: %v", expression, text, err)
	}
	return v
}

// wait waits until an expression is true, over navigations.
func (b *tab) wait(expression string) {
	b.t.Helper()
	var last error
	eventually(b.t, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, deadline)
		defer cancel()
		var is bool
		is, last = chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		return is
	}, func() string {
		return fmt.Sprintf("never true: %s (%v)\n%s", expression, last, eval[string](b, "document.body.innerText"))
	})
}

// watchClicks notes whether a click reaches the element. One misses it if an update of the
// page moves or replaces the element meanwhile.
const watchClicks = `(selector => {
	window.clicks?.abort()
	window.clicks = new AbortController()
	window.missed = true
	document.addEventListener('click', e => { if (e.target.closest(selector)) window.missed = false }, {capture: true, signal: window.clicks.signal})
	return true
})(%q)`

// click clicks an element, again if it was missed.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)", selector))
	ctx, cancel := context.WithTimeout(b.ctx, deadline)
	defer cancel()
	for missed := true; missed; {
		b.wait(fmt.Sprintf(watchClicks, selector))
		err := chromedp.Do(ctx, chromedp.Click(chromedp.CSS(selector)))
		switch {
		case err == nil: // a page that has been left does not know
			missed, _ = chromedp.Run(ctx, chromedp.Evaluate[bool]("window.missed === true"))
		case ctx.Err() != nil || !strings.Contains(err.Error(), "Could not find node"):
			b.t.Fatal(err)
		}
	}
}

// fill types into a field.
func (b *tab) fill(id, text string) {
	b.t.Helper()
	eval[any](b, fmt.Sprintf("document.getElementById(%q).focus(), document.getElementById(%[1]q).select(), null", id))
	b.keys(text)
}

func (b *tab) keys(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// quiet says that nothing was written to the console.
func (b *tab) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.console {
		b.t.Error(text)
	}
	b.console = nil
}

// row is the row of a PBX in the table.
func (b *tab) row(s Settings) string { return fmt.Sprintf("document.getElementById('r%d')", s.ID) }

func (b *tab) rowIs(s Settings, state string) {
	b.t.Helper()
	b.wait(b.row(s) + fmt.Sprintf("?.querySelector('.word').textContent === %q", state))
}

func TestBrowser(t *testing.T) {
	chromium := browser(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b *tab, r *running)
	}{
		{"each brand is added and connects", addEachBrand},
		{"a restart of the PBX is recovered from", restartPBX},
		{"a wrong password is sent once and marks its field", wrongPassword},
		{"a connection test marks the field", testMarksField},
		{"a self-signed key is a decision", trustKey},
		{"a host is forgiven by a person", forgiveHost},
		{"two processes over files log in once", twoProcesses(filesStore)},
		{"two processes over Redis log in once", twoProcesses(redisStore)},
		{"an edit keeps the row and the password", editKeepsRow},
		{"every state fits its row", everyStateFits},
		{"fourteen rows are painted at once", paintFourteen},
		{"rows keep place, height and focus", rowsStay},
		{"the focus outlives what it stood on", focusStays},
		{"rows that change while they are added are added once", addedOnce},
		{"a notice is seen far down the page", noticeIsSeen},
		{"a PBX that is disconnected keeps the focus on its button", disconnectKeepsFocus},
		{"ways to log in stand beside their buttons", waysToLogIn},
		{"what to do about a PBX is readable on a phone", troubleOnAPhone},
		{"a story of three lines keeps its times whole", storyTimesAreWhole},
		{"times are as the server writes them", timesAgree},
		{"a stopped program is said and recovered from", stopAndStart},
		{"a thousand rows", thousandRows},
		{"the keyboard is enough", keyboardAlone},
		{"nothing scrolls sideways and targets are large", narrowScreens},
		{"long words do not widen a page", longWords},
		{"axe finds nothing", axeFindsNothing},
		{"the empty page leads on", emptyPage},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := start(t, "")
			b := openTab(t, chromium, r)
			test.run(t, b, r)
			b.quiet()
		})
	}
}

func addEachBrand(t *testing.T, b *tab, r *running) {
	drivers := map[string]bool{}
	for _, of := range simulators.All() {
		driver := of.Driver
		if drivers[driver] {
			continue
		}
		drivers[driver] = true
		sim := r.simulate(driver, false, pbxsim.Options{})
		b.visit("/add")
		eval[any](b, fmt.Sprintf("(driver => { driver.value = %q; driver.dispatchEvent(new Event('change', {bubbles: true})); return null })(document.getElementById('driver'))", driver))
		b.wait(fmt.Sprintf("document.querySelector('[name=drawn]')?.value === %q", driver))
		b.fill("name", "Customer of "+driver)
		b.fill("url", sim.URL)
		b.fill("username", simUser)
		b.fill("password", sim.password)
		b.click(".primary[value=save]")
		b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
		b.click("#extensions")
		b.wait("document.getElementById('result').textContent.startsWith('200 OK')")
		if text := eval[string](b, "document.getElementById('result').textContent"); !strings.Contains(text, " · 2 ") {
			t.Errorf("%s: %s", driver, text)
		}
	}
	b.visit("/")
	b.wait(fmt.Sprintf("document.querySelectorAll('#rows tr.g-ok').length === %d", len(drivers)))
}

func restartPBX(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar", false, pbxsim.Options{})
	saved := r.connect(sim, "Petrel Marine", nil)
	b.visit("/pbx/" + saved.key())
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
	b.click("[data-mischief=restart]")
	b.wait("document.querySelector('#b-story').textContent.includes('Restart.')")
	b.click("#extensions")
	b.wait("document.getElementById('result').textContent.startsWith('200 OK')")
	b.wait("document.querySelector('#b-story').textContent.includes('Token refused')")
	b.wait("document.querySelector('#b-head .word').textContent === 'Live'")
	b.wait("document.querySelectorAll('div.wide .flag').length === 1 && document.querySelectorAll('div.wide path.login').length === 2 && document.querySelectorAll('div.wide .cross').length === 1")
	if c := sim.pbx.Counts(); c.GoodLogins != 2 || c.WrongLogins != 0 {
		t.Errorf("%d logins, %d wrong", c.GoodLogins, c.WrongLogins)
	}
	// The picture and the table tell the same story.
	story := eval[[]string](b, "[...document.querySelectorAll('#b-story tbody th')].map(th => th.textContent)")
	for _, event := range []string{"Login", "You pressed", "Token refused", "Request", "Live"} {
		if !slices.Contains(story, event) {
			t.Errorf("the table lacks %q: %v", event, story)
		}
	}
}

func wrongPassword(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	b.visit("/add?driver=yeastar-p")
	b.fill("name", "Northwind Support")
	b.fill("url", sim.URL)
	b.fill("username", simUser)
	b.fill("password", "wrong-password")
	b.click(".primary[value=save]")
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Rejected'")
	b.click("#trouble-act")
	b.wait("document.querySelector('.wrong #password')")
	if got := eval[string](b, "document.activeElement.id"); got != "summary" && got != "password" {
		t.Errorf("focus is on %q", got)
	}
	if c := sim.pbx.Counts(); c.Logins != 1 || c.WrongLogins != 1 {
		t.Errorf("%d logins, %d wrong", c.Logins, c.WrongLogins)
	}
	b.fill("password", sim.password)
	b.click(".primary[value=save]")
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
}

func testMarksField(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	b.visit("/add?driver=yeastar-p")
	b.fill("name", "Northwind Support")
	b.fill("url", sim.URL)
	b.fill("username", simUser)
	b.fill("password", "wrong-password")
	b.click("#test")
	b.wait("document.querySelector('.wrong #password[aria-invalid=true]')")
	b.wait("document.activeElement.id === 'summary' && document.title.startsWith('Error: ')")
	texts := eval[[]string](b, "[document.querySelector('#summary li').textContent, document.querySelector('#password-error span').textContent, document.getElementById('password').value, document.querySelector('[data-step=Login]').className]")
	if texts[0] != texts[1] || texts[2] != "wrong-password" || texts[3] != "s-failed" {
		t.Errorf("%q", texts)
	}
	b.fill("password", sim.password)
	b.click("#test")
	b.wait("document.querySelectorAll('.s-done, .s-skipped').length === 8 && document.getElementById('summary').hidden")
	if len(r.app.ids()) != 0 {
		t.Error("a test saved something")
	}
}

func trustKey(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", true, pbxsim.Options{})
	b.visit("/add?driver=yeastar-p")
	b.fill("name", "Harbour Dental")
	b.fill("url", sim.URL)
	b.fill("username", simUser)
	b.fill("password", sim.password)
	b.click("#test")
	b.wait("!document.getElementById('decision').hidden")
	if n := sim.pbx.Counts().Requests; n != 0 {
		t.Errorf("%d requests were sent before the key is trusted", n)
	}
	pin := pbx.Pin(sim.cert.Leaf)
	if shown := eval[string](b, "document.getElementById('cert-pin').textContent"); "sha256/"+shown != pin {
		t.Errorf("the pin is shown as %q, and is %s", shown, pin)
	}
	b.click("#trust")
	b.wait("document.querySelectorAll('.s-done, .s-skipped').length === 8")
	b.click(".primary[value=save]")
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
	if _, s, _ := r.app.entry(r.app.ids()[0]); s.Pin != pin {
		t.Errorf("the pin is saved as %q", s.Pin)
	}
}

func forgiveHost(t *testing.T, b *tab, r *running) {
	sim, _, waiting := heldBack(r)
	line := "document.getElementById('host-" + hostname(sim.URL) + "')"
	forgive := "[id='forgive-" + hostname(sim.URL) + "']"
	b.visit("/")
	b.rowIs(waiting, "Held back")
	b.click(fmt.Sprintf("#r%d .c-act a", waiting.ID)) // Show host
	b.wait("document.activeElement === " + line)
	b.size(390, 844)
	b.visit("/pbx/" + waiting.key())
	b.click("#trouble-act") // Show host, from the PBX's own page, where the panel is closed
	b.wait("location.pathname === '/' && document.activeElement === " + line)
	b.size(1280, 860)
	b.click(forgive)
	b.wait("document.getElementById('dialog').open && document.activeElement.textContent === 'Cancel'")
	b.click("#dialog .danger")
	b.wait("document.querySelector('#dialog [name=sure]:invalid')")
	if c := sim.pbx.Counts(); c.Logins != 1 {
		t.Errorf("%d logins were sent before the box was ticked", c.Logins)
	}
	b.keys(kb.Escape)
	b.wait("!document.getElementById('dialog').open && document.activeElement.textContent === 'Forgive…'")
	b.click(forgive)
	b.click("#dialog [name=sure]")
	b.click("#dialog .danger")
	b.wait("document.getElementById('notice')?.textContent.endsWith(' is forgiven. The next login goes out at once.')")
	b.rowIs(waiting, "Live")
	b.wait("!document.querySelector('#hosts li')")
}

// twoProcesses opens the page of each: both show which one logs in, and a wrong
// password is sent by one of them.
func twoProcesses(newStore func(*testing.T) string) func(*testing.T, *tab, *running) {
	return func(t *testing.T, b *tab, r *running) {
		file, store := filepath.Join(t.TempDir(), "settings.db"), newStore(t)
		first := startShared(t, "crm-1", file, store, r.key, r.app.sims)
		working, refusing := r.simulate("openvox", false, pbxsim.Options{}), r.simulate("yeastar", false, pbxsim.Options{})
		good := first.connect(working, "Oakfield School", nil)
		first.waitFor(good, "Live")
		second := startShared(t, "crm-2", file, store, r.key, r.app.sims)
		bad := first.connect(refusing, "Northwind Support", func(s *Settings) { s.Password = secretOf("wrong") })
		for _, p := range []*running{first, second} {
			b.r = p
			b.visit("/")
			b.rowIs(good, "Live")
			b.rowIs(bad, "Rejected")
			b.wait(b.row(good) + ".querySelector('.rest').textContent.endsWith(' · token from crm-1')")
			b.wait(fmt.Sprintf("document.querySelector('.foot').textContent.includes('Process %s · store: %s')", p.app.with.process, p.app.with.kind))
		}
		b.visit("/pbx/" + good.key())
		b.wait("document.querySelectorAll('div.wide path.other').length === 1 && document.querySelector('#b-story').textContent.includes('Process crm-1 logs in, and this one uses its token.')")
		if n := working.pbx.Counts().Logins; n != 1 {
			t.Errorf("%d logins of an account that works", n)
		}
		if n := refusing.pbx.Counts().WrongLogins; n != 1 {
			t.Errorf("%d wrong logins", n)
		}
	}
}

func editKeepsRow(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Old name", nil)
	r.waitFor(saved, "Live")
	table := openTab(t, b.ctx, r)
	table.visit("/")
	table.rowIs(saved, "Live")
	eval[any](table, b.row(saved)+".marked = true, null")
	b.visit("/pbx/" + saved.key() + "/edit")
	b.fill("name", "New name")
	b.click(".primary[value=save]")
	b.wait("document.querySelector('h1')?.textContent === 'New name'")
	table.wait(b.row(saved) + ".querySelector('.name').textContent === 'New name' && " + b.row(saved) + ".marked")
	table.rowIs(saved, "Live")
	if c := sim.pbx.Counts(); c.WrongLogins != 0 {
		t.Errorf("%d wrong logins", c.WrongLogins)
	}
	table.quiet()
}

// everyStateFits shows a row in each situation that the table knows, on a desktop and
// on a phone.
func everyStateFits(t *testing.T, b *tab, r *running) {
	r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Umber & Sons", func(s *Settings) { s.Disconnected = time.Now() })
	b.visit("/")
	b.wait("document.documentElement.classList.contains('is-live')")
	var rows []row
	for i, s := range situations {
		f := inSituation(s.change)
		f.settings.ID, f.settings.Name = int64(1000+i), "<img src=x>"+s.name
		f.status.Since = noon.Add(-119 * time.Minute) // as long as times are
		f.settings.URL = "https://a-rather-long-name.of-a-host.northwind.example:8089"
		rows = append(rows, present(f, noon))
	}
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	eval[any](b, fmt.Sprintf("(offset = %d - Date.now(), zone = 0, take({rows: %s}), $('sort-again').click(), null)", noon.UnixMilli(), text))
	const shown = "[...document.querySelectorAll('#rows tr')]"
	if n := eval[int](b, shown+".filter(tr => !tr.hidden).length"); n != len(rows)+1 {
		t.Fatalf("%d rows", n)
	}
	if n := eval[int](b, "document.querySelectorAll('#rows img').length"); n != 0 {
		t.Error("a name is markup")
	}
	if odd := eval[[]string](b, shown+".filter(tr => tr.offsetHeight !== 61).map(tr => tr.innerText)"); len(odd) > 0 {
		t.Errorf("rows of another height than 61 px: %q", odd)
	}
	for _, width := range []int64{1280, 390} {
		b.size(width, 860)
		if cut := eval[[]string](b, shown+".flatMap(tr => [...tr.querySelectorAll('.word, .since, .c-next p, .c-act>*')]).filter(e => e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1).map(e => e.textContent + ', ' + e.scrollWidth + ' of ' + e.clientWidth + ' px')"); len(cut) > 0 {
			t.Errorf("%d px: cut off: %q", width, cut)
		}
	}
	for _, width := range []int64{861, 900, 961, 1100} { // the whole sentence stands on the PBX's page
		b.size(width, 860)
		if cut := eval[[]string](b, shown+".flatMap(tr => [...tr.querySelectorAll('.fact')]).filter(e => e.textContent && e.getBoundingClientRect().bottom > e.closest('p').getBoundingClientRect().bottom + 1).map(e => e.textContent)"); len(cut) > 0 {
			t.Errorf("%d px: what happened is cut off: %q", width, cut)
		}
	}
	b.size(1280, 860)
	if cut := eval[[]string](b, fmt.Sprintf("(frozen = %d, second(), %s.flatMap(tr => [...tr.querySelectorAll('.since')]).filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent))", noon.UnixMilli(), shown)); len(cut) > 0 {
		t.Errorf("on a page that is not live: cut off: %q", cut)
	}
}

func paintFourteen(t *testing.T, b *tab, r *running) {
	for i := range 14 {
		if _, err := r.app.save(t.Context(), Settings{Name: fmt.Sprintf("Customer %d", i), Driver: "runtel", URL: fmt.Sprintf("https://pbx%d.example", i), Username: "crm", Password: secretOf("p"), Disconnected: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 500, "14 rows are painted", func() int64 {
		b.visit("/")
		b.wait("performance.getEntriesByName('first-contentful-paint').length")
		return eval[int64](b, "Math.round(performance.getEntriesByName('first-contentful-paint')[0].startTime)")
	})
}

func rowsStay(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Middle", nil)
	r.connect(r.simulate("runtel", false, pbxsim.Options{}), "First", nil)
	bad := r.connect(r.simulate("yeastar", false, pbxsim.Options{}), "Bad", func(s *Settings) { s.Password = secretOf("wrong") })
	off := r.connect(r.simulate("openvox", false, pbxsim.Options{}), "Off", func(s *Settings) { s.Disconnected = time.Now() })
	locked := r.simulate("grandstream", false, pbxsim.Options{})
	locked.lock(true)
	shut := r.connect(locked, "Shut", nil)
	broken := r.simulate("openvox", false, pbxsim.Options{})
	broken.respond502(true)
	down := r.connect(broken, "Down", nil)
	for s, state := range map[*Settings]string{&saved: "Live", &bad: "Rejected", &off: "Closed", &shut: "Locked", &down: "Unavailable"} {
		r.waitFor(*s, state)
	}
	b.visit("/")
	b.rowIs(saved, "Live")
	if heights := eval[[]float64](b, "[...new Set([...document.querySelectorAll('#rows tr')].map(tr => tr.getBoundingClientRect().height))]"); len(heights) != 1 || heights[0] != 61 {
		t.Errorf("rows are %v px high", heights)
	}
	order := eval[[]string](b, "[...document.querySelectorAll('#rows tr')].map(tr => tr.id)")
	eval[any](b, b.row(saved)+".querySelector('.name').focus(), null")
	for i := range 10 {
		now := saved
		now.Disconnected = time.Time{}
		want := "Live"
		if i%2 == 0 {
			now.Disconnected, want = time.Now(), "Closed"
		}
		var err error
		if saved, err = r.app.save(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		b.rowIs(saved, want)
	}
	if got := eval[[]string](b, "[...document.querySelectorAll('#rows tr')].map(tr => tr.id)"); !slices.Equal(got, order) {
		t.Errorf("the order was %v and is %v", order, got)
	}
	if !eval[bool](b, b.row(saved)+".contains(document.activeElement)") {
		t.Error("the focus is lost")
	}
	saved.Disconnected = time.Now()
	if _, err := r.app.save(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	b.rowIs(saved, "Closed")
	b.wait("!document.getElementById('moved').hidden && document.getElementById('moved').textContent.includes('Sort again')")
	if !eval[bool](b, "document.querySelector('#moved button').click(), document.getElementById('moved').hidden") { // before another event comes
		t.Error("rows are out of place after sorting")
	}
	if got := eval[[]string](b, "[...document.querySelectorAll('#rows tr')].map(tr => tr.id)"); slices.Equal(got, order) {
		t.Error("the order has not changed")
	}
	added := r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Newcomer", nil)
	b.wait("document.getElementById('moved').textContent.includes('1 new PBX.')")
	b.click("#moved button")
	b.rowIs(added, "Live")
	if err := r.app.remove(t.Context(), added.ID); err != nil {
		t.Fatal(err)
	}
	b.rowIs(added, "Removed")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		if faint := eval[[]string](b, `(() => {
			const light = c => c.match(/\d+/g).slice(0, 3).map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
			const tr = `+b.row(added)+`, ground = light(getComputedStyle(document.getElementById('pbxs')).backgroundColor), dim = +getComputedStyle(tr).opacity;
			return [...tr.querySelectorAll('.word, .since, .name, .host, .c-brand, .rest')].filter(e => {
				const text = light(getComputedStyle(e).color) * dim + ground * (1 - dim);
				return (Math.max(text, ground) + .05) / (Math.min(text, ground) + .05) < 4.5;
			}).map(e => e.className);
		})()`); len(faint) > 0 {
			t.Errorf("%s: a removed row can hardly be read: %v", scheme, faint)
		}
	}
}

// A notice of an action far down the table is seen where the person is.
func noticeIsSeen(t *testing.T, b *tab, r *running) {
	for i := range 60 {
		if _, err := r.app.save(t.Context(), Settings{Name: fmt.Sprintf("Away %d", i), Driver: "avaya", URL: "https://pbx.example"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, width := range []int64{1280, 390} {
		b.size(width, 844)
		b.visit("/")
		if top := eval[float64](b, "(scrollTo(0, document.body.scrollHeight), notice('Not sent: the last try was 3 s ago.'), new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done($('notice').getBoundingClientRect().top)))))"); top < 0 || top > 800 {
			t.Errorf("%d px: the notice stands %v px from the top of the window", width, top)
		}
		if !eval[bool](b, "(() => { const r = $('notice').getBoundingClientRect(); return $('notice').contains(document.elementFromPoint(r.left + 40, r.top + 20)) })()") {
			t.Errorf("%d px: something covers the notice", width)
		}
	}
}

func stopAndStart(t *testing.T, b *tab, r *running) {
	file := filepath.Join(t.TempDir(), "settings.db")
	first := startWith(t, "127.0.0.1:0", file, r.key, r.app.sims)
	saved := first.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
	b.r = first
	b.visit("/")
	b.rowIs(saved, "Live")
	b.wait("document.documentElement.classList.contains('is-live')") // the first HTML has the row too
	eval[any](b, "window.marked = true, null")
	page := openTab(t, b.ctx, first)
	page.visit("/pbx/" + saved.key())
	page.wait("document.documentElement.classList.contains('is-live')")
	first.stop()
	b.wait("document.documentElement.classList.contains('is-lost') && !document.getElementById('lost').hidden")
	text := eval[string](b, "document.getElementById('lost-text').textContent + document.getElementById('live-text').textContent + "+b.row(saved)+".querySelector('.left').textContent")
	for _, want := range []string{"Live updates stopped at ", "Trying again in ", "Not live since ", "until "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	bar := "document.querySelector('#rows .fill').getAttribute('width')"
	if before := eval[string](b, bar); eval[string](b, "new Promise(r => setTimeout(() => r("+bar+"), 2100))") != before {
		t.Error("bars go on")
	}
	page.wait("document.querySelector('.for').textContent.startsWith('since ') && getComputedStyle(document.querySelector('.line-now')).strokeDasharray !== 'none'")
	startWith(t, first.addr, file, r.key, r.app.sims)
	page.wait("document.querySelector('.for').textContent.startsWith('for ')")
	b.wait("document.documentElement.classList.contains('is-live') && document.getElementById('lost').hidden")
	b.rowIs(saved, "Live")
	if !eval[bool](b, "window.marked") {
		t.Error("the page was loaded again")
	}
	// A connection that is dead without a word of it.
	if class := eval[string](b, "(heard -= 36000, second(), document.documentElement.className)"); !strings.Contains(class, "is-lost") {
		t.Errorf("after 36 s of silence the page is %q", class)
	}
	b.wait("document.documentElement.classList.contains('is-live')")
	b.mu.Lock()
	b.console = slices.DeleteFunc(b.console, func(text string) bool {
		return strings.Contains(text, "ERR_CONNECTION_REFUSED") || strings.Contains(text, "ERR_INCOMPLETE_CHUNKED_ENCODING")
	})
	b.mu.Unlock()
}

func thousandRows(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "The one that changes", nil)
	for i := range 999 {
		if _, err := r.app.save(t.Context(), Settings{Name: fmt.Sprintf("Customer %03d", i), Driver: "runtel", URL: fmt.Sprintf("https://pbx%d.example", i), Username: "crm", Password: secretOf("p"), Disconnected: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	b.visit("/")
	b.wait("document.querySelectorAll('#rows tr').length === 1000 && document.getElementById('shown').textContent === '1000 of 1000 shown'")
	b.rowIs(saved, "Live")

	// From the end or start of a session to its row, by the clock that both share.
	eval[any](b, fmt.Sprintf(`(() => { window.seen = []; new MutationObserver(() => seen.push(Date.now())).observe(%s.querySelector('.word'), {childList: true, characterData: true, subtree: true}); return null })()`, b.row(saved)))
	within(t, 100, "a session's change is in its row", func() int64 {
		at := time.Now()
		saved.Disconnected = time.Time{}
		want := "Live"
		if eval[string](b, b.row(saved)+".querySelector('.word').textContent") == "Live" {
			saved.Disconnected, want = at, "Closed"
		}
		eval[any](b, "seen.length = 0, null")
		at = time.Now()
		var err error
		if saved, err = r.app.save(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		b.rowIs(saved, want)
		return eval[int64](b, "seen[0]") - at.UnixMilli()
	})

	// From a press to the frame that shows it, as on a machine that does nothing else:
	// there, a frame in which little changes takes up to 30 ms.
	painted := func(press string) int64 {
		return eval[int64](b, `new Promise(done => { const from = performance.now(), painted = () => requestAnimationFrame(() => setTimeout(() => done(Math.round(performance.now() - from))));
			const seen = new MutationObserver(() => { seen.disconnect(); painted() }); seen.observe(document.querySelector('.pbxs'), {attributes: true, subtree: true, attributeFilter: ['aria-sort', 'hidden', 'lang']}); `+press+` })`)
	}
	frame := func(press string) int64 {
		little := painted("document.querySelector('.pbxs').lang = 'en'")
		return painted(press) * 30 / max(30, little)
	}
	for _, key := range []string{"name", "brand", "token", "state"} {
		b.click("[data-sort=" + key + "]") // from here on, each press turns all rows round
		within(t, 100, "1,000 rows are sorted by "+key, func() int64 {
			ms := frame("document.querySelector('[data-sort=" + key + "]').click()")
			b.wait("order.every((r, i) => r.tr === tbody.children[i])") // the later frames bring the rows further down
			return ms
		})
	}
	next := "customer 0"
	within(t, 100, "1,000 rows are searched", func() int64 {
		ms := frame(fmt.Sprintf("const q = document.querySelector('[name=q]'); q.value = %q; q.dispatchEvent(new Event('input', {bubbles: true}))", next))
		if next += "7"; len(next) > len("customer 07") {
			next = "customer 0"
		}
		return ms
	})
	within(t, 100, "1,000 rows are filtered", func() int64 {
		return frame("[...document.querySelectorAll('[name=show]')].find(r => !r.checked).click()")
	})
	b.visit("/")
	b.wait("document.querySelectorAll('#rows tr').length === 1000 && document.getElementById('shown').textContent === '1000 of 1000 shown'")
	b.fill("q", "customer 07")
	b.wait("document.getElementById('shown').textContent === '10 of 1000 shown'")
	if url := eval[string](b, "location.search"); url != "?q=customer+07" {
		t.Errorf("the address holds %q", url)
	}
}

// within waits until something takes at most so many milliseconds, and logs what it
// took. A busy machine needs a few tries.
func within(t *testing.T, most int64, what string, measure func() (ms int64)) {
	t.Helper()
	var took []int64
	eventually(t, func() bool {
		took = append(took, measure())
		return len(took) >= 5 && slices.Min(took[max(0, len(took)-5):]) <= most
	}, func() string { return fmt.Sprintf("%s: never within %d ms: %v", what, most, took) })
	slices.Sort(took)
	t.Logf("%s after %v ms (median %d)", what, took, took[len(took)/2])
}

func keyboardAlone(t *testing.T, b *tab, r *running) {
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
	bad := r.connect(r.simulate("yeastar", false, pbxsim.Options{}), "Northwind", func(s *Settings) { s.Password = secretOf("wrong") })
	r.waitFor(bad, "Rejected")
	r.waitFor(saved, "Live")
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for _, path := range []string{"/", "/add?driver=yeastar", "/pbx/" + saved.key()} {
			b.visit(path)
			var reached []string
			for range 60 {
				b.keys(kb.Tab)
				where := eval[[]any](b, `(() => { const e = document.activeElement; if (!e || e === document.body) return ['', true];
					const shown = e.matches('.chip input') ? e.nextElementSibling : e, r = shown.getBoundingClientRect(), s = getComputedStyle(shown);
					let clipped = false;
					for (let p = shown.parentElement; p && p !== document.body; p = p.parentElement) { const o = getComputedStyle(p); if (o.overflow !== 'visible') { const q = p.getBoundingClientRect(); if (r.left - 2 < q.left - 1 || r.right + 2 > q.right + 1 || r.top - 2 < q.top - 1 || r.bottom + 2 > q.bottom + 1) clipped = true } }
					return [(e.id || e.textContent.trim() || e.name).slice(0, 30), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2 && r.width > 0 && !clipped] })()`)
				name := where[0].(string)
				if name == "" || len(reached) > 0 && name == reached[0] {
					break
				}
				reached = append(reached, name)
				if !where[1].(bool) {
					t.Errorf("%s, %s: the focus on %q is not visible", path, scheme, name)
				}
			}
			if len(reached) < 8 {
				t.Errorf("%s: the keyboard reaches %v", path, reached)
			}
		}
	}

	// A PBX is added, tested and saved without a mouse.
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	tabTo := func(what string) {
		t.Helper()
		for range 60 {
			if eval[bool](b, "document.activeElement.matches("+strconv.Quote(what)+")") {
				return
			}
			b.keys(kb.Tab)
		}
		t.Fatalf("the keyboard does not reach %s", what)
	}
	b.visit("/")
	tabTo("[href='/add']")
	b.keys(kb.Enter)
	b.wait("location.pathname === '/add'")
	tabTo("#driver")
	b.keys("Yeastar P")
	b.wait("document.querySelector('[name=drawn]')?.value === 'yeastar-p' && document.activeElement.id === 'driver'")
	for id, text := range map[string]string{"name": "Typed by hand", "url": sim.URL, "username": simUser, "password": sim.password} {
		b.do(chromedp.Focus(chromedp.CSS("#driver")))
		tabTo("#" + id)
		b.keys(text)
	}
	tabTo("#test")
	b.keys(kb.Enter)
	b.wait("document.querySelectorAll('.s-done, .s-skipped').length === 8")
	b.do(chromedp.Focus(chromedp.CSS("#password")))
	tabTo(".primary[value=save]")
	b.keys(kb.Enter)
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live' && document.querySelector('h1').textContent === 'Typed by hand'")

	// Each choice of a brand draws the form anew, and arrow keys go on from there.
	b.visit("/add?driver=runtel")
	tabTo("#driver")
	b.keys(kb.ArrowUp)
	b.wait("document.querySelector('[name=drawn]').value !== 'runtel' && document.activeElement.id === 'driver'")
	b.keys(kb.ArrowDown)
	b.wait("document.querySelector('[name=drawn]').value === 'runtel' && document.activeElement.id === 'driver'")
	tabTo("[name=login]")
	b.keys(kb.ArrowDown)
	b.wait("document.querySelector('[name=drawn]').value === 'runtel by key' && document.activeElement.value === 'key'")

	b.visit("/pbx/" + saved.key())
	eval[any](b, "document.getElementById('remove').focus(), null")
	b.keys(kb.Enter)
	b.wait("document.getElementById('dialog').open && document.activeElement.textContent === 'Cancel'")
	b.keys(kb.Escape)
	b.wait("!document.getElementById('dialog').open && document.activeElement.id === 'remove'")
	b.visit("/")
	eval[any](b, "document.querySelector('[data-sort=name]').focus(), null")
	b.keys(kb.Enter)
	b.wait("document.querySelector('.c-pbx[aria-sort=ascending]') && document.querySelectorAll('[aria-sort]').length === 1")
}

// pages of a fleet with trouble, for what is tested on all of them.
func focusStays(t *testing.T, b *tab, r *running) {
	broken := r.simulate("openvox", false, pbxsim.Options{})
	broken.respond502(true)
	down := r.connect(broken, "Down", nil)
	r.waitFor(down, "Unavailable")
	lock := func(name string) {
		sim := r.simulate("grandstream", false, pbxsim.Options{})
		sim.lock(true)
		r.waitFor(r.connect(sim, name, nil), "Locked")
	}
	lock("Shut")
	b.size(390, 844)
	b.visit("/")
	b.wait("document.documentElement.classList.contains('is-live')")
	const summary = "document.querySelector('.hosts>summary')"
	eval[any](b, summary+".focus(), null")
	lock("Shut too")
	b.wait(summary + ".textContent.includes('2 hosts')")
	if !eval[bool](b, summary+" === document.activeElement") {
		t.Error("the hosts in trouble are drawn anew, and the focus is lost")
	}
	action := b.row(down) + ".querySelector('td.c-act > *')"
	b.rowIs(down, "Unavailable")
	eval[any](b, action+".focus(), null")
	broken.respond502(false)
	b.keys("\r") // Try now
	b.rowIs(down, "Live")
	b.wait("!" + action) // there is nothing to do any more
	if !eval[bool](b, b.row(down)+".querySelector('.name') === document.activeElement") {
		t.Error("a button went, and the focus with it: " + eval[string](b, "document.activeElement.outerHTML.slice(0, 100)"))
	}
	broken.respond502(true)
	r.connect(broken, "Down again", nil)
	b.visit("/")
	b.wait("[...document.querySelectorAll('#rows .name')].find(a => a.textContent === 'Down again')")
	b.visit(eval[string](b, "[...document.querySelectorAll('#rows .name')].find(a => a.textContent === 'Down again').getAttribute('href')"))
	b.wait("document.documentElement.classList.contains('is-live') && document.getElementById('trouble-act')")
	eval[any](b, "document.getElementById('trouble-act').focus(), null")
	broken.respond502(false)
	b.keys("\r") // Try now
	b.wait("!document.getElementById('trouble-act')")
	if at := eval[string](b, "document.activeElement.id"); at != "main" {
		t.Errorf("the trouble is over, and the focus is on %q", at)
	}
}

// addedOnce sends a change of a row that still waits to be added: many rows are added
// over several frames.
func addedOnce(t *testing.T, b *tab, r *running) {
	r.connect(r.simulate("runtel", false, pbxsim.Options{}), "First", nil)
	b.visit("/")
	b.wait("document.documentElement.classList.contains('is-live')")
	got := eval[[]string](b, `new Promise(done => {
		const row = (id, state) => ({ id, name: 'N' + id, host: 'h', brand: 'b', group: 'ok', icon: 'live', state, since: 1, from: 1, action: {} });
		source.close();
		take({ all: true, rows: [...Array(700).keys()].map(i => row(i + 1000, 'Old')) });
		take({ rows: [row(1690, 'New')], gone: [1691] });
		const end = () => fresh.size ? requestAnimationFrame(end) : done([...document.querySelectorAll('#r1690, #r1691')].map(e => e.querySelector('.word').textContent).concat(rows.get(1690).state));
		end();
	})`)
	if !slices.Equal(got, []string{"New", "New"}) {
		t.Errorf("rows %q", got)
	}
}

// longWords puts words of 150 letters, as the names of hosts and of PBXs may be, where
// texts of people and of PBXs stand.
func longWords(t *testing.T, b *tab, r *running) {
	paths := append(troubled(r), "/?q=nothing")
	for _, width := range []int64{320, 768, 1280} {
		b.size(width, 844)
		for _, path := range paths {
			b.visit(path)
			wide := eval[[]string](b, `['.fact', '.why', '.lead', '.notice', '.summary li', '.error span', '.trouble p', '.said', '.help', '.name', '.host', '.crumbs b', '#nomatch-text', '#result', '.details dd', '.story td:last-child', '.story th', 'h1', '.tick span'].filter(of => {
				const all = [...document.querySelectorAll(of)].filter(e => !e.closest('dialog'));
				const was = all.map(e => [e.closest('[hidden]'), e.innerHTML]);
				all.forEach((e, i) => { was[i][0]?.removeAttribute('hidden'); e.textContent = 'x'.repeat(150); });
				const wide = document.scrollingElement.scrollWidth > innerWidth;
				all.forEach((e, i) => { was[i][0]?.setAttribute('hidden', ''); e.innerHTML = was[i][1]; });
				return wide;
			})`)
			if len(wide) > 0 {
				t.Errorf("%s at %d px: %v scroll sideways", path, width, wide)
			}
		}
	}
	b.dropNotFound()
}

// timesAgree compares what the script writes, where the page is no longer live too,
// with clock.go.
func timesAgree(t *testing.T, b *tab, r *running) {
	r.connect(r.simulate("runtel", false, pbxsim.Options{}), "First", nil)
	b.visit("/")
	b.wait("document.documentElement.classList.contains('is-live')")
	now := time.Date(2026, 3, 1, 0, 30, 5, 0, time.FixedZone("", 5*3600+1800))
	for _, d := range []time.Duration{0, time.Second, 119 * time.Second, 2 * time.Minute, 31 * time.Minute, 59 * time.Minute, time.Hour, 90 * time.Minute, 119 * time.Minute, 23*time.Hour + 29*time.Minute, 24 * time.Hour, 47 * time.Hour, 72 * time.Hour, 15 * 24 * time.Hour, 60 * 24 * time.Hour} {
		got := eval[[]string](b, fmt.Sprintf("(source.close(), zone = 19800, frozen = %d, [clock(frozen - %[2]d), clock(frozen + %[2]d), clock(frozen + %[2]d, true), ago(%[2]d), left(%[2]d)])", now.UnixMilli(), d.Milliseconds()))
		want := []string{clock(now.Add(-d), now), clock(now.Add(d), now), exact(now.Add(d), now), ago(d), left(d)}
		if !slices.Equal(got, want) {
			t.Errorf("%v: the script writes %q, and the server %q", d, got, want)
		}
	}
}

func troubled(r *running) []string {
	saved := r.connect(r.simulate("yeastar-p", true, pbxsim.Options{}), "Harbour Dental", nil)
	bad := r.connect(r.simulate("yeastar", false, pbxsim.Options{}), "Northwind Support with a name that is rather long", func(s *Settings) { s.Password = secretOf("wrong") })
	locked := r.simulate("grandstream", false, pbxsim.Options{})
	locked.lock(true)
	shut := r.connect(locked, "Kestrel Insurance", nil)
	other := r.connect(r.simulate("yeastar-p", true, pbxsim.Options{}), "Tamarind Foods", func(s *Settings) { s.Pin = pbx.Pin(selfSigned(make([]byte, 32)).Leaf) })
	off := r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Umber & Sons", func(s *Settings) { s.Disconnected = time.Now() })
	r.waitFor(saved, "Live")
	r.waitFor(bad, "Rejected")
	r.waitFor(shut, "Locked")
	r.waitFor(other, "Unavailable")
	r.waitFor(off, "Closed")
	return []string{"/", "/add", "/add?driver=yeastar", "/add?driver=runtel", "/pbx/" + saved.key(), "/pbx/" + bad.key(), "/pbx/" + bad.key() + "/edit", "/pbx/" + other.key() + "/edit?key=show", "/pbx/" + saved.key() + "/remove", "/host/" + hostname(locked.URL) + "/forgive", "/nowhere"}
}

// Also where another person has pressed the button.
func disconnectKeepsFocus(t *testing.T, b *tab, r *running) {
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
	r.waitFor(saved, "Live")
	b.visit("/pbx/" + saved.key())
	b.wait("document.documentElement.classList.contains('is-live')")
	other := openTab(t, b.ctx, r)
	other.visit("/pbx/" + saved.key())
	other.wait("document.documentElement.classList.contains('is-live')")
	for _, press := range [][2]string{{"Disconnect", "Connect"}, {"Connect", "Disconnect"}} {
		button := "[...document.querySelectorAll('.head button')].find(b => b.textContent === '" + press[0] + "')"
		b.wait(button)
		eval[any](b, button+".focus(), null")
		b.keys("\r")
		for _, each := range []*tab{b, other} {
			each.wait("document.querySelector('.head button').textContent === '" + press[1] + "'")
		}
		if at := eval[string](b, "document.activeElement.textContent"); at != press[1] {
			t.Errorf("after %s the focus is on %.40q", press[0], at)
		}
	}
	other.quiet()
}

func waysToLogIn(t *testing.T, b *tab, r *running) {
	b.visit("/add?driver=runtel")
	got := eval[[]float64](b, "(() => { const left = e => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect().left }; return [left(document.querySelector('.radios legend')) - left(document.querySelector('.radios')), ...[...document.querySelectorAll('.radios label')].map(l => Math.abs(l.firstElementChild.getBoundingClientRect().top + 8 - l.getBoundingClientRect().top - l.offsetHeight / 2))] })()")
	if len(got) != 3 || got[0] > 0 || got[1] > 1 || got[2] > 1 {
		t.Errorf("the legend is indented by %v px, and the buttons stand beside the middle of their lines by %v px", got[0], got[1:])
	}
}

func troubleOnAPhone(t *testing.T, b *tab, r *running) {
	saved := r.connect(r.simulate("yeastar", false, pbxsim.Options{}), "Northwind Support", func(s *Settings) { s.Password = secretOf("wrong") })
	r.waitFor(saved, "Rejected")
	b.size(390, 844)
	b.visit("/pbx/" + saved.key())
	if width := eval[float64](b, "document.querySelector('.trouble p').getBoundingClientRect().width"); width < 250 {
		t.Errorf("the text has %v px beside its buttons", width)
	}
}

func storyTimesAreWhole(t *testing.T, b *tab, r *running) {
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour Dental", nil)
	r.waitFor(saved, "Live")
	b.visit("/pbx/" + saved.key())
	for _, width := range []int64{900, 1280} {
		b.size(width, 860)
		if broken := eval[[]string](b, "[...document.querySelectorAll('#b-story td:first-child')].filter(td => { const r = document.createRange(); r.selectNodeContents(td); return r.getClientRects().length !== 1 }).map(td => td.textContent)"); len(broken) > 0 {
			t.Errorf("%d px: a time is on two lines: %q", width, broken)
		}
	}
}

func narrowScreens(t *testing.T, b *tab, r *running) {
	paths := troubled(r)
	for _, width := range []int64{320, 390, 768, 900, 960, 1100, 1280} {
		b.size(width, 844)
		for _, path := range paths {
			b.visit(path)
			if wide := eval[int64](b, "document.scrollingElement.scrollWidth"); wide > width {
				t.Errorf("%s at %d px is %d px wide: %v", path, width, wide, eval[[]string](b, "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.unseen')).slice(0, 5).map(e => e.tagName + '.' + (e.className.baseVal ?? e.className) + '#' + e.id)"))
			}
			if width != 390 {
				continue
			}
			for _, small := range eval[[]string](b, `[...document.querySelectorAll('button, .button, .plain, select, summary, input:not([type=hidden]), .tick, .chip > span, tbody tr')].filter(e => !e.closest('.unseen, dialog, .chip input') && !e.matches('.chip input, .tick input, .story tr') && e.checkVisibility() && !e.closest('svg') && e.getBoundingClientRect().height < 44).map(e => e.outerHTML.slice(0, 80))`) {
				t.Errorf("%s: less than 44 px high: %s", path, small)
			}
		}
	}
	for i := range 20 { // so that the filters show numbers of two digits
		if _, err := r.app.save(t.Context(), Settings{Name: fmt.Sprintf("Away %d", i), Driver: "avaya", URL: "https://pbx.example"}); err != nil {
			t.Fatal(err)
		}
	}
	b.size(390, 844)
	b.visit("/")
	if top := eval[float64](b, "document.querySelector('#rows tr').getBoundingClientRect().top"); top > 460 {
		t.Errorf("the first card begins %v px from the top", top)
	}
	b.dropNotFound()
}

// dropNotFound forgets the browser's own line about a page that is not there.
func (b *tab) dropNotFound() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = slices.DeleteFunc(b.console, func(text string) bool { return strings.Contains(text, "/nowhere") })
}

const axeVersion = "4.14.1"

// axe returns the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("there is no cache directory for axe-core")
	}
	dir := filepath.Join(cache, "pbx-crm-axe-"+axeVersion)
	file := filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
	if _, err := os.Stat(file); err != nil {
		npm, err := exec.LookPath("npm")
		if err != nil {
			t.Skip("there is no npm to fetch axe-core with")
		}
		if out, err := exec.Command(npm, "install", "--prefix", dir, "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@"+axeVersion).CombinedOutput(); err != nil {
			t.Skipf("axe-core cannot be fetched: %s", out)
		}
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Skip("axe-core cannot be read")
	}
	return string(source)
}

func axeFindsNothing(t *testing.T, b *tab, r *running) {
	source := axe(t)
	paths := troubled(r)
	for _, width := range []int64{1280, 390} {
		b.size(width, 844)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			for _, path := range paths {
				b.visit(path)
				b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
					_, err := chromedp.Evaluate[any](source+"; null")(ctx, t)
					return err
				}))
				for _, found := range eval[[]string](b, `axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 160) + ' ' + n.failureSummary)))`) {
					t.Errorf("%s, %s, %d px: %s", path, scheme, width, found)
				}
			}
		}
	}
	b.dropNotFound()
}

func emptyPage(t *testing.T, b *tab, r *running) {
	b.visit("/")
	b.wait("document.querySelector('.empty h2').textContent === 'No PBX yet' && !document.getElementById('filters')")
	b.click("[formaction='/simulated']")
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
}
