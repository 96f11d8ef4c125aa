package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
)

const (
	// maxText bounds, in runes, what an error takes over from a response.
	maxText = 200
	// maxFolded bounds, in bytes, what is read of a text to get there.
	maxFolded = 64 << 10
	// maxSecrets bounds, in bytes, all secrets together, and maxDetails what is
	// searched for them. The PBX chooses the size of both. Beyond these sizes
	// nothing of the text is shown.
	maxSecrets = 16 << 10
	maxDetails = 256 << 10

	// sharedWord and sharedSecret are how many letters and digits in a row a
	// text may not share with a secret: a text for people, or one that programs
	// use. A shorter secret may not be there whole.
	sharedWord   = 4
	sharedSecret = 12
)

// Clean makes a text that came from outside fit for an error or a log: control
// characters and runs of blanks folded, so that it stays on one line, and cut to
// 200 characters. If the text shares four letters or digits in a row with a
// secret, in upper or lower case, however it is escaped, or in hexadecimal or base64,
// nothing of it is shown: there are more ways to quote a secret than can be listed,
// and a text with a gap in it shows where the secret was.
func Clean(text string, secrets ...pbx.Secret) string {
	text = fold(text)
	if text == "" || !newRuns(secrets, sharedWord).in(text) {
		return text
	}
	return pbx.Redacted
}

// Clean returns texts from the response as [Clean] does, with the exchange's
// secrets.
func (x *Exchange) Clean(texts ...string) []string {
	secrets := x.secrets()
	cleaned := make([]string, len(texts))
	for i, text := range texts {
		cleaned[i] = Clean(text, secrets...)
	}
	return cleaned
}

// fold makes one line of at most maxText runes.
func fold(text string) string {
	if len(text) > maxFolded {
		text = text[:maxFolded]
	}
	var out strings.Builder
	runes, gap := 0, false
	for _, r := range strings.ToValidUTF8(text, "?") {
		if blank(r) {
			gap = out.Len() > 0
			continue
		}
		for _, r := range []rune{' ', r} {
			if r == ' ' && !gap {
				continue
			}
			if runes == maxText {
				return out.String() + "…"
			}
			out.WriteRune(r)
			runes++
		}
		gap = false
	}
	return out.String()
}

func blank(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// cleanPath replaces the segments of a driver's own path that hold a secret.
func cleanPath(path string, secrets []pbx.Secret) string {
	found := newRuns(long(secrets), sharedSecret)
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if found.in(segment) {
			segments[i] = pbx.Redacted
		}
	}
	return strings.Join(segments, "/")
}

// long are the secrets to look for in texts that everybody knows, as in a path or
// the name of a field. A short one may be a word of these, and a word missing would
// show it.
func long(secrets []pbx.Secret) []pbx.Secret {
	return slices.DeleteFunc(slices.Clone(secrets), func(s pbx.Secret) bool {
		all := readings(s.Reveal())
		return len(all[len(all)-1]) < minImplied
	})
}

// runs are the runs of letters and digits in a set of secrets, to be found in a
// text in time proportional to the text: rolling hashes by length.
type runs struct {
	byLength map[int]map[uint64]bool
	odd      []string // secrets without a letter or digit
	tooMany  bool
}

// base is that of the rolling hash. Arithmetic is modulo 2^64: two runs with one
// hash hide a text that could be shown, which costs nothing.
const base = 0x9E3779B97F4A7C15

func newRuns(secrets []pbx.Secret, length int) runs {
	r := runs{byLength: map[int]map[uint64]bool{}}
	size := 0
	for _, s := range secrets {
		if s.IsZero() {
			continue
		}
		if size += len(s.Reveal()); size > maxSecrets {
			return runs{tooMany: true}
		}
		odd := true
		for _, letters := range readings(s.Reveal()) {
			n := min(length, len(letters))
			if n == 0 {
				continue
			}
			odd = false
			if r.byLength[n] == nil {
				r.byLength[n] = map[uint64]bool{}
			}
			roll(letters, n, func(hash uint64) bool { r.byLength[n][hash] = true; return true })
		}
		if odd {
			r.odd = append(r.odd, fold(s.Reveal()))
		}
	}
	return r
}

// in reports whether text has one of the runs.
func (r runs) in(text string) bool {
	if r.tooMany {
		return true
	}
	if len(r.byLength) == 0 && len(r.odd) == 0 {
		return false
	}
	for _, level := range levels(text) {
		if r.within(level) || slices.ContainsFunc(decodings(level), r.within) {
			return true
		}
	}
	return false
}

// within reports whether a text has one of the runs as it stands.
func (r runs) within(text string) bool {
	return slices.ContainsFunc(r.odd, func(s string) bool { return s != "" && strings.Contains(text, s) }) || r.among(plain(text))
}

// among reports whether letters have one of the runs.
func (r runs) among(letters []rune) (found bool) {
	for n, hashes := range r.byLength {
		roll(letters, n, func(hash uint64) bool { found = hashes[hash]; return !found })
		if found {
			return true
		}
	}
	return false
}

// roll yields the hash of each n runes in a row, until yield returns false.
func roll(letters []rune, n int, yield func(hash uint64) bool) {
	var hash, highest uint64 = 0, 1
	for range n {
		highest *= base
	}
	for i, r := range letters {
		hash = hash*base + uint64(r)
		if i >= n {
			hash -= highest * uint64(letters[i-n])
		}
		if i >= n-1 && !yield(hash) {
			return
		}
	}
}

// maxLevels is how often a text is unescaped: HTML in JSON in JSON has three.
const maxLevels = 4

// levels are a text as it stands, and with each level of escapes of JSON, URLs, HTML
// and programming languages undone. What looks like an escape may be none, as in
// LIKE '%1234%'.
func levels(text string) []string {
	all := []string{text}
	for range maxLevels {
		unescaped := unescape(text)
		if unescaped == text {
			break
		}
		text = unescaped
		all = append(all, text)
	}
	return all
}

// readings are the letters and digits of each level of a text.
func readings(text string) (all [][]rune) {
	for _, level := range levels(text) {
		all = append(all, plain(level))
	}
	return all
}

// minEncoded is how many digits in a row may be an encoding: base64 of sharedWord
// letters has 6. Fewer hold no run of a secret.
const minEncoded = 6

// decodings are what may stand in a text in hexadecimal, also with something between the
// bytes, or in base64. Where an encoding begins, nobody knows: each offset is tried.
func decodings(text string) (all []string) {
	try := func(run string, offsets int, decode func(string) ([]byte, error)) {
		for offset := range offsets {
			if len(run) >= minEncoded {
				decoded, _ := decode(run[offset:])
				all = append(all, string(decoded))
			}
		}
	}
	digits := strings.Map(func(r rune) rune {
		if isBase64(r) && r != '+' && r != '/' {
			return r
		}
		return -1
	}, strings.ReplaceAll(text, "0x", ""))
	for run := range strings.FieldsFuncSeq(digits, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }) {
		try(run, 2, hex.DecodeString)
	}
	for run := range strings.FieldsFuncSeq(strings.NewReplacer("-", "+", "_", "/").Replace(text), func(r rune) bool { return !isBase64(r) }) {
		try(run, 4, base64.RawStdEncoding.DecodeString)
	}
	return all
}

func isBase64(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '+' || r == '/'
}

// plain are the letters and digits of a text, in lower case.
func plain(text string) []rune {
	letters := make([]rune, 0, len(text))
	for _, r := range strings.ToValidUTF8(text, "") {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			letters = append(letters, unicode.ToLower(r))
		}
	}
	return letters
}

// unescape undoes one level of escapes: \n, \", \x41, \u0041, %41, &amp;, &#65;.
func unescape(text string) string {
	if !strings.ContainsAny(text, `\%&`) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		rest := text[i+1:]
		switch {
		case text[i] == '%' && hexes(rest, 2):
			out = append(out, byte(number(rest[:2])))
			i += 2
		case text[i] != '\\' || rest == "":
			out = append(out, text[i])
		case rest[0] == 'x' && hexes(rest[1:], 2):
			out = utf8.AppendRune(out, rune(number(rest[1:3]))) // Python's repr: a code point
			i += 3
		case rest[0] == 'u' && hexes(rest[1:], 4):
			out = utf8.AppendRune(out, rune(number(rest[1:5])))
			i += 5
		case strings.IndexByte("abfnrtv", rest[0]) >= 0:
			out = append(out, ' ')
			i++
		default:
			out = append(out, rest[0])
			i++
		}
	}
	return html.UnescapeString(string(out))
}

func hexes(s string, n int) bool {
	return len(s) >= n && strings.Trim(s[:n], "0123456789abcdefABCDEF") == ""
}

func number(hexadecimal string) (n uint32) {
	for _, digit := range []byte(strings.ToLower(hexadecimal)) {
		n = n<<4 | uint32(strings.IndexByte("0123456789abcdef", digit))
	}
	return n
}

// Details returns the JSON object in text for [pbx.Token].Details: without the
// named fields, and with every string and number replaced that holds a secret.
// It is nil if nothing remains, or if text is not an object.
func (x *Exchange) Details(text []byte, without ...string) json.RawMessage {
	if len(text) > maxDetails {
		return nil
	}
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // 1631889200.532154 stays that
	if decoder.Decode(&fields) != nil {
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
	secrets := x.secrets()
	values, names := newRuns(secrets, sharedSecret), newRuns(long(secrets), sharedSecret)
	if values.tooMany {
		return nil
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if encoder.Encode(cut(fields, values, names)) != nil {
		return nil
	}
	return bytes.TrimSpace(out.Bytes())
}

// cut replaces the strings and numbers below v, and the names, that hold a secret.
func cut(v any, values, names runs) any {
	switch v := v.(type) {
	case string:
		if values.in(v) {
			return pbx.Redacted
		}
	case json.Number:
		if values.in(v.String()) {
			return pbx.Redacted
		}
	case []any:
		for i := range v {
			v[i] = cut(v[i], values, names)
		}
	case map[string]any:
		cleaned := make(map[string]any, len(v))
		for name, inner := range v {
			if names.in(name) {
				name = pbx.Redacted
			}
			cleaned[name] = cut(inner, values, names)
		}
		return cleaned
	}
	return v
}
