package pbxsim

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
)

// What follows are values of [Fault].Edit: the same response as some firmware,
// or something on the way, writes it.

// WithBOM puts a byte order mark before the body.
func WithBOM(_ *Request, r *Reply) { r.Body = append([]byte("\xef\xbb\xbf"), r.Body...) }

// WithNUL puts a NUL behind the body, as of a C string.
func WithNUL(_ *Request, r *Reply) { r.Body = append(bytes.Clone(r.Body), 0) }

// WithBlanks puts white space around the body.
func WithBlanks(_ *Request, r *Reply) {
	r.Body = append(append([]byte("\r\n  "), r.Body...), " \t\r\n\r\n"...)
}

// NumbersQuoted writes each number of a JSON body as a string.
func NumbersQuoted(_ *Request, r *Reply) {
	r.Body = editJSON(r.Body, func(literal []byte, isName bool) []byte {
		if literal[0] == '-' || literal[0] >= '0' && literal[0] <= '9' {
			return append(append([]byte{'"'}, literal...), '"')
		}
		return literal
	})
}

// StringsUnquoted writes each string of a JSON body that has the form of a
// number as one.
func StringsUnquoted(_ *Request, r *Reply) {
	r.Body = editJSON(r.Body, func(literal []byte, isName bool) []byte {
		var s string
		if isName || json.Unmarshal(literal, &s) != nil || s == "" || s[0] != '-' && (s[0] < '0' || s[0] > '9') || !json.Valid([]byte(s)) {
			return literal
		}
		return []byte(s)
	})
}

// editJSON changes the names, strings, numbers and words of a JSON text, and
// leaves all else as it is, what is no JSON included.
func editJSON(text []byte, edit func(literal []byte, isName bool) []byte) []byte {
	if !json.Valid(text) {
		return text
	}
	var out []byte
	for i := 0; i < len(text); {
		end := i + 1
		switch c := text[i]; {
		case c == '"':
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			end++
			isName := bytes.HasPrefix(bytes.TrimLeft(text[end:], " \t\r\n"), []byte(":"))
			out = append(out, edit(text[i:end], isName)...)
		case bytes.IndexByte([]byte("{}[]:, \t\r\n"), c) >= 0:
			out = append(out, c)
		default:
			for end < len(text) && bytes.IndexByte([]byte("{}[]:, \t\r\n"), text[end]) < 0 {
				end++
			}
			out = append(out, edit(text[i:end], false)...)
		}
		i = end
	}
	return out
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(body) // a Buffer takes all
	w.Close()
	return out.Bytes()
}
