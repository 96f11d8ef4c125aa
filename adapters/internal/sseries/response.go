package sseries

import (
	"bytes"
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// success is the only word that means it. Pages of 2017 fail with "Failure",
// later ones with "Failed".
const success = "Success"

// response is what the driver reads of any response. All but the status may be
// missing: a refusal has an errno, a login the tokens, and of API v2 the
// transport of event reports.
type response struct {
	Status       string    `json:"status"`
	Errno        wire.Text `json:"errno"` // a string in every sample, a number from some firmware
	Token        string    `json:"token"`
	RefreshToken string    `json:"refreshtoken"`
	Transport    string    `json:"transport"`
}

// code is the errno, or "" if it is not a whole number: that is not the vendor's,
// and could quote any secret.
func (r response) code() string {
	n, ok := r.Errno.Number().Int()
	if !ok {
		return ""
	}
	return strconv.Itoa(n)
}

// read reads a response by its first byte. Where XML is known at all, the
// vendor's samples have it under a JSON header, and in response to JSON. Without
// a status the response was not understood.
func (v *Variant) read(body []byte) response {
	if v.Typed && bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return readXML(body)
	}
	var r response
	wire.ReadJSON(body, &r)
	return r
}

// maxDepth is how deeply elements may be nested. The vendor's lists need four
// levels.
const maxDepth = 32

// readXML reads <xml><status>…</status>…</xml>, and returns nothing for anything else.
// The elements below others, as in lists, are not looked at, but have to be well-formed.
//
// There is nothing in a response to expand: a document type, which is where
// entities are declared, is refused, and so is an entity that XML itself does
// not have. A status, or any other of the fields, that is there twice could be
// read both ways, and is refused too.
func readXML(body []byte) response {
	d := xml.NewDecoder(bytes.NewReader(body))
	fields := map[string]*string{"status": new(string), "token": new(string), "refreshtoken": new(string), "transport": new(string), "errno": new(string)}
	var path []string // the open elements, the root first
	var text strings.Builder
	leaf, done := false, false
	for {
		token, err := d.Token()
		if err == io.EOF && done {
			return response{
				Status: *fields["status"], Errno: wire.Text(*fields["errno"]), Transport: *fields["transport"],
				Token: *fields["token"], RefreshToken: *fields["refreshtoken"],
			}
		}
		if err != nil {
			return response{}
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			if token.Name.Space != "" {
				name = "" // of somebody else's
			}
			if len(path) == 0 && (done || name != "xml") || len(path) == maxDepth {
				return response{}
			}
			path = append(path, name)
			leaf = len(path) == 2
			text.Reset()
		case xml.EndElement:
			if field, known := fields[path[len(path)-1]]; known && len(path) == 2 {
				if *field != "" {
					return response{}
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
				return response{}
			}
		case xml.ProcInst:
			if token.Target != "xml" || len(path) > 0 || done {
				return response{}
			}
		case xml.Directive:
			return response{}
		}
	}
}

// refusal makes the error for a response that does not say success. A code
// outside the table is kept and has no kind. Of the PBX's own words the code is
// all that is taken over.
func (v *Variant) refusal(x *wire.Exchange, r response) *pbx.Error {
	known, ok := v.Errnos[r.code()]
	if !ok {
		known.Meaning = "the PBX refuses for a reason that its vendor does not document"
	}
	if known.Kind == pbx.ErrInvalidCredentials && x.Request.Op != pbx.OpLogin {
		known.Kind = pbx.ErrTokenRejected // the login that follows is judged by its own response
	}
	failure := x.Fail(known.Kind, r.code(), known.Meaning)
	failure.Setting = known.Setting
	failure.NotJudged = known.NotJudged && x.Request.Op == pbx.OpLogin
	if known.Kind == pbx.ErrLocked && failure.RetryAfter == 0 {
		failure.RetryAfter = v.Lockout.Window
	}
	return failure
}
