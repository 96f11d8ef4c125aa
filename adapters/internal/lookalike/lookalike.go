// Package lookalike recognises whose response it is that a driver did not
// understand. Brands of one family listen on the same ports under similar names,
// and people take one for the other: the error should say which driver to choose instead.
//
// Only a response that came anyway is looked at. To find out by trying to log in
// would be a wrong login at all PBXs but one.
package lookalike

import (
	"bytes"
	"encoding/xml"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// envelopes are how the families' responses begin to differ: by the field that
// says how it went.
var envelopes = []struct {
	driver, advice string
	is             func(body []byte) bool
}{
	{"yeastar-p", "the response looks like one of a Yeastar P-Series: if it is one, set the driver to yeastar-p", hasErrcode},
	{"yeastar", "the response looks like one of a Yeastar S-Series, K2, S1000, Cloud PBX or an OpenVox UC: if it is one, set the driver to yeastar, or to openvox", hasStatus},
	{"openvox", "the response looks like the XML of an OpenVox UC: if it is one, set the driver to openvox", isXML},
}

// Advise returns failure, which is about a response that its driver did not
// understand. Its Message names the driver that the body was probably meant for, if
// that is another one. It quotes nothing of body.
func Advise(failure *pbx.Error, body []byte) *pbx.Error {
	for _, e := range envelopes {
		if e.is(body) {
			if e.driver != failure.Driver {
				failure.Message = e.advice
			}
			break
		}
	}
	return failure
}

// hasErrcode: {"errcode":0,"errmsg":"SUCCESS"}. Some firmware has it as a string.
func hasErrcode(body []byte) bool {
	var fields struct {
		Errcode wire.Number `json:"errcode"`
	}
	return wire.ReadJSON(body, &fields) && fields.Errcode.Known
}

// hasStatus: {"status":"Failed","errno":"20003"}. Other brands' status is a
// number.
func hasStatus(body []byte) bool {
	var fields struct {
		Status string `json:"status"`
	}
	return wire.ReadJSON(body, &fields) && fields.Status != ""
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
