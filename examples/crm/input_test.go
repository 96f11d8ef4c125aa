package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// What is wrong in an edit changes nothing: neither the settings, here and in the
// file, nor the session.
func TestAWrongEditChangesNothing(t *testing.T) {
	r := start(t, filepath.Join(t.TempDir(), "settings.db"))
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	r.connect(r.simulate("yeastar", false, pbxsim.Options{}), "<script>alert(1)</script>", func(s *Settings) { s.Disconnected = time.Now() })
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	path := "/pbx/" + saved.key() + "/edit"
	for _, row := range []struct {
		name   string
		change url.Values
		status int
		says   string
	}{
		{"wrong URL", url.Values{"url": {"ftp://pbx.example.com"}}, 422, "Not saved: 1 thing to fix"},
		{"unknown option", url.Values{"o.nonsense": {"1"}}, 422, "This driver does not know 1 setting"},
		{"unknown secret", url.Values{"s.nonsense": {planted}}, 422, "This driver does not know 1 setting"},
		{"another address without the password", url.Values{"url": {"https://pbx.example.com"}, "password": {""}}, 422, "again: it was entered for another address."},
		{"name of another PBX, which is script", url.Values{"name": {"<SCRIPT>alert(1)</script>"}}, 422, "The name “<SCRIPT>alert(1)</script>” is taken. Choose another one."},
		{"long name", url.Values{"name": {strings.Repeat("ж", 81)}}, 422, "Shorten the name to 80 characters."},
		{"10 MB", url.Values{"name": {strings.Repeat("x", 10<<20)}}, 413, "Not saved: this form is too large. Nothing was changed. A form may have 64 KB."},
		{"no token", nil, 403, "This page was open for too long. Nothing was changed."},
	} {
		t.Run(row.name, func(t *testing.T) {
			form := filled(sim, "Another name")
			form.Set("id", saved.key())
			form.Set("password", planted)
			for name, values := range row.change {
				form[name] = values
			}
			var status int
			var page string
			if row.status == http.StatusForbidden {
				resp, err := r.client.Do(r.request("POST", path, form.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				status, page = resp.StatusCode, body(t, resp)
			} else {
				status, page = r.post(path, form)
			}
			if strings.Contains(page, "<SCRIPT>alert") || strings.Contains(page, planted) {
				t.Error("the name is markup, or the password came back")
			}
			page = html.UnescapeString(page)
			if row.status == http.StatusRequestEntityTooLarge {
				page = strings.ReplaceAll(page, `</h1><p class="lead">`, ". ")
			}
			if status != row.status || !strings.Contains(page, row.says) {
				t.Errorf("status %d, and the page lacks %q", status, row.says)
			}
			unchanged(t, r, saved)
		})
	}
	if c := sim.pbx.Counts(); c.Logins != 1 {
		t.Errorf("%d logins", c.Logins)
	}
	r.waitFor(saved, "Live")
}

// unchanged says that a PBX's settings are as they were, here and in the file.
func unchanged(t *testing.T, r *running, saved Settings) {
	t.Helper()
	_, now, _ := r.app.entry(saved.ID)
	all, err := r.app.db.all(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Errorf("%d PBXs", len(all))
	}
	for _, got := range []Settings{now, all[1]} {
		if diff := cmp.Diff(saved, got, cmp.Comparer(pbx.Secret.Equal), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(time.Millisecond)); diff != "" {
			t.Error(diff)
		}
	}
}

// The script reads JSON, and would call a page a program that does not respond.
func TestTheScriptLearnsWhyNothingWasDone(t *testing.T) {
	r := start(t, "")
	for _, row := range []struct{ form, says string }{
		{"name=" + strings.Repeat("x", 10<<20), "Not saved: this form is too large."},
		{"name=x&url=", "Not done: this page was open for too long."},
		{"name=x", "Not done: this page was open for too long."},
	} {
		req := r.request("POST", "/test", row.form)
		req.Header.Set("Accept", "application/json")
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Notice string }
		if text := body(t, resp); resp.StatusCode/100 != 4 || json.Unmarshal([]byte(text), &m) != nil || !strings.HasPrefix(m.Notice, row.says) {
			t.Errorf("status %d: %.300s", resp.StatusCode, text)
		}
	}
}

// Names with invisible characters look like others, or like none.
func TestANameIsVisible(t *testing.T) {
	r := start(t, "")
	form := filled(r.simulate("yeastar-p", false, pbxsim.Options{}), "")
	for name, says := range map[string]string{
		"\u200b":                    "Remove the invisible characters from the name.",
		"Har\u200bbour":             "Remove the invisible characters from the name.",
		"\u202eruobraH":             "Remove the invisible characters from the name.",
		"Har\x00bour":               "Remove the invisible characters from the name.",
		"Har\nbour":                 "Remove the invisible characters from the name.",
		"می\u200cخواهم":             "<h1>می\u200cخواهم</h1>", // which Persian needs
		"👩\u200d🚒 Fire brigade":     "<h1>👩\u200d🚒 Fire brigade</h1>",
		"Größe & Söhne (Zürich) 1½": "<h1>Größe & Söhne (Zürich) 1½</h1>",
	} {
		form.Set("name", name)
		_, page := r.post("/add", form)
		contains(t, html.UnescapeString(page), says)
	}
}

func TestTextsOfAFormAreShort(t *testing.T) {
	r := start(t, "")
	for name, says := range map[string]string{"url": "Shorten the address to 500 characters.", "username": "Shorten the client ID to 500 characters."} {
		form := filled(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour")
		form.Set(name, form.Get(name)+strings.Repeat("x", 500))
		_, page := r.post("/add", form)
		contains(t, page, "Not saved: 1 thing to fix", says)
	}
	if n := len(r.app.ids()); n != 0 {
		t.Errorf("%d PBXs", n)
	}
}

func TestANameMayHaveEightyCharactersOfAnyAlphabet(t *testing.T) {
	r := start(t, "")
	name := strings.Repeat("ж", 80)
	r.post("/add", filled(r.simulate("yeastar-p", false, pbxsim.Options{}), name))
	if ids := r.app.ids(); len(ids) != 1 {
		t.Fatalf("%d PBXs", len(ids))
	} else if _, s, _ := r.app.entry(ids[0]); s.Name != name {
		t.Errorf("the name is %q", s.Name)
	}
}

// The program says in one line why it does not start, and leaves the file alone.
func TestAProgramThatCannotStartLeavesTheSettingsAlone(t *testing.T) {
	key := newKey()
	text := base64.StdEncoding.EncodeToString(key[:])
	other := newKey()
	taken := start(t, "")
	for _, row := range []struct {
		name, key, statement, addr string
		says                       string
	}{
		{"another key", base64.StdEncoding.EncodeToString(other[:]), "", "127.0.0.1:0", "the settings file was sealed with another key: start with the key that wrote it, or with an empty file"},
		{"a newer version", text, "PRAGMA user_version = 3", "127.0.0.1:0", "is of a newer version (3, and this program knows 2): start the newer program; the file was left alone"},
		{"an older version", text, "PRAGMA user_version = 1", "127.0.0.1:0", "is of an older version (1, and this program needs 2): choose another file and add the PBXs again; the file was left alone"},
		{"a port in use", text, "", taken.addr, "another program listens on " + taken.addr + ": end it, or choose another port with -addr"},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.db")
			fillFile(t, file, key, row.statement)
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			var errs strings.Builder
			status := run(ctx, []string{"-addr", row.addr, "-simulate=false", "-db", file}, func(name string) string { return map[string]string{keyVariable: row.key}[name] }, io.Discard, &errs)
			if status != 1 || !strings.Contains(errs.String(), row.says) || strings.Count(errs.String(), "\n") != 1 || strings.Contains(errs.String(), row.key) {
				t.Errorf("status %d: %s", status, errs.String())
			}
			if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
				t.Errorf("the file was changed (%v)", err)
			}
		})
	}
}

// Every secret that a page does not hold is asked for again beside its field.
func TestSecretsThatWereTypedAreAskedForAgain(t *testing.T) {
	r := start(t, "")
	form := url.Values{"do": {"save"}, "driver": {"never-seen"}, "name": {"A"}, "url": {"https://pbx.example"}, "username": {"u"}, "o.realm": {"wrong"}, "password": {planted}, "s.signing": {planted}}
	_, page := r.post("/add", form)
	contains(t, page, "Type the API secret again: this page does not hold secrets.", "Type the signing key again: this page does not hold secrets.", `<details class="options" open>`)
	form.Del("s.signing")
	if _, page = r.post("/add", form); strings.Contains(page, "Type the signing key again") {
		t.Error("a secret is asked for again that was not typed")
	}
}

// The connection test spends the budget of the host: where logins are held back it
// sends nothing, and says so in words of the page.
func TestATestAtAHostThatHoldsLoginsBackSendsNothing(t *testing.T) {
	r := start(t, "")
	sim, wrong, waiting := heldBack(r)
	form := filled(sim, "One more account")
	form.Set("username", "one-more")
	form.Set("do", "test")
	_, page := r.post("/add", form)
	contains(t, page, "The test failed: 1 thing to fix", heldBackText)
	for _, saved := range []Settings{waiting, wrong} {
		_, page = r.post("/pbx/"+saved.key()+"/retry", url.Values{})
		contains(t, page, "Not sent: ")
		if strings.Contains(page, "session "+saved.key()) || strings.Contains(page, "Guard.") {
			t.Error("the page speaks of the library")
		}
	}
	if c := sim.pbx.Counts(); c.Logins != 1 {
		t.Errorf("%d logins", c.Logins)
	}
	_, page = r.get("/pbx/" + wrong.key() + "/again")
	contains(t, page, "Nothing is sent until our budget allows it: 1 of 1 wrong login is used.")
}

func TestARetryThatDoesNothingSaysWhy(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", func(s *Settings) { s.Password = secretOf("wrong") })
	r.waitFor(saved, "Rejected")
	_, page := r.get("/pbx/" + saved.key() + "/again")
	contains(t, page, "If it is wrong, 2 of 3 wrong logins are used.")
	_, page = r.get("/pbx/" + saved.key())
	contains(t, page, "<dt>Lockout</dt><dd>1 of 3 wrong logins used</dd>")
	r.post("/pbx/"+saved.key()+"/retry", url.Values{})
	eventually(t, func() bool { return sim.pbx.Counts().WrongLogins == 2 }, func() string { return "the retry was not sent" })
	r.waitFor(saved, "Rejected")
	_, page = r.post("/pbx/"+saved.key()+"/retry", url.Values{})
	contains(t, page, "Not sent: the last retry was ")
	if c := sim.pbx.Counts(); c.Logins != 2 {
		t.Errorf("%d logins", c.Logins)
	}
}
