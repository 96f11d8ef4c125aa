package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
)

// maxText bounds, in runes, what an error takes over from an answer.
const maxText = 200

// Clean makes a text that came from outside fit for an error or a log: secrets
// cut out, in whatever spelling they came back; control characters and runs of
// blanks folded, so that it stays on one line; cut to 200 characters.
func Clean(text string, secrets ...pbx.Secret) string {
	if text == "" {
		return ""
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), blank), " ")
	text = redactor(secrets)(text)
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText]) + "…"
	}
	return text
}

func blank(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// maxSecret and maxSearched bound, in bytes, what is looked for and where: a
// search takes time in proportion to both, and the PBX chooses both. No vendor's
// token or answer comes near them. Beyond them nothing of the text is shown.
const (
	maxSecret   = 2 << 10
	maxSearched = 64 << 10
)

// redactor returns a func that replaces the secrets in their plain, JSON, URL
// and HTML spellings, in any case: a digest may come back in capitals. Longer
// ones go first, lest a part be cut out of the middle.
func redactor(secrets []pbx.Secret) func(string) string {
	var plain []string
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		if len(s.Reveal()) > maxSecret {
			return func(string) string { return pbx.Redacted }
		}
		plain = append(plain, s.Reveal())
	}
	if len(plain) == 0 {
		return func(text string) string { return text }
	}
	slices.SortFunc(plain, func(a, b string) int { return len(b) - len(a) })
	var patterns []string
	for _, s := range plain {
		patterns = append(patterns, spellings(strings.ToValidUTF8(s, "?")), regexp.QuoteMeta(url.QueryEscape(s)))
	}
	matcher, err := regexp.Compile(`(?i)` + strings.Join(patterns, "|"))
	return func(text string) string {
		if err != nil || len(text) > maxSearched { // err: the pattern is too large
			return pbx.Redacted
		}
		return matcher.ReplaceAllLiteralString(text, pbx.Redacted)
	}
}

// spellings is the regular expression of s in which any character but letters,
// digits and -._~ may also be escaped as in JSON, a URL or HTML. How much is
// escaped differs: PHP writes \/ and \u00fc, Go \u0026. Blanks may be folded.
func spellings(s string) string {
	if strings.TrimFunc(s, blank) == "" {
		return regexp.QuoteMeta(s)
	}
	var all strings.Builder
	gap := false
	for _, r := range s {
		if !blank(r) {
			all.WriteString(spelling(r))
		} else if !gap {
			all.WriteString(`(?:[^\pL\pM\pN\pP\pS]|\+|%[0-9a-f]{2}|\\+(?:u[0-9a-f]{4}|[bfnrt])|&#[0-9a-fx]+;)*`)
		}
		gap = blank(r)
	}
	return all.String()
}

// htmlNames are the characters that HTML may escape by name.
var htmlNames = map[rune]string{'"': "quot", '&': "amp", '\'': "apos", '<': "lt", '>': "gt"}

func spelling(r rune) string {
	plain := regexp.QuoteMeta(string(r))
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-._~", r)) {
		return plain
	}
	inURL, inJSON := "", ""
	for _, octet := range []byte(string(r)) {
		inURL += fmt.Sprintf("%%%02x", octet)
	}
	for _, unit := range utf16.Encode([]rune{r}) {
		inJSON += fmt.Sprintf(`\\+u%04x`, unit)
	}
	const amp = `(?:&|\\+u0026)` // of HTML in JSON
	all := []string{plain, inURL, inJSON, fmt.Sprintf(amp+"#(?:0*%d|x0*%x);", r, r)}
	if strings.ContainsRune(`"\/`, r) {
		all = append(all, `\\+`+plain)
	}
	if name, ok := htmlNames[r]; ok {
		all = append(all, amp+name+";")
	}
	return "(?:" + strings.Join(all, "|") + ")"
}

// Details returns the JSON object in answer for [pbx.Token].Details: without
// the named fields, and with the secrets cut out of the others. It is nil if
// nothing remains, or if answer is not an object.
func Details(answer []byte, without []string, secrets ...pbx.Secret) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(answer, &fields) != nil {
		return nil
	}
	for name := range fields {
		if slices.ContainsFunc(without, func(s string) bool { return strings.EqualFold(s, name) }) {
			delete(fields, name)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(fields) != nil {
		return nil
	}
	cleaned := []byte(redactor(secrets)(strings.TrimSpace(out.String())))
	if !json.Valid(cleaned) { // a secret that looks like JSON's own syntax
		return nil
	}
	return cleaned
}
