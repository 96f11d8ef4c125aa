package asterisk_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// Of two Cookie headers Asterisk reads the last, and of two sessions in it the
// last as well.
func TestATokenIsPutIntoTheCookieHeader(t *testing.T) {
	const ours = "mansession_id=1c6c9072"
	tests := []struct {
		name  string
		given []string
		want  string
	}{
		{"none", nil, ours},
		{"another cookie", []string{"lang=de"}, "lang=de; " + ours},
		{"several", []string{"lang=de; theme=dark"}, "lang=de; theme=dark; " + ours},
		{"several headers", []string{"lang=de", "theme=dark;a=b"}, "lang=de; theme=dark; a=b; " + ours},
		{"an old session", []string{"mansession_id=0badcafe"}, ours},
		{"one that is quoted", []string{`lang=de; mansession_id="0badcafe"; theme=dark`}, "lang=de; theme=dark; " + ours},
		{"one in capitals", []string{"MANSESSION_ID=0badcafe; lang=de"}, "lang=de; " + ours},
		{"two, with blanks", []string{"mansession_id = 0badcafe ;mansession_id=1"}, ours},
		{"what looks like one", []string{"xmansession_id=1; mansession_ids=2; a=mansession_id=3"}, "xmansession_id=1; mansession_ids=2; a=mansession_id=3; " + ours},
		{"no value", []string{"mansession_id; flag;; "}, "flag; " + ours},
	}
	driver := on(t, drivertest.Unsent{T: t})
	for _, tt := range tests {
		r, err := http.NewRequest("POST", "https://pbx.example.com:8089/rawman?x=y", strings.NewReader("Action=Ping"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if tt.given != nil {
			r.Header["Cookie"] = tt.given
		}
		if err := driver.Authorize(r, &pbx.Token{Value: pbx.NewSecret("1c6c9072")}); err != nil {
			t.Error(err)
		}
		want := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Cookie": {tt.want}}
		if diff := cmp.Diff(want, r.Header); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if r.URL.RawQuery != "x=y" {
			t.Errorf("%s: the query became %s", tt.name, r.URL.RawQuery)
		}
	}
}
