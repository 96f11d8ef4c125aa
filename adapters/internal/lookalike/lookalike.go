// Package lookalike tells whose answer it is that a driver did not understand.
// Brands of one family answer on like ports under like names, and people take
// one for the other: the error should say which driver to choose instead.
//
// Only an answer that came anyway is looked at. To find out by trying to log in
// would be a wrong login at all PBXs but one.
package lookalike

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
)

// envelopes are how the families' answers begin to differ: by the field that
// says how it went.
var envelopes = []struct {
	advice string
	is     func(body []byte) bool
}{
	{"this is how a Yeastar P-Series answers: if it is one, its driver is yeastar-p", hasErrcode},
	{"this is how a Yeastar S-Series, K2, S1000 or Cloud PBX answers, or an OpenVox UC: if it is one, its driver is yeastar, or openvox", hasStatus},
	{"this is how an OpenVox UC answers in XML: if it is one, its driver is openvox", isXML},
}

// Advice names the driver that body was probably meant for; "" if that is not
// known. It quotes nothing of body.
func Advice(body []byte) string {
	for _, e := range envelopes {
		if e.is(body) {
			return e.advice
		}
	}
	return ""
}

// hasErrcode: {"errcode":0,"errmsg":"SUCCESS"}.
func hasErrcode(body []byte) bool {
	var fields struct {
		Errcode *int `json:"errcode"`
	}
	return json.Unmarshal(body, &fields) == nil && fields.Errcode != nil
}

// hasStatus: {"status":"Failed","errno":"20003"}. Other brands' status is a
// number.
func hasStatus(body []byte) bool {
	var fields struct {
		Status string `json:"status"`
	}
	return json.Unmarshal(body, &fields) == nil && fields.Status != ""
}

// isXML: <?xml version="1.0"?><xml><status>Success</status></xml>. A web page's
// first element is another one.
func isXML(body []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if element, ok := token.(xml.StartElement); ok {
			return element.Name.Local == "xml"
		}
	}
}
