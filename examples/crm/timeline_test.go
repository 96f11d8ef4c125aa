package main

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

func at(minutes float64) time.Time { return noon.Add(time.Duration(minutes * float64(time.Minute))) }

// history is a PBX that restarted and was then away.
var history = timeline{
	now: noon, expires: at(1.5), live: true, next: at(.5), nextIs: "next heartbeat",
	events: []event{
		{At: at(-9), Kind: sentLogin, Label: "Login", Result: "Accepted.", Expires: at(-7)},
		{At: at(-9), Kind: stateChanged, Label: "Live", State: session.Live, Group: loggedIn},
		{At: at(-8), Kind: sentKeepAlive, Label: "Keep-alive", Result: "Accepted.", Expires: at(-6)},
		{At: at(-7.5), Kind: pressed, Label: "Restart <now>"},
		{At: at(-7.4), Kind: tokenRefused, Label: "Token refused", Failed: true},
		{At: at(-7.4), Kind: stateChanged, Label: "Connecting", State: session.Connecting, Group: busy},
		{At: at(-7.3), Kind: sentLogin, Label: "Login", Result: "Accepted.", Expires: at(-5)},
		{At: at(-7.3), Kind: stateChanged, Label: "Live", State: session.Live, Group: loggedIn},
		{At: at(-6), Kind: sentKeepAlive, Label: "Keep-alive", Failed: true, Result: "No connection."},
		{At: at(-5), Kind: stateChanged, Label: "Unavailable", State: session.Unavailable, Group: waits},
		{At: at(-4.9), Kind: sentRequest, Label: "Request", Failed: true, Result: "No token."},
		{At: at(-4.8), Kind: sentRequest, Label: "Request", Failed: true, Result: "No token yet."},
		{At: at(-4), Kind: sentCheck, Label: "Check", Result: "Without the password: no response."},
		{At: at(-2), Kind: sentLogin, Label: "Login", Failed: true, Wrong: true, Result: "Refused."},
		{At: at(-1), Kind: sentLogin, Label: "Login", Result: "Accepted.", Expires: at(1.5)},
		{At: at(-1), Kind: stateChanged, Label: "Live", State: session.Live, Group: loggedIn},
		{At: at(-.5), Kind: sentRequest, Label: "Request", Result: "200 OK", Took: 20 * time.Millisecond},
	},
}

func TestTokensOfATimelineEndWhereTheyWereRefusedOrExpired(t *testing.T) {
	want := []span{
		{at(-9), at(-7.4), "refused"},
		{at(-7.3), at(-5), "expired"},
		{at(-1), noon, ""},
	}
	if diff := cmp.Diff(want, history.spans(), cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
}

func TestATokenThatTheSessionGivesUpEndsAsWhatItIs(t *testing.T) {
	begin := event{At: at(-9), Kind: sentLogin, Expires: at(-7)}
	connecting := func(at time.Time) event { return event{At: at, Kind: stateChanged, State: session.Connecting} }
	for _, row := range []struct {
		name   string
		events []event
		want   string
	}{
		{"its keep-alive was refused", []event{{At: at(-8), Kind: sentKeepAlive, Failed: true, Dead: true}, connecting(at(-8))}, "refused"},
		{"its time was over", []event{{At: at(-7.5), Kind: sentKeepAlive, Failed: true}, connecting(at(-7))}, "expired"},
		{"its time was over while the PBX was away", []event{{At: at(-7), Kind: stateChanged, State: session.Unavailable}, connecting(at(-3))}, "expired"},
		{"the settings changed", []event{connecting(at(-8))}, ""},
		{"it was refused while its keep-alive was under way", []event{{At: at(-8), Kind: sentKeepAlive, Took: 2 * time.Second}, {At: at(-8).Add(time.Second), Kind: tokenRefused}, connecting(at(-7.9)), {At: at(-7), Kind: sentLogout}}, "refused"},
	} {
		got := timeline{now: noon, events: append([]event{begin}, row.events...)}.spans()
		if len(got) == 0 || got[0].until.After(at(-7)) || got[0].how != row.want || len(got) > 2 {
			t.Errorf("%s: %+v, want %q", row.name, got, row.want)
		}
	}
}

func TestATimelineCountsWhatItShows(t *testing.T) {
	if got, want := history.tally(10*time.Minute).String(), "4 logins · 1 wrong login · 2 keep-alives · 3 requests, 2 failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := history.tally(90*time.Second).String(), "1 login · 0 wrong logins · 0 keep-alives · 1 request, 0 failed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheStoryInWordsHasEveryEventOfThePicture(t *testing.T) {
	var got []string
	for _, l := range story(history.events, 50) {
		got = append(got, l.Event+": "+l.Result)
	}
	want := []string{
		"Request: 200 OK", "Login: Accepted.", "Live: ", "Login: Refused.", "Check: Without the password: no response.", "2 requests: Since 11:55:06. The last one: No token yet.", "Unavailable: ",
		"Keep-alive: No connection.", "Live: ", "Login: Accepted.", "Connecting: ", "Token refused: ", "You pressed: Restart <now>.", "Keep-alive: Accepted.", "Live: ", "Login: Accepted.",
	}
	if len(got) != len(want) {
		t.Errorf("%d lines, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for _, line := range want {
		if !strings.Contains(strings.Join(got, "\n")+"\n", line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
}

func TestAPictureIsWellFormedAndShowsEachSign(t *testing.T) {
	for _, f := range []frame{wide, narrow} {
		picture := string(history.draw(f, "A title & more", "A description."))
		for d := xml.NewDecoder(strings.NewReader(picture)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, picture)
			}
		}
		contains(t, picture, "A title &amp; more", `class="planned"`, `class="c-stop solid"`, `class="asked"`, `class="future"`, `class="check"`, `-stripes-wait)"`)
		if strings.Contains(picture, " style=") || strings.Contains(picture, "<now>") {
			t.Error("the picture has an inline style, or text that is not escaped")
		}
	}
	twice := timeline{now: noon, events: []event{{At: at(-5), Kind: pressed, Label: "Go away on"}, {At: at(-3), Kind: pressed, Label: "Go away off"}, {At: at(-1), Kind: pressed, Label: "Respond 502 off"}}}
	contains(t, string(twice.draw(wide, "", "")), ">Go away on<", ">off<", ">Respond 502 off<")
	if picture := string(history.draw(wide, "", "")); strings.Count(picture, `class="flag"`) != 1 || strings.Count(picture, `class="login"`) != 3 || !strings.Contains(picture, `class="c-ok solid"`) || !strings.Contains(picture, "Restart &lt;now&gt;") {
		t.Error(picture)
	}
}

// What a person reads of a key names no field of a program. The driver's own words
// stand in the details.
func TestTheStoryOfAKeyThatIsNotTrustedIsInPlainWords(t *testing.T) {
	r := start(t, "")
	for _, pin := range []string{"", pbx.Pin(selfSigned(make([]byte, 32)).Leaf)} {
		saved := r.connect(r.simulate("yeastar-p", true, pbxsim.Options{}), "Tamarind Foods "+pin, func(s *Settings) { s.Pin = pin })
		r.waitFor(saved, "Unavailable")
		e, _, _ := r.app.entry(saved.ID)
		o := r.app.listExtensions(t.Context(), e, saved)
		for _, line := range append(story(e.journal.all(), 50), line{Result: o.Text}) {
			if strings.Contains(line.Result, "TLS.") || strings.Contains(line.Result, "sha256/") {
				t.Errorf("%s: %s", line.Event, line.Result)
			}
		}
	}
}

// Not as the driver says it to the person who sets it up.
func TestTheStoryOfAnOutageIsInPlainWords(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	sim.respond502(true)
	saved := r.connect(sim, "Petrel Marine", nil)
	r.waitFor(saved, "Unavailable")
	e, _, _ := r.app.entry(saved.ID)
	logins := 0
	for _, line := range story(e.journal.all(), 50) {
		if line.Event == "Login" {
			logins++
			if want := "502 Bad Gateway: the PBX does not respond."; line.Result != want {
				t.Errorf("got %q, want %q", line.Result, want)
			}
		}
	}
	if logins == 0 {
		t.Error("there is no login")
	}
}

func TestManyMarksAreMerged(t *testing.T) {
	crowd := timeline{now: noon}
	for i := range 2000 {
		crowd.events = append(crowd.events, event{At: noon.Add(-time.Duration(i) * 300 * time.Millisecond), Kind: sentRequest})
	}
	picture := string(crowd.draw(wide, "", ""))
	if n := strings.Count(picture, `class="asked"`); n > maxMarks {
		t.Errorf("%d marks", n)
	}
	contains(t, picture, "×")
}

func TestAPictureSaysThatNothingHappensUntilAPersonActs(t *testing.T) {
	for _, f := range []frame{wide, narrow} {
		contains(t, string(timeline{now: noon, nextIs: "nothing until you act"}.draw(f, "", "")), ">nothing until you act<")
	}
}

// Labels of flags are always readable, or the flags are counted together.
func TestLabelsOfFlagsNeverCoverEachOther(t *testing.T) {
	const left, now, right = 92.0, 880.0, 1084.0
	for _, row := range []struct {
		name string
		at   []float64
		text []string
		want []string
	}{
		{"alone", []float64{300}, []string{"Restart"}, []string{"Restart"}},
		{"far apart", []float64{300, 500}, []string{"Go away on", "Go away off"}, []string{"Go away on", "Go away off"}},
		{"the earlier one goes to the left", []float64{300, 330}, []string{"Go away on", "Go away off"}, []string{"Go away on", "Go away off"}},
		{"the newest one just before now", []float64{700, 875}, []string{"Go away off", "Respond slowly on"}, []string{"Go away off", "Respond slowly on"}},
		{"the newest one goes beyond now", []float64{780, 860}, []string{"Go away off", "Respond slowly on"}, []string{"Go away off", "Respond slowly on"}},
		{"no room", []float64{300, 320, 340}, []string{"Go away on", "Go away off", "Respond slowly on"}, []string{"Go away on", "×2"}},
		{"two near now", []float64{766, 854}, []string{"Respond 502 off", "Respond slowly on"}, []string{"Respond 502 off", "Respond slowly on"}},
		{"at the left edge", []float64{94, 98}, []string{"Restart", "Respond 502 on"}, []string{"×2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var labels []flagLabel
			for i, x := range row.at {
				labels = append(labels, flagLabel{first: x, last: x, count: 1, text: row.text[i]})
			}
			var got []string
			flags, free := 0, left
			for _, l := range placed(labels, left, now, right) {
				if l.at < free || l.at+l.width() > right {
					t.Errorf("%q begins at %.0f, where there is room from %.0f to %.0f", l.text, l.at, free, right)
				}
				free = l.at + l.width()
				flags += l.count
				got = append(got, l.text)
			}
			if diff := cmp.Diff(row.want, got); diff != "" || flags != len(row.at) {
				t.Errorf("%d of %d flags are labelled %s", flags, len(row.at), diff)
			}
		})
	}
}

func TestFailedLoginsAreCrossesAndRefusedOnesNamed(t *testing.T) {
	one := func(e event) string {
		e.At, e.Kind, e.Failed = noon.Add(-time.Minute), sentLogin, true
		return string(timeline{now: noon, events: []event{e}}.draw(wide, "", ""))
	}
	if picture := one(event{Wrong: true}); !strings.Contains(picture, `class="c-stop solid"`) || !strings.Contains(picture, ">refused<") {
		t.Error("a refused login is not named")
	}
	if picture := one(event{}); !strings.Contains(picture, `class="cross"`) || strings.Contains(picture, "solid") {
		t.Error("a login without a response is no cross")
	}
}
