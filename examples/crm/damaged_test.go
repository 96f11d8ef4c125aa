package main

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// damages are what can happen to a row outside this program.
var damages = []struct{ name, statement string }{
	{"the password", `UPDATE pbx SET sealed = x'00' WHERE id = %d`},
	{"no password", `UPDATE pbx SET sealed = x'' WHERE id = %d`},
	{"the address", `UPDATE pbx SET url = 'https://thief.example' WHERE id = %d`},
	{"the brand", `UPDATE pbx SET driver = 'yeastar' WHERE id = %d`},
	{"the user name", `UPDATE pbx SET username = 'other' WHERE id = %d`},
	{"the key", `UPDATE pbx SET pin = 'sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' WHERE id = %d`},
	{"the options", `UPDATE pbx SET options = '{' WHERE id = %d`},
	{"an option", `UPDATE pbx SET options = json_set(options, '$.other', '1') WHERE id = %d`},
	{"the name", `UPDATE pbx SET name = '', sealed = x'00' WHERE id = %d`},
}

// inFile runs a statement on a settings file as another program would.
func inFile(t *testing.T, file string, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// rowInFile is the row of a PBX as it stands in a settings file; empty: there is none.
func rowInFile(t *testing.T, file string, s Settings) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var text string
	err = db.QueryRow(`SELECT concat_ws('|', id, name, driver, url, username, options, hex(sealed), pin, secrets_set, pin_set, disconnected, rev) FROM pbx WHERE id = ?`, s.ID).Scan(&text)
	if err != nil && err != sql.ErrNoRows {
		t.Fatal(err)
	}
	return text
}

func TestADamagedRowIsShownAndStaysAsItIsUntilItIsRemoved(t *testing.T) {
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.db")
			r := start(t, file)
			good := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
			bad := r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Lumen Travel", nil)
			r.waitFor(bad, "Live")
			r.stop()
			inFile(t, file, fmt.Sprintf(damage.statement, bad.ID))
			before := rowInFile(t, file, bad)

			r = startWith(t, "127.0.0.1:0", file, r.key, r.app.sims)
			r.waitFor(good, "Live")
			const fact = "The saved settings of this PBX are damaged."
			const cause = "Its brand, address, user name, options, trusted key or password was changed outside this program."
			_, page := r.get("/")
			if strings.Contains(page, fmt.Sprintf(`href="/pbx/%d"></a>`, bad.ID)) {
				t.Error("a PBX has no name")
			}
			contains(t, page, ">1 needs you<", fact, "Remove it, or restore the settings file.", fmt.Sprintf(`href="/pbx/%d/remove"`, bad.ID))
			path := "/pbx/" + bad.key()
			_, page = r.get(path)
			contains(t, page, fact, cause, "restore the settings file from a copy", "/remove")
			if strings.Contains(page, "trusted by pin") {
				t.Error("the page says that a key is trusted")
			}
			for _, button := range []string{path + "/edit", path + "/connect", path + "/disconnect", path + "/retry", path + "/extensions"} {
				if strings.Contains(page, button) {
					t.Errorf("the page offers %s", button)
				}
			}
			_, page = r.get(path + "/edit")
			contains(t, page, fact)

			form := url.Values{"do": {"save"}, "id": {bad.key()}, "rev": {"1"}, "driver": {"runtel"}, "name": {"New"}, "url": {"https://pbx.example"}, "username": {"u"}, "password": {planted}}
			if status, page := r.post(path+"/edit", form); status != http.StatusConflict || strings.Contains(page, planted) {
				t.Errorf("saving: status %d", status)
			}
			for _, button := range []string{"connect", "disconnect", "retry", "extensions"} {
				r.post(path+"/"+button, url.Values{})
			}
			if after := rowInFile(t, file, bad); after != before {
				t.Errorf("the row was changed from %s to %s", before, after)
			}
			_, page = r.get("/")
			contains(t, page, fact)

			r.post(path+"/remove", url.Values{})
			if after := rowInFile(t, file, bad); after != "" {
				t.Errorf("the row is still there: %s", after)
			}
			if _, page = r.get("/"); strings.Contains(page, fact) {
				t.Error("the removed PBX is still in the table")
			}
		})
	}
}

// A row that is damaged while the program runs does not keep it from following the
// others, and connects again once it is restored.
func TestARowThatIsRestoredConnectsAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.db")
	r := start(t, file)
	first := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour Dental", nil)
	second := r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Lumen Travel", nil)
	r.waitFor(first, "Live")
	r.waitFor(second, "Live")
	inFile(t, file, fmt.Sprintf(`UPDATE pbx SET options = 'x' || options WHERE id = %d`, first.ID))
	r.waitFor(first, "Unavailable")
	inFile(t, file, fmt.Sprintf(`DELETE FROM pbx WHERE id = %d`, second.ID))
	eventually(t, func() bool { return len(r.app.ids()) == 1 }, func() string { return "a removed row is not noticed beside a damaged one" })
	inFile(t, file, fmt.Sprintf(`UPDATE pbx SET options = substr(options, 2) WHERE id = %d`, first.ID))
	r.waitFor(first, "Live")
}

// A person who can write the settings file does not get a password by it.
func TestAPasswordIsNotSentToAHostOrKeyThatWasChangedInTheFile(t *testing.T) {
	for _, row := range []struct {
		name      string
		saved     func(thief Settings) Settings // what a person has saved
		statement string                        // with the thief's url, the thief's pin and the row's id
	}{
		{"the address", func(s Settings) Settings { s.URL = "https://127.0.0.1:1"; return s }, `UPDATE pbx SET url = '%[1]s' WHERE id = %[3]d`},
		{"the key", func(s Settings) Settings { s.Pin = otherPin(); return s }, `UPDATE pbx SET pin = '%[2]s' WHERE id = %[3]d`},
		{"the address and the key", func(s Settings) Settings { s.URL, s.Pin = "https://127.0.0.1:1", otherPin(); return s }, `UPDATE pbx SET url = '%[1]s', pin = '%[2]s' WHERE id = %[3]d`},
	} {
		t.Run(row.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "settings.db")
			r := start(t, file)
			thief := r.simulate("yeastar-p", true, pbxsim.Options{}) // shows a key of its own
			saved := r.connect(thief, "Harbour Dental", func(s *Settings) { *s = row.saved(*s) })
			r.waitFor(saved, "Unavailable")
			r.stop()
			inFile(t, file, fmt.Sprintf(row.statement, thief.URL, pbx.Pin(thief.cert.Leaf), saved.ID))

			r = startWith(t, "127.0.0.1:0", file, r.key, r.app.sims)
			_, page := r.get("/pbx/" + saved.key())
			contains(t, page, "The saved settings of this PBX are damaged.")
			r.waitFor(r.connect(r.simulate("runtel", false, pbxsim.Options{}), "Lumen Travel", nil), "Live") // time for a login
			if n := thief.pbx.Counts().Requests; n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// otherPin is the pin of a key that no simulated PBX shows.
func otherPin() string { return pbx.Pin(selfSigned(make([]byte, 32)).Leaf) }

// A pin that no key can have is a wrong setting, and its page is drawn.
func TestAPinThatIsNoneIsAWrongSetting(t *testing.T) {
	for _, pin := range []string{"x", "sha256/", "sha256/ab"} {
		r := start(t, "")
		saved := r.connect(r.simulate("yeastar-p", true, pbxsim.Options{}), "Harbour Dental", func(s *Settings) { s.Pin = pin })
		_, page := r.get("/pbx/" + saved.key())
		contains(t, page, "The settings do not fit this program.", "Certificate")
	}
}
