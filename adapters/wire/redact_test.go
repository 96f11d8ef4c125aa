package wire_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

func secrets(texts ...string) []pbx.Secret {
	var all []pbx.Secret
	for _, text := range texts {
		all = append(all, pbx.NewSecret(text))
	}
	return all
}

func TestCleanMakesOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"wrong password":                  "wrong password",
		" \t a \r\n\n b\x00c\x1b[31m ":    "a b c [31m",
		"zero\u200bwidth \u202eltr":       "zero width ltr",
		"a\u2028b\u0085c":                 "a b c",
		"пароль неверен":                  "пароль неверен",
		"bad \xff\xfe bytes":              "bad ? bytes",
		"\n\n":                            "",
		strings.Repeat("ж", 200):          strings.Repeat("ж", 200),
		strings.Repeat("ж", 201):          strings.Repeat("ж", 200) + "…",
		strings.Repeat("\n", 300) + "end": "end",
	} {
		if got := wire.Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestCleanFindsASecretInAnySpelling(t *testing.T) {
	for _, password := range []string{`a"b/c\d&e<f> g'h+ü😀%` + "\t.", "!@#$%^&*()\"<>"} { // the latter without a letter
		inAnySpelling(t, password)
	}
}

// Three letters in a row may look like an escape without its sign.
func TestCleanReadsAnEscapeWhereItsSignIs(t *testing.T) {
	const password = "xabcyabczabcwabc"
	for _, text := range []string{"%78abc%79abc%7aabc%77abc", `\x78abc\x79abc\x7aabc\x77abc`} {
		if got := wire.Clean("<"+text+">", secrets(password)...); got != pbx.Redacted {
			t.Errorf("Clean(%q) = %q", text, got)
		}
	}
}

func inAnySpelling(t *testing.T, password string) {
	const digest = "5f4dcc3b5aa765d61d8327deb882cf99"
	asJSON, _ := json.Marshal(password)
	php := strings.NewReplacer(`"`, `\"`, `/`, `\/`, `\`, `\\`, "ü", `\u00fc`, "😀", `\ud83d\ude00`, "\t", `\t`).Replace(password)
	python := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "ü", `\u00fc`, "😀", `\uD83D\uDE00`, "\t", `\t`).Replace(password)
	for name, text := range map[string]string{
		"plain":             password,
		"upper case":        strings.ToUpper(password),
		"Go's JSON":         string(asJSON[1 : len(asJSON)-1]),
		"PHP's JSON":        php,
		"Python's":          python,
		"JSON in JSON":      strings.ReplaceAll(strings.ReplaceAll(php, `\`, `\\`), `"`, `\"`),
		"query":             url.QueryEscape(password),
		"path":              url.PathEscape(password),
		"lower hex":         strings.ToLower(url.QueryEscape(password)),
		"HTML":              html.EscapeString(password),
		"HTML names":        strings.NewReplacer(`"`, "&quot;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#x27;").Replace(password),
		"digest":            digest,
		"DIGEST":            strings.ToUpper(digest),
		"hexadecimal":       hex.EncodeToString([]byte(password)),
		"hex dump":          fmt.Sprintf("% X", "?"+password),
		"with 0x":           fmt.Sprintf("% #x", password),
		"base64":            base64.StdEncoding.EncodeToString([]byte(password)),
		"base64url":         base64.RawURLEncoding.EncodeToString([]byte("x" + password)),
		"HTTP Basic":        "Basic " + base64.StdEncoding.EncodeToString([]byte("api:"+password)),
		"base64 in a query": url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("ab" + password))),
	} {
		if got := wire.Clean("<"+text+">", secrets(digest, password)...); got != pbx.Redacted {
			t.Errorf("%s: Clean(%q) = %q", name, text, got)
		}
	}
}

func TestCleanShowsNothingThatSharesARunWithASecret(t *testing.T) {
	for _, test := range []struct {
		text    string
		secrets []string
		shown   bool
	}{
		{"the PBX is starting", []string{"hunter2-Geheim"}, true},
		{"the hunt is on", []string{"hunter2-Geheim"}, false}, // a cut password
		{"use geh.eim", []string{"hunter2-Geheim"}, false},    // taken apart
		{"wrong password", []string{"Password1"}, false},
		{"wrong password", []string{"hunter2", "-"}, true},
		{"a - b", []string{"-"}, false},
		{"anything", []string{"", ""}, true},
		{"is MTIzNA==?", []string{"1234"}, false}, // base64
		{"is MTIzNDU=?", []string{"12345"}, false},
		{"is 31323334?", []string{"1234"}, false}, // hexadecimal
		{"is 313233?", []string{"1234"}, true},    // three digits of four
		{"code 7", []string{"7"}, false},          // a short one, whole
		{"code 7", []string{"77"}, true},          // and not in part
		{"(.*) x", []string{".*"}, false},         // not a regular expression
		{"one\ntwo", []string{"one two"}, false},  // put together by the folding
		{"\xff?", []string{"\xff"}, false},
		{`it\'s \x68\x75\x6eter`, []string{"hunter2"}, false},
		{"whatever", []string{strings.Repeat("long", 5000)}, false},        // too long to look for
		{strings.Repeat("x", 300) + " hunter2", []string{"hunter2"}, true}, // the secret is beyond what is shown
	} {
		if got := wire.Clean(test.text, secrets(test.secrets...)...); (got != pbx.Redacted) != test.shown || strings.Contains(got, "hunter2") {
			t.Errorf("Clean(%q, %.20q) = %q", test.text, test.secrets, got)
		}
	}
}

// What everybody sends is no secret, so that a text may repeat it.
func TestWhatAPBXSaysMayRepeatAnOrdinaryHeader(t *testing.T) {
	header := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/x-www-form-urlencoded"}, "User-Agent": {"OpenAPI"}, "X-Key": {"canary-key"}}
	x := inspected(t, wire.Request{Op: pbx.OpLogin, Header: header, Query: url.Values{"page": {"1"}, "type": {"jsons"}}}, wire.Response{Status: 400})
	for text, want := range map[string]string{
		"cannot open a json of an application":      "cannot open a json of an application",
		"OpenAPI: no x-www-form-urlencoded, page 1": "OpenAPI: no x-www-form-urlencoded, page 1",
		"no canary here": pbx.Redacted,
	} {
		if got := x.Clean(text); got[0] != want {
			t.Errorf("%q is shown as %q, want %q", text, got[0], want)
		}
	}
}

func TestDetails(t *testing.T) {
	details := func(answer string, hidden ...string) string {
		x := inspected(t, wire.Request{Op: pbx.OpLogin, Path: "/x"}, wire.Response{Status: 200})
		x.Hide(secrets(hidden...)...)
		return string(x.Details([]byte(answer), "status", "token"))
	}
	for _, test := range []struct{ answer, want string }{
		{`{"status":"Success","Token":"t0k3n","user":"a"}`, `{"user":"a"}`},
		{`{"token":"t0k3n"}`, ``},
		{`{}`, ``},
		{`[1]`, ``},
		{`"text"`, ``},
		{`null`, ``},
		{`not JSON`, ``},
		{``, ``},
		{`{"note":"is T0K3N & <b>","list":[1.50,{"x":"t0k3n"}],"b":"<b>"}`, `{"b":"<b>","list":[1.50,{"x":"[redacted]"}],"note":"[redacted]"}`},
		{`{"1234567":1}`, `{"[redacted]":1}`},
		{`{"password":"pa\/ss\u0022"}`, `{"password":"[redacted]"}`},
		{`{"tok\u0065n":"t0k3n","a":null}`, `{"a":null}`},
		{`{"id":1234567,"n":[12345678]}`, `{"id":"[redacted]","n":["[redacted]"]}`},
		{`{"a":"` + strings.Repeat("x", 300<<10) + `"}`, ``}, // too large to look through
	} {
		got := details(test.answer, "t0k3n", `pa/ss"`, "1234567")
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.100s (-want +got)\n%s", test.answer, diff)
		}
	}
	for _, secret := range []string{`"`, ":", "1", `{"a"`, strings.Repeat("x", 1<<20)} {
		if got := details(`{"a":"b","c":1}`, secret); strings.Contains(secret, "x") && got != "" || got != "" && !json.Valid([]byte(got)) {
			t.Errorf("with the secret %.20q: %s", secret, got)
		}
	}
}

// FuzzClean: one line, bounded, and no secret in it. Blanks are no secret,
// and a byte that is no text may be part of any letter.
func FuzzClean(f *testing.F) {
	f.Add("wrong password hunter2", "hunter2", "")
	f.Add("one\ntwo \xff", "one two", "two")
	f.Add("˓", "0", "\x93")
	f.Add("0 0", "1", " ")
	f.Add("no row for LIKE '%1234%'", "1234", "")
	f.Add(`{"p":"a\/b\u0020\"&quot;%20+"}`, `a/b "`, `" `)
	f.Add(strings.Repeat("ab", 200), "ba", "[r")
	f.Fuzz(func(t *testing.T, text, one, two string) {
		got := wire.Clean(text, secrets(one, two)...)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 201 || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) {
			t.Errorf("Clean(%q) = %q", text, got)
		}
		for _, secret := range []string{one, two} {
			if strings.Trim(secret, " ") != "" && utf8.ValidString(secret) && got != pbx.Redacted && strings.Contains(got, secret) {
				t.Errorf("Clean(%q, %q, %q) = %q", text, one, two, got)
			}
		}
	})
}

// The PBX chooses the length of its text and of its token.
func BenchmarkCleanOfAHostileText(b *testing.B) {
	token := pbx.NewSecret(strings.Repeat("0123456789abcde%41", 2<<10/18))
	for name, text := range map[string]string{
		"like the token": strings.Repeat("0123456789abcd&#x41;%41\\u0041", 1<<20/28),
		"blanks":         strings.Repeat(" \x00\n", 1<<20/3),
		"escapes":        strings.Repeat(`\\\\%25%25`, 1<<20/10),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				wire.Clean(text, token)
			}
		})
	}
}
