package sseries

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// success is the only word that means it. Pages of 2017 fail with "Failure",
// later ones with "Failed".
const success = "Success"

// answer is what the driver reads of any answer. All but the status may be
// missing: a refusal has an errno, a login the tokens, and of API v2 the
// transport of event reports.
type answer struct {
	Status       string `json:"status"`
	Errno        code   `json:"errno"`
	Token        string `json:"token"`
	RefreshToken string `json:"refreshtoken"`
	Transport    string `json:"transport"`
}

// code is an errno: a string in every sample, a number from some firmware.
type code string

// UnmarshalJSON accepts both.
func (c *code) UnmarshalJSON(data []byte) error {
	text := string(data)
	_ = json.Unmarshal(data, &text) // a number stays as it is written
	*c = asCode(text)
	return nil
}

// asCode leaves the code empty where the errno is no whole number: that is not
// the vendor's, and could quote any secret.
func asCode(text string) code {
	if _, err := strconv.ParseInt(text, 10, 32); err != nil {
		return ""
	}
	return code(text)
}

// read reads an answer by its first byte. Where XML is known at all, the
// vendor's samples have it under a JSON header, and in answer to JSON. Without
// a status the answer was not understood.
func (v *Variant) read(body []byte) answer {
	if v.Typed && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("<")) {
		a, err := readXML(body)
		if err != nil {
			return answer{}
		}
		return a
	}
	var a answer
	_ = json.Unmarshal(body, &a) // what is of another type stays empty
	return a
}

// maxDepth is how deeply elements may be nested. The vendor's lists need four
// levels.
const maxDepth = 32

var errNotOurs = errors.New("not an answer of this protocol")

// readXML reads <xml><status>…</status>…</xml>. The elements below others, as
// in lists, are not looked at, but have to be well-formed.
//
// There is nothing in an answer to expand: a document type, which is where
// entities are declared, is refused, and so is an entity that XML itself does
// not have. A status, or any other of the fields, that is there twice could be
// read both ways, and is refused too.
func readXML(body []byte) (answer, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	var a answer
	fields := map[string]*string{"status": &a.Status, "token": &a.Token, "refreshtoken": &a.RefreshToken, "transport": &a.Transport, "errno": new(string)}
	var path []string // the open elements, the root first
	var text strings.Builder
	leaf, done := false, false
	for {
		token, err := d.Token()
		if err == io.EOF && done {
			a.Errno = asCode(*fields["errno"])
			return a, nil
		}
		if err != nil {
			return answer{}, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if token.Name.Space != "" {
				name = "" // of somebody else's
			}
			if len(path) == 0 && (done || name != "xml") || len(path) == maxDepth {
				return answer{}, errNotOurs
			}
			path = append(path, name)
			leaf = len(path) == 2
			text.Reset()
		case xml.EndElement:
			if field, known := fields[path[len(path)-1]]; known && len(path) == 2 {
				if *field != "" {
					return answer{}, errNotOurs
				}
				*field = text.String()
			}
			leaf = false
			path = path[:len(path)-1]
			done = len(path) == 0
		case xml.CharData:
			switch {
			case leaf:
				text.Write(token)
			case len(path) < 2 && len(bytes.TrimSpace(token)) > 0:
				return answer{}, errNotOurs
			}
		case xml.ProcInst:
			if token.Target != "xml" || len(path) > 0 || done {
				return answer{}, errNotOurs
			}
		case xml.Directive:
			return answer{}, errNotOurs
		}
	}
}

// refusal makes the error for an answer that does not say success. A code
// outside the table is kept and has no kind. Of the PBX's own words the code is
// all that is taken over.
func (p *PBX) refusal(req wire.Request, resp *wire.Response, a answer) *pbx.Error {
	known, ok := p.variant.Errnos[string(a.Errno)]
	if !ok {
		known.Meaning = "the PBX refuses for a reason that its vendor does not document"
	}
	failure := p.wire.Fail(req, resp, known.Kind, string(a.Errno), known.Meaning)
	if known.Kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = p.variant.Lockout.Window
	}
	return failure
}
