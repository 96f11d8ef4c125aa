package wire

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

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
	text = redact(strings.ToValidUTF8(text, "?"), secrets)
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if runes := []rune(text); len(runes) > maxText {
		text = string(runes[:maxText]) + "…"
	}
	return text
}

// redact replaces the secrets in their plain, JSON, query and path spellings,
// in any case: a digest may come back in capitals. Longer ones go first, lest a
// part be cut out of the middle.
func redact(text string, secrets []pbx.Secret) string {
	var spellings []string
	for _, s := range secrets {
		plain := s.Reveal()
		if plain == "" {
			continue
		}
		quoted, err := json.Marshal(plain)
		if err != nil {
			continue // a string always marshals
		}
		spellings = append(spellings, plain, string(quoted[1:len(quoted)-1]), url.QueryEscape(plain), url.PathEscape(plain))
	}
	if len(spellings) == 0 {
		return text
	}
	slices.SortFunc(spellings, func(a, b string) int { return len(b) - len(a) })
	for i, spelling := range spellings {
		spellings[i] = regexp.QuoteMeta(strings.ToValidUTF8(spelling, "?"))
	}
	return regexp.MustCompile(`(?i)`+strings.Join(spellings, "|")).ReplaceAllLiteralString(text, pbx.Redacted)
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
	cleaned := []byte(redact(strings.TrimSpace(out.String()), secrets))
	if !json.Valid(cleaned) { // a secret that looks like JSON's own syntax
		return nil
	}
	return cleaned
}
