package main

import (
	"context"
	"flag"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures of README.md: go test -run Screenshots -screenshots -timeout 15m")

// TestScreenshots writes the pictures of README.md. What they show has happened:
// it takes nine minutes.
func TestScreenshots(t *testing.T) {
	if !*screenshots {
		t.Skip("writes files: only with -screenshots")
	}
	chromium := browser(t)
	key := newKey()
	sims := newSimulated("127.0.0.11", key)
	defer sims.close()
	p, err := open(settingsOfProcess{simulate: true}, key, sims, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, l) }()
	defer func() { cancel(); <-ended }()
	r := &running{program: p, t: t, key: key, addr: l.Addr().String()}

	sim := r.simulate("openvox", false, pbxsim.Options{Lifetime: 2 * time.Minute})
	story := r.connect(sim, "Mostovik", func(s *Settings) { s.Options["token_ttl"] = "2m" })
	r.waitFor(story, "Live")
	b := openTab(t, chromium, r)
	b.visit("/pbx/" + story.key())
	b.click("#repeat")
	press := func(after time.Duration, name string) {
		time.Sleep(after)
		b.click("[data-mischief='" + name + "']")
	}
	press(100*time.Second, "restart")
	press(90*time.Second, "away")
	press(100*time.Second, "away")
	press(90*time.Second, "slow")
	press(20*time.Second, "slow")
	b.click("#repeat")
	time.Sleep(40 * time.Second)
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
	b.picture("pbx-dark", 1280, 980, 1, "dark")
	b.picture("pbx-phone", 390, 844, 2, "dark")

	b.visit("/")
	b.picture("table-light", 1280, 860, 1, "light")
	b.picture("table-dark", 1280, 860, 1, "dark")
	b.picture("table-phone", 390, 844, 2, "light")

	wrong := r.simulate("yeastar", false, pbxsim.Options{})
	b.size(1280, 860)
	b.visit("/add?driver=yeastar")
	b.fill("name", "Northwind Warehouse")
	b.fill("url", wrong.URL)
	b.fill("username", simUser)
	b.fill("password", "not the password")
	b.click("#test")
	b.wait("document.querySelector('.wrong #password[aria-invalid=true]')")
	b.picture("form-light", 1280, 1080, 1, "light")
}

// picture writes what the tab shows.
func (b *tab) picture(name string, width, height int64, scale float64, scheme string) {
	b.t.Helper()
	b.scheme(scheme)
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)))
	eval[any](b, "scrollTo(0, 0), new Promise(r => setTimeout(() => r(null), 1700))") // until changed cells have lost their tint
	var png []byte
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "png"})
		png = shot.Data
		return err
	}))
	if len(png) > 200_000 {
		b.t.Errorf("%s has %d bytes", name, len(png))
	}
	if err := os.MkdirAll("screenshots", 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("screenshots", name+".png"), png, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
