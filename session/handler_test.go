package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// served is the response of a Manager's page.
func served(m *session.Manager, method, target, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	session.Handler(m).ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8"

func TestThePageShowsSessionsInTroubleAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		mustAdd(t, m, "fine", &fake{traits: onHost("fine.test"), life: time.Hour})
		mustAdd(t, m, "<script>", &fake{traits: named("acme", "refused.test"), login: fails(pbx.ErrInvalidCredentials, true)})
		time.Sleep(90 * time.Second)

		page := served(m, http.MethodGet, "/", browser)
		for _, want := range []string{"1 of 2 PBX sessions", "1 live", "1 rejected", "&lt;script&gt;", "acme", "https://refused.test", "1m30s", "invalid credentials"} {
			if !strings.Contains(page.Body.String(), want) {
				t.Errorf("the page lacks %q:\n%s", want, page.Body)
			}
		}
		for _, unwanted := range []string{"fine", "<script"} {
			if strings.Contains(page.Body.String(), unwanted) {
				t.Errorf("the page shows %q:\n%s", unwanted, page.Body)
			}
		}
		for name, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
			if got := page.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}

		var got struct {
			Sessions  int
			ByState   map[string]int `json:"by_state"`
			InTrouble int            `json:"in_trouble"`
			NotShown  int            `json:"not_shown"`
			Rows      []struct{ Session, Driver, PBX, State, Error string }
		}
		asked := served(m, http.MethodGet, "/?format=json", "")
		if err := json.Unmarshal(asked.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Sessions != 2 || got.InTrouble != 1 || got.NotShown != 0 || len(got.Rows) != 1 || !cmp.Equal(got.ByState, map[string]int{"live": 1, "rejected": 1}) {
			t.Errorf("JSON %+v", got)
		}
		if row := got.Rows[0]; row.Session != "<script>" || row.Driver != "acme" || row.State != "rejected" || !strings.Contains(row.Error, "invalid credentials") {
			t.Errorf("row %+v", row)
		}
		if accepted := served(m, http.MethodGet, "/", "application/json"); accepted.Body.String() != asked.Body.String() || accepted.Header().Get("Content-Type") != "application/json" {
			t.Errorf("by Accept: %s", accepted.Body)
		}
	})
}

func TestThePageListsTheOldestTroubleFirstAndNotAllOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, LoginRate: 10_000})
		defer m.Close(context.Background())
		for i := range 1000 {
			mustAdd(t, m, fmt.Sprintf("pbx-%04d", i), &fake{traits: onHost(fmt.Sprint(i, ".test")), login: fails(pbx.ErrInvalidCredentials, true)})
			if i%10 == 9 {
				time.Sleep(time.Second)
			}
		}
		var got struct {
			NotShown int `json:"not_shown"`
			Rows     []struct{ Session string }
		}
		if err := json.Unmarshal(served(m, http.MethodGet, "/?format=json", "").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Rows) != 200 || got.NotShown != 800 || got.Rows[0].Session != "pbx-0000" || got.Rows[199].Session != "pbx-0199" {
			t.Errorf("%d rows, %d not shown", len(got.Rows), got.NotShown)
		}
		if page := served(m, http.MethodGet, "/", browser).Body.String(); !strings.Contains(page, "800 more are not shown") {
			t.Error("the page does not say that there are more")
		}
	})
}

func TestThePageIsReadOnly(t *testing.T) {
	m := session.NewManager(nil)
	defer m.Close(context.Background())
	for _, row := range []struct {
		method, target string
		want           int
		says           string
	}{
		{http.MethodHead, "/", 200, ""},
		{http.MethodGet, "/?format=html", 200, "0 of 0"},
		{http.MethodPost, "/", 405, "use GET"},
		{http.MethodDelete, "/?format=json", 405, "use GET"},
		{http.MethodGet, "/?format=xml", 400, "use format=json"},
	} {
		w := served(m, row.method, row.target, "")
		if w.Code != row.want || !strings.Contains(w.Body.String(), row.says) {
			t.Errorf("%s %s: status %d, %s", row.method, row.target, w.Code, w.Body)
		}
		if allow := w.Header().Get("Allow"); (w.Code == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow is %q", row.method, row.target, allow)
		}
	}
}

func TestAHandlerNeedsAManager(t *testing.T) {
	if said := panics(func() { session.Handler(nil) }); !strings.Contains(said, "Handler needs a Manager") {
		t.Errorf("it says %q", said)
	}
}

func TestThePageAndStatsAndOnOpHoldNoSecret(t *testing.T) {
	const token, details, panicked = "canary-token-52ab", "canary-details-90cc", "canary-panic-17ee"
	synctest.Test(t, func(t *testing.T) {
		var told []session.OpInfo
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, OnOp: func(o session.OpInfo) { told = append(told, o) }})
		leaky := &fake{traits: named("acme", "pbx.test"), life: time.Minute, login: func(context.Context) (*pbx.Token, error) {
			return &pbx.Token{Value: pbx.NewSecret(token), Details: json.RawMessage(`{"x":"` + details + `"}`), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)}, nil
		}}
		leaky.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) { panic(errors.New(panicked)) }
		mustAdd(t, m, "leaky", leaky)
		time.Sleep(50 * time.Second)
		page, data := served(m, http.MethodGet, "/", browser).Body.String(), served(m, http.MethodGet, "/?format=json", "").Body.String()
		if !strings.Contains(page, "leaky") {
			t.Fatalf("the session is in no trouble:\n%s", page)
		}
		stats, err := json.Marshal(m.Stats())
		if err != nil {
			t.Fatal(err)
		}
		m.Close(context.Background())
		for _, text := range []string{page, data, string(stats), fmt.Sprintf("%+v", told)} {
			for _, secret := range []string{token, details, panicked} {
				if strings.Contains(text, secret) {
					t.Errorf("%s shows in %s", secret, text)
				}
			}
		}
	})
}
