package main

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// situations are a PBX in every state, with what its row has to say.
var situations = []struct {
	name   string
	change func(*facts)
	group  group
	state  string
	who    string
	fact   string
	rest   string
	action string
}{
	{"connecting", func(f *facts) { f.status.State = session.Connecting }, busy, "Connecting", "", "", "A login is under way.", ""},
	{"connecting to a PBX that is checked first", func(f *facts) {
		f.status.State, f.status.Check = session.Connecting, noon.Add(8*time.Second)
	}, busy, "Connecting", "", "The login waits until the PBX responds.", "Next check in 8 s, without the password.", ""},
	{"connecting in a queue", func(f *facts) { f.status.State, f.hold.queued = session.Connecting, true }, busy, "Connecting", "", "", "Waits its turn: logins go to this host one after the other.", ""},
	{"live with a heartbeat", func(f *facts) {}, loggedIn, "Live", "", "", "Heartbeat in 12 min", ""},
	{"live with a refresh", func(f *facts) { f.traits.KeepAlive = pbx.KeepAliveRefresh }, loggedIn, "Live", "", "", "Refresh in 12 min", ""},
	{"live without a keep-alive", func(f *facts) { f.traits.KeepAlive = pbx.KeepAliveNone }, loggedIn, "Live", "", "", "New login in 12 min", ""},
	{"live without an expiry", func(f *facts) { f.status.Next = time.Time{} }, loggedIn, "Live", "", "", "The token has no known expiry.", ""},
	{"live with the token of another process", func(f *facts) { f.status.Process = "crm-1-1f2e3d4c" }, loggedIn, "Live", "", "", "Heartbeat in 12 min · token from crm-1", ""},
	{"renewing", func(f *facts) { f.status.State = session.Renewing }, loggedIn, "Renewing", "", "", "Renewing now. The old token still works.", ""},
	{"renewing again", func(f *facts) {
		f.status.State, f.status.Err = session.Renewing, unavailable(context.DeadlineExceeded, 0, true)
	}, loggedIn, "Renewing", "", "", "Renewal failed: timeout. Next try in 12 min.", ""},
	{"renewing without the store", func(f *facts) {
		f.status.State, f.status.Err = session.Renewing, &pbx.Error{Kind: pbx.ErrUnavailable, Message: "not sent: the store that shares the token does not respond"}
	}, loggedIn, "Renewing", "", "", "The shared store does not respond. The token still works. Next try in 12 min.", ""},
	{"wrong password", func(f *facts) {
		f.status.State, f.status.Err = session.Rejected, &pbx.Error{Kind: pbx.ErrInvalidCredentials, Sent: true}
	}, needsYou, "Rejected", "needs you", "The PBX refused this password.", "It is not sent again until you change it.", "Edit password"},
	{"address not allowed", func(f *facts) {
		f.status.State, f.status.Err = session.Rejected, &pbx.Error{Kind: pbx.ErrForbidden, Sent: true}
	}, needsYou, "Rejected", "needs you", "The PBX does not allow this login.", "Allow our address and this account in the PBX.", "Try again"},
	{"locked by the PBX", func(f *facts) {
		f.status.State, f.status.LockedBy, f.hold.until = session.Locked, session.LockedByPBX, f.status.Next
	}, waits, "Locked", "by the PBX", "The PBX has locked our address until 12:12.", "No login is sent before that.", "Show host"},
	{"locked, perhaps", func(f *facts) {
		f.status.State, f.status.LockedBy, f.hold = session.Locked, session.LockedByPBX, hold{until: f.status.Next, doubt: true}
	}, waits, "Locked", "by the PBX", "The PBX may have locked our address until 12:12.", "No login is sent before that.", "Show host"},
	{"an account locked by the PBX", func(f *facts) {
		f.status.State, f.status.LockedBy, f.traits.Lockout.PerAccount = session.Locked, session.LockedByPBX, true
	}, waits, "Locked", "by the PBX", "The PBX has locked this account until 12:12.", "No login is sent before that.", "Show host"},
	{"held back", func(f *facts) {
		f.status.State, f.status.LockedBy, f.hold = session.Locked, session.LockedByBudget, hold{until: f.status.Next, used: 2}
	}, waits, "Held back", "by our budget", "Login waits until 12:12.", "2 wrong logins went to this host, and the PBX locks at 5.", "Show host"},
	{"held back just now", func(f *facts) {
		f.status.State, f.status.LockedBy = session.Locked, session.LockedByBudget
	}, waits, "Held back", "by our budget", "No login is sent at the moment.", "Wrong logins went to this host, and the PBX locks at 5.", "Show host"},
	{"held back until a person acts", func(f *facts) {
		f.status.State, f.status.LockedBy, f.hold = session.Locked, session.LockedByBudget, hold{used: 1}
	}, needsYou, "Held back", "needs you", "No login until you act.", "1 wrong login went to this host. The PBX does not forget them.", "Show host"},
	{"held back by the store", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrUnavailable, Message: "not sent: the wrong logins of pbx.example are not known, because the store does not respond"}
	}, waits, "Held back", "by the store", "The shared store does not respond.", "Tokens still work; no login is sent.", ""},
	{"held back by a store of another key", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrUnavailable, Message: "not sent: the store's cell s/7 is sealed with key “ab”, which this process does not have"}
	}, needsYou, "Held back", "needs you", "What the shared store holds cannot be read.", "No login is sent.", "Try now"},
	{"502", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, unavailable(nil, 502, true)
	}, waits, "Unavailable", "retrying", "502 Bad Gateway: the PBX does not respond.", "Next try in 12 min.", "Try now"},
	{"checked without the password", func(f *facts) {
		f.status.State, f.status.Err, f.status.Check = session.Unavailable, unavailable(nil, 502, true), noon.Add(8*time.Second)
	}, waits, "Unavailable", "retrying", "502 Bad Gateway: the PBX does not respond.", "Next check in 8 s, without the password.", "Try now"},
	{"refused connection", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, unavailable(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, 0, false)
	}, waits, "Unavailable", "retrying", "The PBX does not respond: connection refused.", "Next try in 12 min.", "Try now"},
	{"no free session", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrTooManySessions, Sent: true}
	}, waits, "Unavailable", "retrying", "The PBX has no free session for this account.", "Next try in 12 min.", "Try now"},
	{"another program", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrTokenRejected, Sent: true}
	}, waits, "Unavailable", "retrying", "Another program logs in with this account.", "Give this CRM an account of its own.", "Try now"},
	{"a web page", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrProtocol, Sent: true}
	}, waits, "Unavailable", "retrying", "This is not the response of this brand’s API.", "Next try in 12 min.", "Edit"},
	{"self-signed", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrConfig, Setting: "TLS.PinSHA256"}
	}, needsYou, "Unavailable", "needs you", "The PBX’s certificate is not trusted yet.", "Nothing was sent.", "Review key"},
	{"another key", func(f *facts) {
		f.settings.Pin = "sha256/abc"
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrConfig, Setting: "TLS.PinSHA256"}
	}, needsYou, "Unavailable", "needs you", "The PBX shows another key than the one you trusted.", "Nothing was sent.", "Review key"},
	{"redirected", func(f *facts) {
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrConfig, Message: "the PBX redirects"}
	}, needsYou, "Unavailable", "needs you", "The settings do not fit this PBX.", "Open them: what to change stands beside the field.", "Edit"},
	{"settings that the driver refuses", func(f *facts) { f.open = false }, needsYou, "Unavailable", "needs you", "The settings do not fit this program.", "Nothing was sent.", "Edit"},
	{"no driver", func(f *facts) { f.driver = pbx.Driver{} }, needsYou, "Unavailable", "needs you", "This program has no driver “acme”.", "Remove this PBX, or start a program that has it.", "Remove"},
	{"a damaged row", func(f *facts) { f.open, f.settings.Damaged = false, true }, needsYou, "Unavailable", "needs you", "The saved settings of this PBX are damaged.", "Remove it, or restore the settings file.", "Remove"},
	{"disconnected", func(f *facts) { f.open, f.settings.Disconnected = false, noon.AddDate(0, 0, -21) }, switchOff, "Closed", "", "", "Disconnected on 5 Nov.", "Connect"},
}

func unavailable(cause error, status int, sent bool) error {
	return &pbx.Error{Kind: pbx.ErrUnavailable, HTTPStatus: status, Sent: sent, Err: cause}
}

// inSituation is a PBX that is live, but for what change does.
func inSituation(change func(*facts)) facts {
	f := facts{
		settings: Settings{ID: 7, Name: "Northwind", Driver: "acme", URL: "https://pbx.example:8088", Username: "crm"},
		driver:   pbx.Driver{Name: "acme", Title: "Acme One, Two (old)"},
		traits:   pbx.Traits{KeepAlive: pbx.KeepAliveHeartbeat},
		status:   session.Status{State: session.Live, Since: noon.Add(-6 * time.Minute), Next: noon.Add(12*time.Minute + 30*time.Second)},
		open:     true,
	}
	change(&f)
	return f
}

func TestEveryStateSaysWhatHappenedAndWhatHappensNext(t *testing.T) {
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			r := present(inSituation(s.change), noon)
			got := []string{string(r.Group), r.State, r.Who, r.Fact, r.expand(noon), r.Action.Label}
			want := []string{string(s.group), s.state, s.who, s.fact, s.rest, s.action}
			for i := range want {
				if got[i] != want[i] {
					t.Errorf("got %q, want %q", got[i], want[i])
				}
			}
		})
	}
}

func TestSentencesFitTwoLines(t *testing.T) {
	for _, s := range situations {
		r := present(inSituation(s.change), noon)
		if n := len([]rune(r.Fact)); n > 55 {
			t.Errorf("%s: the fact has %d characters", s.name, n)
		}
		if n := len([]rune(r.Fact + " " + r.expand(noon))); n > 90 {
			t.Errorf("%s: the sentence has %d characters", s.name, n)
		}
	}
}

// Colour says who has to act, the icon what happened.
func TestRedMeansThatAPersonHasToActAndEachStateHasItsIcon(t *testing.T) {
	icons := map[string]string{}
	for _, s := range situations {
		r := present(inSituation(s.change), noon)
		if (r.Group == needsYou) != (r.Who == "needs you") {
			t.Errorf("%s: group %s, but %q", s.name, r.Group, r.Who)
		}
		if r.Group == needsYou && r.Action.Label == "" {
			t.Errorf("%s: a person has to act, and there is no action", s.name)
		}
		if other, ok := icons[r.Icon]; ok && other != r.State {
			t.Errorf("%s and %s have the same icon", other, r.State)
		}
		icons[r.Icon] = r.State
	}
}

// words that the pages do not use.
var unwanted = regexp.MustCompile(`(?i)\b(caller|latched|mend|lest|answers?|life of|failed to|invalid)\b|\bcalls?\b`)

var markup = regexp.MustCompile(`<[^>]*>|\{\{[^}]*\}\}`)

func TestTheWordsOfThePagesAreThoseOfTheTrade(t *testing.T) {
	for _, s := range situations {
		r := present(inSituation(s.change), noon)
		if word := unwanted.FindString(r.Fact + " " + r.Rest + " " + r.Reason); word != "" {
			t.Errorf("%s: %q", s.name, word)
		}
	}
	entries, err := files.ReadDir("ui")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".html") {
			continue
		}
		text, err := files.ReadFile("ui/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if word := unwanted.FindString(markup.ReplaceAllString(string(text), " ")); word != "" {
			t.Errorf("%s: %q", entry.Name(), word)
		}
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	sentences := 0
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") || source == "extensions.go" { // a brand lists call legs
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING && strings.Contains(text.Value, " ") {
				sentences++
				if word := unwanted.FindString(text.Value); word != "" {
					t.Errorf("%s: %q in %s", source, word, text.Value)
				}
			}
			return true
		})
	}
	if sentences < 200 {
		t.Errorf("%d texts were read", sentences)
	}
}

func TestAPBXsPageSaysWhenAndHowMuchOfTheBudget(t *testing.T) {
	wrong := present(inSituation(func(f *facts) {
		f.status.State, f.status.Err, f.status.Since = session.Rejected, &pbx.Error{Kind: pbx.ErrInvalidCredentials, Sent: true}, noon.Add(-5*time.Minute)
	}), noon)
	if want := "The PBX refused the password of “crm” at 11:55:00."; !strings.HasPrefix(wrong.Reason, want) {
		t.Errorf("%q does not begin with %q", wrong.Reason, want)
	}
	byKey := present(inSituation(func(f *facts) {
		f.settings.Username, f.status.State, f.status.Since = "", session.Rejected, noon.AddDate(0, 0, -2)
	}), noon)
	if want := "The PBX refused this password on 24 Nov at 12:00:00."; !strings.HasPrefix(byKey.Reason, want) {
		t.Errorf("%q does not begin with %q", byKey.Reason, want)
	}
	held := present(inSituation(func(f *facts) {
		f.status.State, f.status.LockedBy, f.hold = session.Locked, session.LockedByBudget, hold{until: f.status.Next, used: 2, proven: true}
	}), noon)
	if want := "We stop at 2, so that accounts that work can come back after a lost response."; held.Reason != want {
		t.Errorf("got %q, want %q", held.Reason, want)
	}
	trusted := present(inSituation(func(f *facts) {
		f.settings.Pin, f.settings.PinSet = "sha256/abc", noon.AddDate(0, 0, -23)
		f.status.State, f.status.Err = session.Unavailable, &pbx.Error{Kind: pbx.ErrConfig, Setting: "TLS.PinSHA256"}
	}), noon)
	if want := "You trusted the other one on 3 Nov. Nothing was sent."; !strings.HasPrefix(trusted.Reason, want) {
		t.Errorf("%q does not begin with %q", trusted.Reason, want)
	}
}

// A secret has one name, on its page and in its form.
func TestDetailsNameTheSecretAsTheFormDoes(t *testing.T) {
	r := start(t, "")
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
	d, _ := pbx.Lookup(saved.Driver)
	_, page := r.get("/pbx/" + saved.key())
	contains(t, page, "<dt>"+passwordLabel(d)+"</dt><dd>set, not shown")
}

func TestRowsAreOrderedByWhoHasToActAndThenByAge(t *testing.T) {
	rows := []row{
		{ID: 1, Name: "live", Group: loggedIn, From: 1}, {ID: 2, Name: "new trouble", Group: needsYou, From: 9},
		{ID: 3, Name: "closed", Group: switchOff}, {ID: 4, Name: "old trouble", Group: needsYou, From: 2}, {ID: 5, Name: "waits", Group: waits, From: 1},
	}
	query{}.order(rows)
	var got []string
	for _, r := range rows {
		got = append(got, r.Name)
	}
	if want := "old trouble, new trouble, waits, live, closed"; strings.Join(got, ", ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, ", "), want)
	}
}

// A renewal neither moves a row nor makes the session young.
func TestALiveSessionIsAsOldAsItsLogin(t *testing.T) {
	login := noon.AddDate(0, 0, -2)
	for state, second := range map[session.State]string{session.Live: "2 days", session.Renewing: "6 min"} {
		r := present(inSituation(func(f *facts) { f.status.State, f.loggedIn = state, login }), noon)
		if r.From != login.UnixMilli() || r.second(noon) != second {
			t.Errorf("%s: %q, sorted by %v", state, r.second(noon), time.UnixMilli(r.From))
		}
	}
}

func TestTimesAreShort(t *testing.T) {
	for _, row := range []struct {
		d         time.Duration
		ago, left string
	}{
		{-time.Second, "0 s", "0 s"}, {119 * time.Second, "119 s", "119 s"}, {2 * time.Minute, "2 min", "2 min"}, {82 * time.Minute, "82 min", "1 h 22 min"},
		{3 * time.Hour, "3 h", "3 h"}, {30 * time.Hour, "30 h", "1 day"}, {50 * time.Hour, "2 days", "2 days"}, {21 * 24 * time.Hour, "3 weeks", "21 days"},
	} {
		if ago(row.d) != row.ago || left(row.d) != row.left {
			t.Errorf("%v: %q and %q, want %q and %q", row.d, ago(row.d), left(row.d), row.ago, row.left)
		}
	}
	yesterday := noon.AddDate(0, 0, -1)
	got := []string{exact(noon, noon), exact(yesterday, noon), moment(noon, noon), moment(yesterday, noon), clock(noon, noon), clock(yesterday, noon), day(noon, noon), day(noon.AddDate(-1, 0, 0), noon)}
	want := []string{"12:00:00", "25 Nov 12:00:00", "at 12:00:00", "on 25 Nov at 12:00:00", "12:00", "25 Nov 12:00", "26 Nov", "26 Nov 2025"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What is in the list is not missing on the PBX's own page.
func TestWhatARowSaysStandsOnThePBXsPageToo(t *testing.T) {
	r := start(t, "")
	for _, s := range situations {
		shown := present(inSituation(s.change), noon)
		page := html.UnescapeString(r.server.fragment("detail-trouble", struct {
			row
			Text, TextAt string
		}{shown, shown.expand(noon), shown.expandAt(noon)}))
		if shown.Fact == "" && shown.Technical == "" {
			if page != "" {
				t.Errorf("%s: %s", s.name, page)
			}
			continue
		}
		want := []string{shown.Fact, shown.Reason, shown.Action.Label}
		if shown.At != 0 || shown.Reason == "" {
			want = append(want, shown.expand(noon))
		}
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: the page lacks %q", s.name, text)
			}
		}
	}
}
