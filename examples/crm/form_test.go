package main

import (
	"context"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// neverSeen is a driver that was added after the page was written.
var neverSeen = pbx.Driver{
	Name: "never-seen", Title: "Never Seen 3000", UserLabel: "API client", PasswordLabel: "API secret", DefaultPort: 7443,
	Setup: "Open Admin › API and tick “Enable”.", Docs: "https://vendor.example/api",
	Options: []pbx.Option{
		{Name: "realm", Label: "Realm", Kind: pbx.OptionString, Required: true, Help: "the realm of the account"},
		{Name: "mode", Label: "Mode", Kind: pbx.OptionChoice, Default: "fast", Help: "how requests are written", Choices: []pbx.Choice{{Value: "fast", Label: "Fast mode"}, {Value: "safe", Label: "Safe mode"}}},
		{Name: "flavour", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "red"}, {Value: "green"}}, Help: "no label of its own"},
		{Name: "lifetime", Label: "Token lifetime", Kind: pbx.OptionDuration, Default: "30m", Help: "how long a token is valid"},
		{Name: "event_port", Label: "Event port", Kind: pbx.OptionPort, Help: "where events are sent"},
		{Name: "depth", Label: "Depth", Kind: pbx.OptionInt, Help: "a number"},
		{Name: "signing", Label: "Signing key", Kind: pbx.OptionSecret, Help: "signs requests"},
	},
	Open: func(cfg pbx.Config) (pbx.Authenticator, error) {
		if cfg.Options["realm"] == "wrong" {
			return nil, &pbx.Error{Driver: "never-seen", Op: pbx.OpOpen, Kind: pbx.ErrConfig, Setting: "realm", Message: "the realm is not one of yours: copy it from Admin › API"}
		}
		return silent{}, nil
	},
}

// silent is an Authenticator whose PBX is always away.
type silent struct{}

func (silent) Login(ctx context.Context) (*pbx.Token, error) {
	return nil, &pbx.Error{Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Message: "no connection"}
}
func (silent) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Kind: pbx.ErrNotSupported}
}
func (silent) Logout(context.Context, *pbx.Token) error { return nil }

func init() { pbx.Register(neverSeen) }

func TestTheFormIsCompleteForADriverThatThePageHasNeverSeen(t *testing.T) {
	r := start(t, "")
	_, page := r.get("/add?driver=never-seen")
	page = html.UnescapeString(page)
	contains(t, page, `value="never-seen" selected`, "Never Seen 3000", "API client", "API secret", "Without a port, 7443 is used",
		neverSeen.Setup, `href="https://vendor.example/api"`)
	for _, o := range neverSeen.Options {
		name := "o." + o.Name
		if o.Kind == pbx.OptionSecret {
			name = "s." + o.Name
		}
		contains(t, page, fmt.Sprintf(`name="%s"`, name), sentence(o.Help))
		if o.Label != "" {
			contains(t, page, `>`+o.Label)
		}
		for _, c := range o.Choices {
			contains(t, page, `value="`+c.Value+`"`, c.Label)
		}
	}
	contains(t, page, `<option value="fast" selected>Fast mode (default)`, "Default: 30m.", "As in 90s, 30m, 4h.", `inputmode="numeric"`, `name="s.signing" type="password"`)
	for _, o := range []string{"Token lifetime", "Event port", "Signing key"} {
		contains(t, page, o+` <span class="opt">(optional)`)
	}
	if strings.Contains(page, `Realm <span class="opt">`) {
		t.Error("a required option is marked as optional")
	}
}

func TestEveryDriverOfThisModuleHasACompleteForm(t *testing.T) {
	r := start(t, "")
	for _, d := range pbx.Drivers() {
		_, page := r.get("/add?driver=" + d.Name)
		_, byKey := r.get("/add?login=key&driver=" + d.Name)
		page += byKey
		for _, o := range d.Options {
			contains(t, page, fmt.Sprintf(`name="%s"`, inputOf(o)))
		}
	}
}

func TestAWrongFormSaysWhatToDoBesideTheFieldAndInTheSummary(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar", false, pbxsim.Options{})
	r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Northwind", nil)
	for _, row := range []struct {
		name   string
		change url.Values
		field  string // empty: the summary alone
		says   string
	}{
		{"no name", url.Values{"name": {" "}}, "name", "Enter a name"},
		{"duplicate name", url.Values{"name": {"northwind "}}, "name", "The name “northwind” is taken"},
		{"long name", url.Values{"name": {strings.Repeat("x", 81)}}, "name", "Shorten the name"},
		{"no brand", url.Values{"driver": {""}}, "driver", "Choose a brand"},
		{"unknown brand", url.Values{"driver": {"avaya"}}, "driver", "Choose a brand"},
		{"no address", url.Values{"url": {""}}, "url", "Enter the address"},
		{"wrong URL", url.Values{"url": {"ftp://pbx.example.com"}}, "url", "URL"},
		{"URL with a password", url.Values{"url": {"https://admin:planted-in-url@pbx.example.com"}}, "url", "URL"},
		{"plain http beyond this machine", url.Values{"url": {"http://192.0.2.1"}}, "url", "http"},
		{"no user name", url.Values{"username": {""}}, "username", "Enter the"},
		{"empty password", url.Values{"password": {""}}, "password", "Enter the"},
		{"unknown option", url.Values{"o.nonsense": {"1"}}, "unknown", "does not know 1 setting"},
		{"wrong choice", url.Values{"o.family": {"s-v9"}}, "o.family", "s-v9"},
		{"wrong duration", url.Values{"o.token_ttl": {"soon"}}, "o.token_ttl", "soon"},
	} {
		t.Run(row.name, func(t *testing.T) {
			form := filled(sim, "Kestrel")
			for name, values := range row.change {
				form[name] = values
			}
			before := len(r.app.ids())
			status, page := r.post("/add", form)
			page = html.UnescapeString(page)
			if status != http.StatusUnprocessableEntity {
				t.Fatalf("status %d", status)
			}
			if len(r.app.ids()) != before {
				t.Error("something was saved")
			}
			contains(t, page, "<title>Error: Add a PBX", "Not saved: 1 thing to fix", row.says)
			if row.field != "" {
				contains(t, page, `<a href="#`+row.field+`">`, `id="`+row.field+`"`)
				text := page[strings.Index(page, `<a href="#`+row.field+`">`)+len(`<a href="#`+row.field+`">`):]
				text = text[:strings.Index(text, "</a>")]
				if row.field != "unknown" && strings.Count(page, text) != 2 {
					t.Errorf("%q stands %d times: once in the summary and once beside the field are expected", text, strings.Count(page, text))
				}
			}
			if typed := form.Get("name"); typed != "" && strings.TrimSpace(typed) != "" {
				contains(t, page, `value="`+strings.TrimSpace(typed)+`"`)
			}
			if address := form.Get("url"); row.name == "URL with a password" {
				contains(t, page, `value="https://pbx.example.com"`)
			} else if address != "" {
				contains(t, page, `value="`+address+`"`)
			}
			for _, option := range []string{"o.family", "o.token_ttl"} {
				if value := form.Get(option); value != "" && form.Get("driver") == "yeastar" {
					contains(t, page, `value="`+value+`"`)
				}
			}
			if row.field == "o.family" {
				contains(t, page, "s-v9 (not supported)")
			}
			if row.field != "username" {
				contains(t, page, `value="`+simUser+`"`)
			}
			if strings.Contains(page, sim.password) || strings.Contains(page, "planted-in-url") {
				t.Error("the password came back")
			}
		})
	}
	if n := sim.pbx.Counts().Requests; n != 0 {
		t.Errorf("%d requests were sent for forms that are wrong", n)
	}
}

func TestAnErrorOfTheDriverStandsBesideTheFieldThatItNames(t *testing.T) {
	r := start(t, "")
	_, page := r.post("/add", url.Values{"do": {"save"}, "driver": {"never-seen"}, "name": {"A"}, "url": {"https://pbx.example"}, "username": {"u"}, "password": {"p"}, "o.realm": {"wrong"}})
	contains(t, html.UnescapeString(page), `<a href="#o.realm">The realm is not one of yours: copy it from Admin › API.</a>`, `id="o.realm-error"`, `aria-describedby="o.realm-error o.realm-help" aria-invalid="true"`)
}

func TestASecondSaveWithAnEmptyPasswordKeepsIt(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	for i := range 2 {
		form := filled(sim, fmt.Sprintf("Harbour %d", i))
		form.Set("password", "")
		form.Set("id", saved.key())
		if status, page := r.post("/pbx/"+saved.key()+"/edit", form); status != http.StatusOK || strings.Contains(page, "Not saved") {
			t.Fatalf("status %d:\n%s", status, page)
		}
		r.waitFor(saved, "Live")
	}
	_, now, _ := r.app.entry(saved.ID)
	if now.Name != "Harbour 1" || !now.Password.Equal(secretOf(sim.password)) {
		t.Errorf("%q, password kept: %v", now.Name, now.Password.Equal(secretOf(sim.password)))
	}
	if n := sim.pbx.Counts().WrongLogins; n != 0 {
		t.Errorf("%d wrong logins", n)
	}
}

func TestARefusedPasswordThatIsSavedAgainIsNotSentAgain(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", func(s *Settings) { s.Password = secretOf("wrong") })
	r.waitFor(saved, "Rejected")
	form := filled(sim, "Another name")
	form.Set("id", saved.key())
	form.Set("password", "")
	_, page := r.post("/pbx/"+saved.key()+"/edit", form)
	contains(t, page, "Another name", "Not sent: the PBX refused exactly this password at ", "press “Send the same again”.", "Rejected")
	_, page = r.get("/pbx/" + saved.key() + "/again")
	contains(t, page, "Send the same password again?", "One login with the same password is sent.", "Cancel")
	if n := sim.pbx.Counts().Logins; n != 1 {
		t.Fatalf("%d logins", n)
	}
	sim.pbx.SetPassword(simUser, "wrong")
	r.post("/pbx/"+saved.key()+"/retry", url.Values{})
	r.waitFor(saved, "Live")
}

func TestANewNameDoesNotLogInAgain(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	form := filled(sim, "Another name")
	form.Set("id", saved.key())
	form.Set("password", "")
	r.post("/pbx/"+saved.key()+"/edit", form)
	if n := sim.pbx.Counts().Logins; n != 1 {
		t.Errorf("%d logins", n)
	}
}

func TestAKeptPasswordIsNotSentToAnotherAddress(t *testing.T) {
	r := start(t, "")
	sim, other := r.simulate("yeastar-p", false, pbxsim.Options{}), r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	r.waitFor(saved, "Live")
	for _, do := range []string{"save", "test"} {
		form := filled(other, "Harbour")
		form.Set("password", "")
		form.Set("id", saved.key())
		form.Set("do", do)
		status, page := r.post("/pbx/"+saved.key()+"/edit", form)
		if status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d", do, status)
		}
		contains(t, page, "Type the client Secret again: it was entered for another address.")
	}
	if n := other.pbx.Counts().Requests; n != 0 {
		t.Errorf("%d requests went to the other address", n)
	}
}

// The words beside a field that keeps its secret also reach a person who does not
// see them.
func TestAKeptSecretIsAnnouncedWithItsField(t *testing.T) {
	r := start(t, "")
	saved := r.connect(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour", func(s *Settings) { s.SecretsSet = time.Date(2025, 11, 3, 9, 0, 0, 0, time.Local) })
	_, page := r.get("/pbx/" + saved.key() + "/edit")
	contains(t, page, `<p class="set" id="password-set">Set on 3 Nov 2025. Not shown.`, `aria-describedby="password-error password-set"`)
	// Of another brand it is not known when it was set.
	_, page = r.post("/pbx/"+saved.key()+"/edit", url.Values{"id": {saved.key()}, "do": {"brand"}, "driver": {"yeastar"}, "drawn": {"yeastar-p"}, "name": {"Harbour"}, "url": {saved.URL}})
	contains(t, page, "Set earlier. Not shown.")
}

// Another secret that is typed does not let the kept password go to another address.
func TestEverySecretThatIsKeptIsTypedAgainForAnotherAddress(t *testing.T) {
	r := start(t, "")
	saved, err := r.app.save(t.Context(), Settings{Name: "N", Driver: "never-seen", URL: "https://a.example", Username: "u", Password: secretOf(planted),
		Options: map[string]string{"realm": "r"}, Secrets: map[string]pbx.Secret{"signing": secretOf(planted)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ typed, want string }{
		{"s.signing", "Type the API secret again: it was entered for another address."},
		{"password", "Type the signing key again: it was entered for another address."},
	} {
		_, page := r.post("/pbx/"+saved.key()+"/edit", url.Values{"id": {saved.key()}, "do": {"save"}, "driver": {"never-seen"}, "name": {"N"}, "url": {"https://b.example"}, "username": {"u"}, "o.realm": {"r"}, row.typed: {"typed"}})
		contains(t, page, "Not saved: 1 thing to fix", row.want)
		if _, now, _ := r.app.entry(saved.ID); now.URL != saved.URL {
			t.Fatalf("the kept secret goes to %s", now.URL)
		}
	}
}

// A person may paste an address with the password in it.
func TestAPasswordInAnAddressDoesNotComeBack(t *testing.T) {
	for _, row := range []struct{ typed, shown string }{
		{"https://admin:" + planted + "@pbx.example:8088/x", "https://pbx.example:8088/x"},
		{"admin:" + planted + "@pbx.example", "pbx.example"},
		{"https:/admin:" + planted + "@pbx.example", "https:/pbx.example"},
		{`HTTPS:\\admin:` + planted + "@pbx.example", `HTTPS:\\pbx.example`},
		{"https://admin:" + planted + "/x@pbx.example", "https://pbx.example"},
		{"https://admin:" + planted + "?x@pbx.example", "https://pbx.example"},
		{"ht tp://admin:" + planted + "@pbx.example", "pbx.example"},
		{"https://pbx.example/a@b", "https://pbx.example/a@b"},
		{"pbx.example", "pbx.example"},
		{"https://pbx.example:port", "https://pbx.example:port"},
	} {
		if got := shownAddress(row.typed); got != row.shown {
			t.Errorf("%s is shown as %s, want %s", row.typed, got, row.shown)
		}
	}
	r := start(t, "")
	for _, do := range []string{"save", "test", "brand"} {
		_, page := r.post("/add", url.Values{"do": {do}, "driver": {"yeastar-p"}, "name": {"X"}, "url": {"admin:" + planted + "@pbx.example"}, "username": {"u"}, "password": {"p"}})
		contains(t, page, `value="pbx.example"`)
		if strings.Contains(page, planted) {
			t.Errorf("%s: the password came back", do)
		}
	}
}

func TestAButtonThatIsPressedTwiceAddsOnePBX(t *testing.T) {
	r := start(t, "")
	form := filled(r.simulate("yeastar-p", false, pbxsim.Options{}), "Harbour")
	r.withToken(form)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			resp, err := r.client.PostForm(r.url("/add"), form)
			if err != nil {
				t.Error(err)
				return
			}
			contains(t, body(t, resp), "<h1>Harbour</h1>")
		})
	}
	wg.Wait()
	form.Set("password", "another")
	_, page := r.post("/add", form)
	contains(t, page, "is taken. Choose another one.")
	if n := len(r.app.ids()); n != 1 {
		t.Errorf("%d PBXs", n)
	}
}

// Two windows may have the form of one PBX, or a window and another process.
func TestTheLaterOfTwoEditsDoesNotUndoTheOther(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	path := "/pbx/" + saved.key() + "/edit"
	_, page := r.get(path)
	rev := regexp.MustCompile(`name="rev" value="(\d+)"`).FindStringSubmatch(page)
	if rev == nil {
		t.Fatal("the form does not say of which settings it was made")
	}
	form := filled(sim, "Of one window")
	form.Set("id", saved.key())
	form.Set("rev", rev[1])
	contains(t, second(r.post(path, form)), "<h1>Of one window</h1>")
	contains(t, second(r.post(path, form)), "<h1>Of one window</h1>") // pressed twice: it is saved
	form.Set("name", "Of the other")
	status, page := r.post(path, form)
	if status != http.StatusConflict {
		t.Errorf("status %d", status)
	}
	contains(t, page, "Not saved: 1 thing to fix", "changed after this form was opened", `value="Of the other"`)
	if _, now, _ := r.app.entry(saved.ID); now.Name != "Of one window" {
		t.Errorf("the other window's change is undone: %s", now.Name)
	}
	form.Set("rev", regexp.MustCompile(`name="rev" value="(\d+)"`).FindStringSubmatch(page)[1])
	contains(t, second(r.post(path, form)), "<h1>Of the other</h1>") // now it is meant
}

func second[A, B any](_ A, b B) B { return b }

func TestWhatWasTypedIsThereAfterTheFileCouldNotBeWritten(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", nil)
	if _, err := r.app.db.sql.Exec("PRAGMA query_only = 1"); err != nil {
		t.Fatal(err)
	}
	status, page := r.post("/add", filled(sim, "Typed name"))
	if status != http.StatusInternalServerError {
		t.Errorf("status %d", status)
	}
	contains(t, page, "Not saved: 1 thing to fix", "The settings file cannot be written: attempt to write a readonly database", "Check its disk and permissions", `value="Typed name"`)
	for _, action := range []string{"disconnect", "remove"} {
		_, page = r.post("/pbx/"+saved.key()+"/"+action, url.Values{})
		contains(t, page, "The settings file cannot be written")
	}
	r.waitFor(saved, "Live")
}

func TestUnknownOptionsAreShownAndNeverDroppedInSilence(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	saved := r.connect(sim, "Harbour", func(s *Settings) { s.Options = map[string]string{"of_an_older_version": "planted-value"} })
	_, page := r.get("/pbx/" + saved.key() + "/edit")
	contains(t, page, "This driver does not know 1 setting", "of_an_older_version")
	if strings.Contains(page, "planted-value") {
		t.Error("the value is shown")
	}
	form := filled(sim, "Harbour")
	form.Set("id", saved.key())
	if status, _ := r.post("/pbx/"+saved.key()+"/edit", form); status != http.StatusUnprocessableEntity {
		t.Errorf("status %d: it was saved", status)
	}
	if _, now, _ := r.app.entry(saved.ID); now.Options["of_an_older_version"] != "planted-value" {
		t.Error("the option is gone")
	}
	form.Set("remove.of_an_older_version", "1")
	r.post("/pbx/"+saved.key()+"/edit", form)
	if _, now, _ := r.app.entry(saved.ID); len(now.Options) != 0 {
		t.Errorf("options %v", now.Options)
	}
	r.waitFor(saved, "Live")
}

func TestAPBXWithoutADriverKeepsItsSettings(t *testing.T) {
	r := start(t, "")
	saved, err := r.app.save(context.Background(), Settings{Name: "Old", Driver: "avaya", URL: "https://pbx.example", Username: "u", Password: secretOf("p")})
	if err != nil {
		t.Fatal(err)
	}
	_, page := r.get("/")
	contains(t, page, "This program has no driver “avaya”.", "Remove: Old")
	if _, page = r.get("/pbx/" + saved.key()); strings.Contains(page, " weeks") {
		t.Error("a PBX that never had a session has an age")
	}
	_, page = r.get("/pbx/" + saved.key() + "/edit")
	contains(t, page, "This program has no driver “avaya”", "The settings are kept.")
}

func TestChangingTheBrandKeepsWhatFitsBoth(t *testing.T) {
	r := start(t, "")
	form := url.Values{"do": {"save"}, "drawn": {"yeastar"}, "driver": {"runtel"}, "name": {"Lumen"}, "url": {"https://lumen.example"}, "username": {"crm"}, "o.family": {"s-v2"}}
	_, page := r.post("/add", form)
	contains(t, page, `value="runtel" selected`, `value="Lumen"`, `value="https://lumen.example"`, `value="crm"`)
	if strings.Contains(page, "family") || len(r.app.ids()) != 0 {
		t.Error("an option of the other brand is there, or something was saved")
	}
}

func TestATestWithARefusedPasswordSendsItOnce(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	form := filled(sim, "Harbour")
	form.Set("password", "planted-wrong-password")
	form.Set("do", "test")
	_, page := r.post("/add", form)
	contains(t, page, "The test failed: 1 thing to fix", `<a href="#password">The PBX refused this password.`, `class="s-failed" data-step="Login"`, "Type the client Secret again",
		"1 of 3 wrong logins are used; the PBX locks at 5.")
	if c := sim.pbx.Counts(); c.WrongLogins != 1 || c.Logins != 1 {
		t.Errorf("%d logins, %d wrong", c.Logins, c.WrongLogins)
	}
	_, page = r.post("/add", form)
	contains(t, page, "Not sent: the PBX refused exactly this password at ", ". Change it.")
	if c := sim.pbx.Counts(); c.Logins != 1 {
		t.Errorf("after the second test: %d logins", c.Logins)
	}
	if len(r.app.ids()) != 0 {
		t.Error("a test saved something")
	}
}

func TestATestOfAPBXThatIsAwayMarksTheAddress(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", false, pbxsim.Options{})
	sim.hangUp()
	form := filled(sim, "Harbour")
	form.Set("do", "test")
	_, page := r.post("/add", form)
	contains(t, html.UnescapeString(page), `<a href="#url">The PBX does not respond: connection refused at `+sim.listen+`. Check the address and the port.`, `class="s-failed" data-step="Address responds"`)
}

func TestATestTakesEveryStepAndLeavesNoTokenBehind(t *testing.T) {
	r := start(t, "")
	for _, driver := range []string{"yeastar", "yeastar-p", "openvox", "runtel", "grandstream", "asterisk", "wazo"} {
		sim := r.simulate(driver, false, pbxsim.Options{})
		form := filled(sim, "A "+driver)
		form.Set("do", "test")
		_, page := r.post("/add", form)
		if strings.Contains(page, `class="s-failed"`) || strings.Contains(page, `class="s-todo"`) {
			t.Errorf("%s: %s", driver, page[strings.Index(page, `<ol class="steps"`):strings.Index(page, `</ol>`)+5])
		}
		contains(t, page, "The test went well. Nothing is saved yet.")
		if n := len(sim.pbx.Tokens(simUser)); n != 0 {
			t.Errorf("%s: %d tokens are left", driver, n)
		}
	}
}

func TestNothingIsSentBeforeASelfSignedKeyIsTrusted(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("yeastar-p", true, pbxsim.Options{})
	pin := pbx.Pin(sim.cert.Leaf)
	form := filled(sim, "Harbour")
	form.Set("do", "test")
	_, page := r.post("/add", form)
	contains(t, html.UnescapeString(page), "The certificate is self-signed: your decision", "Nothing was sent yet.", `value="trust:`+pin+`"`, `class="s-decide" data-step="Certificate"`, "Self-signed: your decision.")
	if n := sim.pbx.Counts().Requests; n != 0 {
		t.Fatalf("%d requests were sent", n)
	}
	form.Set("do", "trust:"+pin)
	_, page = r.post("/add", form)
	contains(t, html.UnescapeString(page), "Trusted by its pin.", "The test went well.", `name="pin" id="pin" value="`+pin+`"`)

	form.Set("do", "save")
	form.Set("pin", pbx.Pin(selfSigned(make([]byte, 32)).Leaf)) // another key
	before := sim.pbx.Counts().Requests
	r.post("/add", form)
	saved := Settings{ID: r.app.ids()[0], Name: "Harbour"}
	r.waitFor(saved, "Unavailable")
	_, page = r.get("/pbx/" + saved.key())
	contains(t, page, "The PBX shows another key than the one you trusted.", "Review key")
	_, page = r.get("/pbx/" + saved.key() + "/edit?key=show")
	contains(t, page, "than the one you trusted on "+day(time.Now(), time.Now()), "Trusted until now", "Shown now")
	form.Set("name", "Another name")
	_, lines := r.post("/test", form) // as the script sends it
	contains(t, lines, "The PBX shows another key than the one you trusted", "Trusted until now", "Shown now", "Another key than the trusted one: your decision.")
	if n := sim.pbx.Counts().Requests - before; n != 0 {
		t.Errorf("%d requests were sent to another key", n)
	}
}
