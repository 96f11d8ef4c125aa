package wire_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

// TestARedirectIsReportedAndNotFollowed: followed, a login would become a GET,
// and a token go to wherever the answer points.
func TestARedirectIsReportedAndNotFollowed(t *testing.T) {
	target := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s was followed to", r.URL.Path) })
	const api, own, elsewhere = "if that is your PBX, configure the URL ", "another page of its own", "configure the URL where its API responds"
	for location, want := range map[string]string{
		target.URL + "/api/login?token=canary":             api + target.URL,
		target.URL + "/tenant7/api/login?token=canary":     api + target.URL + "/tenant7",
		target.URL + "/login.html?next=canary#canary":      api + target.URL,
		"//" + target.Listener.Addr().String() + "/canary": api + target.URL,
		"https://127.0.0.1:8088/api/login?token=canary":    api + "https://127.0.0.1:8088",
		"https://u:canary@pbx.example/api/login":           api + "https://pbx.example",
		"https://pbx.example/hunter2/api/login":            api + "https://pbx.example/[redacted]",
		"http://pbx.example/api/login/":                    api + "http://pbx.example",
		"/api/login":                                       own,
		"/login.html?token=canary":                         own,
		"login?token=canary":                               own,
		"?token=canary":                                    own,
		"ftp://pbx.example/canary":                         elsewhere,
		"canary:":                                          elsewhere,
		"http:canary":                                      elsewhere,
		"https:///canary":                                  elsewhere,
		"http://[canary/?token=canary":                     elsewhere,
		"http://pbx.example/%zz?token=canary":              elsewhere,
	} {
		for _, status := range []int{300, 301, 302, 303, 307, 308} {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Location"] = []string{location}
				w.WriteHeader(status)
				io.WriteString(w, "canary")
			})
			cfg := settings(s.URL)
			req := login
			req.Secrets = []pbx.Secret{cfg.Password}
			_, err := open(t, cfg).Do(t.Context(), req)
			failure := wantFailure(t, err, pbx.ErrConfig, true, want)
			if strings.HasPrefix(want, api) && !strings.Contains(failure.Message, want+"; the request went to "+s.URL+"/") {
				t.Errorf("%d %s: %q does not say %q and where the request went", status, location, failure.Message, want)
			}
			if text := fmt.Sprintf("%v %#v", err, *failure); strings.Contains(text, "canary") || failure.HTTPStatus != status {
				t.Errorf("%d %s: %s", status, location, text)
			}
			if got := s.requests.Load(); got != 1 {
				t.Errorf("%d %s: the server got %d requests", status, location, got)
			}
		}
	}
}

func TestARedirectThatPointsNowhereIsAResponse(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) })
	x, err := open(t, settings(s.URL)).Do(t.Context(), login)
	if err != nil || x.Response.Status != 302 {
		t.Errorf("%v, %v", x, err)
	}
}

func TestARedirectOfABareTransportIsReported(t *testing.T) {
	_, err := open(t, over("pbx.example.com", func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"https://other.example/api/login"}}, Body: http.NoBody}, nil // no Request
	})).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, true, "configure the URL https://other.example")
}

func TestARedirectToTheSamePathWithASlashBlamesTheProxy(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Path+"/")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	_, err := open(t, settings(s.URL)).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, true, "the proxy in front of the PBX must pass paths on as they are")
}

func TestARedirectToHTTPSNamesTheURLWhateverItsSlash(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "https://"+r.Host+r.URL.Path+"/")
		w.WriteHeader(http.StatusMovedPermanently)
	})
	_, err := open(t, settings(s.URL)).Do(t.Context(), login)
	wantFailure(t, err, pbx.ErrConfig, true, "configure the URL https://"+s.Listener.Addr().String())
}
