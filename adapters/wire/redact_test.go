package wire_test

import (
	"encoding/json"
	"html"
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

func TestCleanCutsSecretsOutInAnySpelling(t *testing.T) {
	const digest = "5f4dcc3b5aa765d61d8327deb882cf99"
	const password = `a"b/c\d&e<f> g'h+ü😀%` + "\t."
	asJSON, _ := json.Marshal(password)
	php := strings.NewReplacer(`"`, `\"`, `/`, `\/`, `\`, `\\`, "ü", `\u00fc`, "😀", `\ud83d\ude00`, "\t", `\t`).Replace(password)
	python := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "ü", `\u00fc`, "😀", `\uD83D\uDE00`, "\t", `\t`).Replace(password)
	for name, text := range map[string]string{
		"plain":        password,
		"upper case":   strings.ToUpper(password),
		"Go's JSON":    string(asJSON[1 : len(asJSON)-1]),
		"PHP's JSON":   php,
		"Python's":     python,
		"JSON in JSON": strings.ReplaceAll(strings.ReplaceAll(php, `\`, `\\`), `"`, `\"`),
		"query":        url.QueryEscape(password),
		"path":         url.PathEscape(password),
		"lower hex":    strings.ToLower(url.QueryEscape(password)),
		"HTML":         html.EscapeString(password),
		"HTML names":   strings.NewReplacer(`"`, "&quot;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#x27;").Replace(password),
		"digest":       digest,
		"DIGEST":       strings.ToUpper(digest),
	} {
		if got, want := wire.Clean("<"+text+">", secrets(digest, password)...), "<[redacted]>"; got != want {
			t.Errorf("%s: Clean(%q) = %q, want %q", name, text, got, want)
		}
	}
}

func TestCleanOfSeveralSecrets(t *testing.T) {
	for _, test := range []struct {
		text    string
		secrets []string
		want    string
	}{
		{"abc abcdef", []string{"abc", "abcdef"}, "[redacted] [redacted]"}, // the longer first
		{"abcdef abc", []string{"abcdef", "abc"}, "[redacted] [redacted]"},
		{"abcdef", []string{"bcd", "cde"}, "a[redacted]ef"},
		{"aaaa", []string{"a"}, "[redacted][redacted][redacted][redacted]"},
		{"anything", []string{"", ""}, "anything"},
		{"(.*) x", []string{".*"}, "([redacted]) x"},    // no regular expression
		{"one\ntwo", []string{"one two"}, "[redacted]"}, // put together by the folding
		{"a \xff?", []string{"\xff"}, "a [redacted][redacted]"},
		{strings.Repeat("x", 195) + "secretword", []string{"secretword"}, strings.Repeat("x", 195) + "[reda…"},
		{"whatever", []string{strings.Repeat("long", 4000)}, "[redacted]"}, // too long to look for
		{strings.Repeat("long", 1<<18), []string{"x"}, "[redacted]"},       // too long to look through
		{"drop the blank", []string{" drop \n\t the  blank "}, "[redacted]"},
	} {
		if got := wire.Clean(test.text, secrets(test.secrets...)...); got != test.want {
			t.Errorf("Clean(%q, %.20q) = %q, want %q", test.text, test.secrets, got, test.want)
		}
	}
}

func TestDetails(t *testing.T) {
	for _, test := range []struct{ answer, want string }{
		{`{"status":"Success","Token":"t0k3n","user":"a"}`, `{"user":"a"}`},
		{`{"token":"t0k3n"}`, ``},
		{`{}`, ``},
		{`[1]`, ``},
		{`"text"`, ``},
		{`null`, ``},
		{`not JSON`, ``},
		{``, ``},
		{`{"note":"is T0K3N & <b>","list":[1.50,{"x":"t0k3n"}]}`, `{"list":[1.50,{"x":"[redacted]"}],"note":"is [redacted] & <b>"}`},
		{`{"t0k3n":1}`, `{"[redacted]":1}`},
		{`{"password":"pa\/ss\u0022"}`, `{"password":"[redacted]"}`},
		{`{"tok\u0065n":"t0k3n","a":null}`, `{"a":null}`},
	} {
		got := wire.Details([]byte(test.answer), []string{"status", "token"}, secrets("t0k3n", `pa/ss"`)...)
		if diff := cmp.Diff(test.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", test.answer, diff)
		}
	}
	for _, secret := range []string{`"`, ":", "1", `{"a"`, strings.Repeat("x", 1<<20)} {
		if got := wire.Details([]byte(`{"a":"b","c":1}`), nil, pbx.NewSecret(secret)); got != nil && strings.Contains(string(got), secret) {
			t.Errorf("with the secret %.20q: %s", secret, got)
		} else if got != nil && !json.Valid(got) {
			t.Errorf("with the secret %.20q: no JSON: %s", secret, got)
		}
	}
}

// FuzzClean: one line, bounded, and no secret in it.
func FuzzClean(f *testing.F) {
	f.Add("wrong password hunter2", "hunter2", "")
	f.Add("one\ntwo \xff", "one two", "two")
	f.Add(`{"p":"a\/b\u0020\"&quot;%20+"}`, `a/b "`, `" `)
	f.Add(strings.Repeat("ab", 200), "ba", "[r")
	f.Fuzz(func(t *testing.T, text, one, two string) {
		got := wire.Clean(text, secrets(one, two)...)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 201 || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }) {
			t.Errorf("Clean(%q) = %q", text, got)
		}
		// What Clean adds itself is not the secret, though it may look like it.
		own := strings.TrimSuffix(got, "…")
		for n := len(pbx.Redacted) - 1; own != got && n > 0; n-- {
			own = strings.TrimSuffix(own, pbx.Redacted[:n])
		}
		for _, part := range strings.Split(own, pbx.Redacted) {
			for _, secret := range []string{one, two} {
				if secret != "" && strings.Contains(part, secret) {
					t.Errorf("Clean(%q, %q, %q) = %q", text, one, two, got)
				}
			}
		}
	})
}
