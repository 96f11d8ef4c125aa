package main

import (
	"bytes"
	"context"
	"flag"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var screenshots = flag.Bool("screenshots", false, "write the pictures of README.md: go test -run Screenshots -screenshots -timeout 15m")

// demo starts the program as `go run .` does, for pictures.
func demo(t *testing.T) *running {
	t.Helper()
	if !*screenshots {
		t.Skip("writes files: only with -screenshots")
	}
	key := newKey()
	sims := newSimulated("127.0.0.11", key)
	t.Cleanup(sims.close)
	p, err := open(settingsOfProcess{simulate: true}, key, sims, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-ended })
	return &running{program: p, t: t, key: key, addr: l.Addr().String()}
}

// TestScreenshotsOfTheListAndTheForm writes pictures of README.md.
func TestScreenshotsOfTheListAndTheForm(t *testing.T) {
	r := demo(t)
	b := openTab(t, browser(t), r)

	// The list, while one PBX connects and one renews: both respond slowly.
	b.visit("/")
	mostovik := named(r, "Mostovik")
	r.waitFor(mostovik, "Live")
	slow := func(host string) {
		r.app.sims.at(host).pbx.ClearFaults()
		r.app.sims.at(host).pbx.Fault(pbxsim.Fault{Times: -1, Delay: 9 * time.Second})
	}
	slow(mostovik.host())
	entry, _, _ := r.app.entry(mostovik.ID)
	for end := time.Now().Add(2 * time.Minute); r.app.row(entry, time.Now()).State != "Renewing"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Mostovik does not renew")
		}
	}
	riverside := r.simulate("wazo", false, pbxsim.Options{})
	slow(riverside.listen)
	r.connect(riverside, "Pine Street Clinic", nil)
	b.visit("/")
	b.wait("document.querySelectorAll('#rows tr.g-busy').length === 1")
	b.picture("table-light", 1280, 0, 1, "light")
	b.picture("table-dark", 1280, 0, 1, "dark")
	b.size(390, 844)
	b.visit("/")
	b.wait("document.querySelector('.hosts:not([open])')")
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
	b.picture("form-light", 1280, 0, 1, "light")
}

// TestScreenshotsOfAPBX writes the picture of a session's story. It has happened,
// so it takes six minutes.
func TestScreenshotsOfAPBX(t *testing.T) {
	r := demo(t)
	b := openTab(t, browser(t), r)
	sim := r.simulate("yeastar-p", false, pbxsim.Options{Lifetime: time.Minute})
	story := r.connect(sim, "Ashgrove Vets", nil)
	r.waitFor(story, "Live")
	b.visit("/pbx/" + story.key())
	b.click("#repeat")
	press := func(after time.Duration, name string) {
		time.Sleep(after)
		b.click("[data-mischief='" + name + "']")
	}
	press(45*time.Second, "restart")
	press(65*time.Second, "502")
	press(2*time.Minute, "502") // the token expires meanwhile
	press(70*time.Second, "slow")
	time.Sleep(20 * time.Second)
	b.wait("document.querySelector('#b-head .word')?.textContent === 'Live'")
	b.picture("pbx-dark", 1280, 980, 1, "dark")
}

// named finds a PBX of the demo.
func named(r *running, name string) Settings {
	r.t.Helper()
	for _, id := range r.app.ids() {
		if _, s, _ := r.app.entry(id); s.Name == name {
			return s
		}
	}
	r.t.Fatalf("the demo has no %s", name)
	return Settings{}
}

// picture writes what the tab shows. Height 0 is that of the page.
func (b *tab) picture(name string, width, height int64, scale float64, scheme string) {
	b.t.Helper()
	b.scheme(scheme)
	if height == 0 {
		b.size(width, 600)
		height = eval[int64](b, "document.scrollingElement.scrollHeight")
	}
	b.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)))
	eval[any](b, "scrollTo(0, 0), new Promise(r => setTimeout(() => r(null), 1700))") // until changed cells have lost their tint
	var shot []byte
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		taken, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: "png"})
		shot = taken.Data
		return err
	}))
	shot = inFewColours(b.t, shot)
	if len(shot) > 200_000 {
		b.t.Errorf("%s has %d bytes", name, len(shot))
	}
	if err := os.MkdirAll("screenshots", 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("screenshots", name+".png"), shot, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// inFewColours writes a picture with its 256 most frequent colours, which a page of
// text hardly has more of.
func inFewColours(t *testing.T, shot []byte) []byte {
	t.Helper()
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.Color]int{}
	size := full.Bounds()
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			count[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return count[b] - count[a] })
	few := image.NewPaletted(size, colours[:min(len(colours), 256)])
	nearest := map[color.Color]uint8{}
	for i, c := range few.Palette {
		nearest[c] = uint8(i)
	}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			c := full.At(x, y)
			i, ok := nearest[c]
			if !ok {
				i = uint8(few.Palette.Index(c))
				nearest[c] = i
			}
			few.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
