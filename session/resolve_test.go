package session_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// connected is a fake with connections of its own.
type connected struct {
	*fake
	over http.RoundTripper
}

func (c connected) Transport() http.RoundTripper { return c.over }

func TestARelativeURLIsResolvedOnThePBXsAddress(t *testing.T) {
	for _, row := range []struct{ base, asked, want string }{
		{"http://pbx.test", "/api/list?page=1", "http://pbx.test/api/list?page=1"},
		{"http://pbx.test:8088", "api/list", "http://pbx.test:8088/api/list"},
		{"http://pbx.test/tenant", "/api/a%2Fb", "http://pbx.test/tenant/api/a%2Fb"},
	} {
		var got string
		auth := connected{&fake{traits: pbx.Traits{URL: row.base}}, roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.Scheme + "://" + r.URL.Host + r.URL.RequestURI() // as it is sent: String would add a missing slash
			return answer(r, http.StatusOK, "{}"), nil
		})}
		during(t, auth, func(t *testing.T, s *session.Session) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, row.asked, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		})
		if got != row.want {
			t.Errorf("%s at %s went to %s, want %s", row.asked, row.base, got, row.want)
		}
	}
}
