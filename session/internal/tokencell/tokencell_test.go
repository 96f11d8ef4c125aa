package tokencell_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/internal/tokencell"
)

var (
	start = time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC)
	first = bytes.Repeat([]byte{1}, 32)
	other = bytes.Repeat([]byte{2}, 32)
)

const canary = "canary-token-7Hq2"

func sealer(t testing.TB, keys ...[]byte) *tokencell.Sealer {
	t.Helper()
	s, err := tokencell.NewSealer(keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func live() tokencell.Record {
	return tokencell.Record{Writer: "a.1"}.Committed("a.2", tokencell.Token{
		Value: pbx.NewSecret(canary), Refresh: pbx.NewSecret(canary + "-refresh"),
		IssuedAt: start, ExpiresAt: start.Add(30 * time.Minute),
		RefreshExpiresAt: start.Add(time.Hour), Details: json.RawMessage(`{"a":1}`), By: "a",
	})
}

var secrets = cmp.Comparer(pbx.Secret.Equal)

func TestARecordSurvivesItsCell(t *testing.T) {
	s := sealer(t, first)
	claimed := live().Claimed("b.1", tokencell.Need{Process: "b", Have: 1, Refused: true}, pbx.OpLogin, start.Add(time.Minute))
	for name, want := range map[string]tokencell.Record{
		"nothing": {}, "a token": live(), "a claim": claimed, "removed": live().Gone("c.1", start),
		"no expiry": tokencell.Record{}.Committed("a.1", tokencell.Token{Value: pbx.NewSecret("x")}),
	} {
		data, err := s.Seal("s/x", want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Open("s/x", data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, secrets); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if bytes.Contains(data, []byte("canary")) {
			t.Errorf("%s: the cell shows the token: %s", name, data)
		}
	}
	if got, err := s.Open("s/x", nil); err != nil || got.Generation != 0 {
		t.Errorf("no cell: %v, %v", got, err)
	}
}

func TestWhatPeopleMayReadStaysReadable(t *testing.T) {
	data, err := sealer(t, first).Seal("s/x", live())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"generation":1`, `"writer":"a.2"`, `"expires":"2026-11-03T14:30:00Z"`} {
		if !strings.Contains(string(data), want) {
			t.Errorf("%s is not in %s", want, data)
		}
	}
}

func TestACellThatCannotBeReadSaysWhatToDo(t *testing.T) {
	data, err := sealer(t, first).Seal("s/x", live())
	if err != nil {
		t.Fatal(err)
	}
	edit := func(pattern, to string) []byte {
		edited := regexp.MustCompile(pattern).ReplaceAll(data, []byte(to))
		if bytes.Equal(edited, data) {
			t.Fatalf("%s is not in %s", pattern, data)
		}
		return edited
	}
	for name, tt := range map[string]struct {
		keys [][]byte
		cell string
		data []byte
		want string
	}{
		"another key":     {[][]byte{other}, "s/x", data, "which this process does not have: add it to Keys"},
		"moved":           {[][]byte{first}, "s/y", data, "does not open"},
		"newer":           {[][]byte{first}, "s/x", edit(`"pbx-token":1`, `"pbx-token":2`), "newer version of this library (format 2)"},
		"not ours":        {[][]byte{first}, "s/x", []byte("OK"), "not one of this library"},
		"another's JSON":  {[][]byte{first}, "s/x", []byte(`{"a":1}`), "not one of this library"},
		"cut short":       {[][]byte{first}, "s/x", data[:len(data)-9], "not one of this library, or is damaged"},
		"a later expiry":  {[][]byte{first}, "s/x", edit(`14:30:00Z`, `15:30:00Z`), "does not open"},
		"a later token":   {[][]byte{first}, "s/x", edit(`"generation":1`, `"generation":9`), "does not open"},
		"another's claim": {[][]byte{first}, "s/x", edit(`"writer"`, `"claim":{"by":"z"},"writer"`), "does not open"},
		"without a token": {[][]byte{first}, "s/x", edit(`"sealed":"[^"]*"`, `"sealed":""`), "does not open"},
	} {
		_, err := sealer(t, tt.keys...).Open(tt.cell, tt.data)
		var unreadable *tokencell.UnreadableError
		if !errors.As(err, &unreadable) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestKeysAreRotatedWithoutALogin(t *testing.T) {
	data, err := sealer(t, first).Seal("s/x", live())
	if err != nil {
		t.Fatal(err)
	}
	both := sealer(t, other, first)
	if _, err := both.Open("s/x", data); err != nil {
		t.Errorf("the old key does not open: %v", err)
	}
	if data, err = both.Seal("s/x", live()); err != nil {
		t.Fatal(err)
	}
	if _, err := sealer(t, other).Open("s/x", data); err != nil {
		t.Errorf("the new key did not seal: %v", err)
	}
	if !both.IsFirst(data) || sealer(t, first, other).IsFirst(data) {
		t.Error("it is not known which key sealed")
	}
	if print := both.FingerprintKey(); len(print) != tokencell.KeySize || bytes.Equal(print, other) || bytes.Equal(print, sealer(t, first).FingerprintKey()) {
		t.Errorf("the key of fingerprints has %d bytes", len(print))
	}
}

func TestBadKeysAreNamed(t *testing.T) {
	for want, keys := range map[string][][]byte{
		"no key: set Keys":                   nil,
		"key 1 of Keys has 5 bytes":          {[]byte("short")},
		"keys 1 and 3 of Keys are the same":  {first, other, first},
		"key 2 of Keys has 0 bytes: it must": {first, nil},
		"key 1 of Keys is all zeros":         {make([]byte, tokencell.KeySize)},
	} {
		if _, err := tokencell.NewSealer(keys); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, sealer(t, first)); !strings.HasPrefix(got, "key ") || len(got) != 12 {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// dead is the record after a process has claimed it because the PBX refused a
// generation, and has brought no token.
func dead(writer string, generation uint64) tokencell.Record {
	r, _ := live().Claimed(writer, tokencell.Need{Process: "b", Have: generation, Refused: true}, pbx.OpLogin, start).Released(writer, "b")
	return r
}

func TestDecisions(t *testing.T) {
	claimed := live().Claimed("b.1", tokencell.Need{Process: "b"}, pbx.OpKeepAlive, start.Add(time.Minute))
	refused := dead("b.1", 1)
	for name, tt := range map[string]struct {
		record tokencell.Record
		after  time.Duration
		need   tokencell.Need
		want   tokencell.Step
	}{
		"nothing there":                 {tokencell.Record{}, 0, tokencell.Need{Process: "a"}, tokencell.Step{}},
		"a newer token":                 {live(), 0, tokencell.Need{Process: "a"}, tokencell.Step{Verb: tokencell.Adopt}},
		"its own token":                 {live(), 0, tokencell.Need{Process: "a", Have: 1}, tokencell.Step{}},
		"an expired token":              {live(), 30 * time.Minute, tokencell.Need{Process: "a"}, tokencell.Step{}},
		"a refused token":               {refused, 0, tokencell.Need{Process: "a"}, tokencell.Step{}},
		"another is at it":              {claimed, 0, tokencell.Need{Process: "a", Have: 1}, tokencell.Step{Verb: tokencell.Wait, Until: start.Add(time.Minute)}},
		"another is at it, and has one": {claimed, 0, tokencell.Need{Process: "a"}, tokencell.Step{Verb: tokencell.Adopt}},
		"another's claim has expired":   {claimed, time.Minute, tokencell.Need{Process: "a", Have: 1}, tokencell.Step{}},
		"its own claim":                 {claimed, 0, tokencell.Need{Process: "b", Have: 1}, tokencell.Step{}},
		"removed while it held a token": {live().Gone("c.1", start), 0, tokencell.Need{Process: "a", Have: 1}, tokencell.Step{Verb: tokencell.End}},
		"removed while it had none":     {live().Gone("c.1", start), 0, tokencell.Need{Process: "a", Seen: true}, tokencell.Step{Verb: tokencell.End}},
		"removed before, and now added": {live().Gone("c.1", start), 0, tokencell.Need{Process: "a"}, tokencell.Step{}},
	} {
		if diff := cmp.Diff(tt.want, tt.record.Decide(start.Add(tt.after), tt.need)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWritesThatChangeNothingAreNotMade(t *testing.T) {
	claimed := live().Claimed("b.1", tokencell.Need{Process: "b"}, pbx.OpKeepAlive, start.Add(time.Minute))
	if _, ok := claimed.Released("a.3", "a"); ok {
		t.Error("a claim of another process is released")
	}
	if r, ok := claimed.Released("b.2", "b"); !ok || r.Claim.By != "" || r.Generation != 1 {
		t.Errorf("its own claim: %v", r)
	}
	if r := dead("a.3", 2); r.Dead != 1 {
		t.Errorf("generation %d never was and is refused", r.Dead)
	}
	if dead("a.3", 1).Valid(start) {
		t.Error("a refused token stays valid")
	}
	if _, ok := dead("a.3", 1).Extended("a.4", 1, start.Add(time.Hour)); ok {
		t.Error("a refused token is extended")
	}
	if _, ok := live().Extended("a.3", 1, start.Add(30*time.Minute)); ok {
		t.Error("an extension to the same expiry is written")
	}
	if r, ok := live().Extended("a.3", 1, start.Add(time.Hour)); !ok || !r.Valid(start.Add(59*time.Minute)) {
		t.Error("traffic does not extend the token")
	}
}

// After a late refusal of an older generation, the newer one stays.
func TestALateRefusalDoesNotKillANewerToken(t *testing.T) {
	second := live().Committed("b.1", tokencell.Token{Value: pbx.NewSecret("new")})
	got := second.Claimed("a.3", tokencell.Need{Process: "a", Have: 1, Refused: true}, pbx.OpLogin, start)
	if !got.Valid(start) {
		t.Error("the newer token is gone")
	}
}

func TestNamesStayApart(t *testing.T) {
	allowed := regexp.MustCompile(`^[a-z0-9._:/-]{1,200}$`)
	seen := map[string]string{}
	long := strings.Repeat("Ä", 200)
	for _, name := range []string{"", "acme", "Acme", "acme/1", "acme_1", "acme_5f1", "_", "ä", long, long + "x", "a b", "../x", "a\x00b"} {
		for _, url := range []string{"https://a.example", "https://b.example"} {
			for _, account := range []string{"api", "crm"} {
				key := tokencell.SessionKey("prod", name, url, account)
				what := fmt.Sprint(name, url, account)
				if !allowed.MatchString(key) {
					t.Errorf("%q: the key %q is not allowed", name, key)
				}
				if seen[key] != "" {
					t.Errorf("%q and %q share the key %q", seen[key], what, key)
				}
				seen[key] = what
			}
		}
	}
	// A prefix and an egress may have 40 bytes, each of which may be escaped.
	wide := strings.Repeat("_", 40)
	for _, host := range []string{long, long + "x"} {
		for _, key := range []string{tokencell.SessionKey(wide, host, "https://a.example", "api"), tokencell.HostKey(wide, wide, host),
			tokencell.RefusalsKey(wide, wide, host), tokencell.HostKey(wide[1:], wide, host), tokencell.PrintKey(wide)} {
			if !allowed.MatchString(key) || seen[key] != "" && key[0] != 'k' {
				t.Errorf("the key %q of %d bytes", key, len(key))
			}
			seen[key] = key
		}
	}
	for _, host := range []string{"pbx.example", "2001:db8::1", "fe80::1%eth0", "10.0.0.1"} {
		for _, egress := range []string{"", "nat-1"} {
			if key := tokencell.HostKey("prod", egress, host); !allowed.MatchString(key) || seen[key] != "" {
				t.Errorf("%s: the key %q", host, key)
			} else {
				seen[key] = host
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	s, err := tokencell.NewSealer([][]byte{first})
	if err != nil {
		f.Fatal(err)
	}
	good, _ := s.Seal("s/x", live())
	f.Add(good)
	f.Add([]byte(`{"pbx-token":1,"key":"00000000"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := s.Open("s/x", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			return
		}
		if len(data) > 0 && r.Generation != 1 {
			t.Errorf("a forged cell opens: %q", data)
		}
	})
}

func FuzzAKeyShowsTheNameOfItsSession(f *testing.F) {
	f.Add("", "sales", "")
	f.Add("crm-1", "Büro 7/a_b", "s/_42/0123456789abcdef")
	f.Add("_", strings.Repeat("Ü", 60), "s/_/_")
	f.Add("0", strings.Repeat("A", 32), "0")
	f.Add(strings.Repeat("_", 40), strings.Repeat("Ü", 60), "0") // the key is shortened
	f.Add("", "A", "s//")
	f.Add("", "0", "s///")
	f.Fuzz(func(t *testing.T, prefix, name, key string) {
		of := tokencell.SessionKey(prefix, name, "https://pbx.example", "sales")
		got, short, ok := tokencell.SessionName(prefix, of)
		want := name
		if cut, long := tokencell.ShortName(name); long {
			want = cut
		}
		if !ok && len(of) < 200 || ok && (got != want || short && len(name) < 32) { // a key of 200 bytes may have been shortened
			t.Errorf("%q is the name of %q, %v, %v", got, of, short, ok)
		}
		start := func(key string) string { return key[:strings.LastIndex(key, "/")+1] }
		if got, short, ok := tokencell.SessionName(prefix, key); ok && !short && start(tokencell.SessionKey(prefix, got, "", "")) != start(key) {
			t.Errorf("%q is the name of %q", got, key)
		}
	})
}
