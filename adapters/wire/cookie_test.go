package wire_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/wire"
)

func TestACookieIsSetAndTheOthersAreLeftAsTheyAre(t *testing.T) {
	for name, tt := range map[string]struct {
		before []string
		want   string
	}{
		"none":             {nil, "sid=new"},
		"another":          {[]string{`lang="de"; _ga=GA1.2`}, `lang="de"; _ga=GA1.2; sid=new`},
		"an old one":       {[]string{"sid=old; lang=de"}, "lang=de; sid=new"},
		"in capitals":      {[]string{"SID=old"}, "sid=new"},
		"one of its names": {[]string{"sid2=other; asid=other"}, "sid2=other; asid=other; sid=new"},
		"several headers":  {[]string{"a=1; sid=old", "b=2", "sid=older"}, "a=1; b=2; sid=new"},
		"blanks":           {[]string{"sid =old;; ;\ta=1"}, "a=1; sid=new"},
		"without a value":  {[]string{"sid; flag"}, "flag; sid=new"},
	} {
		h := http.Header{}
		if tt.before != nil {
			h["Cookie"] = tt.before
		}
		wire.SetCookie(h, "sid", "new")
		if diff := cmp.Diff(http.Header{"Cookie": {tt.want}}, h); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTheCookieThatAResponseSetsIsFoundAmongTheOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  string
		ok    bool
	}{
		"none":                       {nil, "", false},
		"another":                    {[]string{"lang=de"}, "", false},
		"after another":              {[]string{"lang=de", "sid=x; Path=/; HttpOnly"}, "x", true},
		"in capitals":                {[]string{"SID=x"}, "x", true},
		"after one that is not read": {[]string{"=;", "sid=x"}, "x", true},
		"set twice":                  {[]string{"sid=first", "sid=second"}, "second", true}, // as PHP does when it changes a session's id
		"empty":                      {[]string{"sid="}, "", true},
	} {
		got, ok := wire.Cookie(http.Header{"Set-Cookie": tt.lines}, "sid")
		if ok != tt.ok || ok && got.Value != tt.want {
			t.Errorf("%s: %v, %t, want %q", name, got, ok, tt.want)
		}
	}
}
