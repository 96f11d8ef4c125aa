// Package openvoxsim simulates the API of an OpenVox UC series IPPBX, as
// help.openvox.cn documents it. It is a dialect of [pbxsim], which has the rest:
// accounts, tokens, the lockout, faults.
//
//	pbx := openvoxsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}})
//	server := pbxsim.Listen(pbx)
//	defer server.Close()
//
// The API descends from Yeastar's, and so does the simulator from [yeastarsim]:
// it translates requests into that dialect's words, and responses into JSON or
// XML.
package openvoxsim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns a UC series PBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	if o == nil {
		o = &Options{}
	}
	ancestor := o.Yeastar
	ancestor.Family = ""
	if ancestor.Version == "" {
		ancestor.Version = "v0.0.1"
	}
	return pbxsim.New(dialect{yeastarsim.Dialect(&ancestor, extensions), *o}, common)
}

// extensions has the fields of the page query-extension-settings that the list of
// the API's ancestor has too.
var extensions = map[string]yeastarsim.Extensions{"extension/query": {Infos: []yeastarsim.Extension{
	{ExtNumber: "1000", Status: "Registered", Type: "SIP", Username: "Reception"},
	{ExtNumber: "1001", Status: "Unavailable", Type: "SIP", Username: "Sales"},
}}}

// Options are how one PBX differs from another. The zero value is what the
// vendor's pages document.
type Options struct {
	// Yeastar has the readings of what the pages leave open that are those of
	// the API's ancestor. Its Family is not looked at; its Version is v0.0.1 if
	// empty.
	Yeastar yeastarsim.Options

	// RespondsIn is "json" or "xml" for a PBX that responds so whatever type it
	// was asked for: a vendor's sample has a request in JSON with a response in XML.
	RespondsIn string

	// WrongHeader gives XML a JSON Content-Type, as samples have it, and JSON an
	// XML one.
	WrongHeader bool
}

// dialect is the wire format: its ancestor's, translated.
type dialect struct {
	ancestor pbxsim.Dialect
	Options
}

func (dialect) Name() string                             { return "openvox" }
func (d dialect) Defaults() pbxsim.Defaults              { return d.ancestor.Defaults() }
func (d dialect) NewToken() string                       { return d.ancestor.NewToken() }
func (d dialect) Action(r *pbxsim.Request) pbxsim.Action { return d.ancestor.Action(r) }

// The ancestor's numbers; the vendor's own were not found.
const (
	parameterBlank = 10004
	wrongFormat    = 20000
)

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	format := "json"
	if r.Action == pbxsim.Web {
		return d.ancestor.Serve(a, r)
	}
	if r.Action == pbxsim.Login || r.Action == pbxsim.AppRequest { // the others have no type
		format = r.URL.Query().Get("type")
		if format != "json" && format != "xml" {
			return d.answer("json", d.fail(parameterBlank))
		}
	}
	translated := *r
	var err error
	if translated.Body, err = translate(format, r.Body); err != nil {
		return d.answer(format, d.fail(wrongFormat))
	}
	return d.answer(format, d.ancestor.Serve(a, &translated))
}

// fail has the ancestor's words for a failure of this dialect's own.
func (d dialect) fail(errno int) pbxsim.Reply {
	status := d.Yeastar.FailingStatus
	if status == "" {
		status = "Failed"
	}
	return pbxsim.Reply{Body: fmt.Appendf(nil, `{"status":%q,"errno":"%d"}`, status, errno)}
}

// translate turns the body of a request into the ancestor's JSON, which has
// strings only. In the JSON sample of a login urltag is a number.
func translate(format string, body []byte) ([]byte, error) {
	if len(body) == 0 {
		return nil, nil
	}
	if format == "xml" {
		fields, err := parseXML(body)
		if err != nil {
			return nil, err
		}
		return json.Marshal(fields)
	}
	var fields map[string]any
	if json.Unmarshal(body, &fields) != nil {
		return body, nil // for the ancestor to refuse
	}
	if n, ok := fields["urltag"].(float64); ok {
		fields["urltag"] = fmt.Sprint(n)
	}
	return json.Marshal(fields)
}

func parseXML(body []byte) (map[string]string, error) {
	var document struct {
		XMLName xml.Name `xml:"xml"`
		Fields  []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	}
	if err := xml.Unmarshal(body, &document); err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for _, f := range document.Fields {
		if _, twice := fields[f.XMLName.Local]; twice {
			return nil, errors.New("the field " + f.XMLName.Local + " is there twice")
		}
		fields[f.XMLName.Local] = f.Text
	}
	return fields, nil
}

// answer puts the ancestor's reply into the format that was asked for.
func (d dialect) answer(format string, r pbxsim.Reply) pbxsim.Reply {
	if r.Status != 0 && r.Status != http.StatusOK || !json.Valid(r.Body) {
		return r // a web page, or a response that a test wrote
	}
	if d.RespondsIn != "" {
		format = d.RespondsIn
	}
	header := map[string]string{"json": "application/json", "xml": "application/xml"}
	if d.WrongHeader {
		header = map[string]string{"json": "application/xml", "xml": "application/json"}
	}
	if format == "xml" {
		r.Body = writeXML(r.Body)
	}
	r.Header = http.Header{"Content-Type": {header[format] + "; charset=utf-8"}}
	if !d.Yeastar.KeepConnections {
		r.Header.Set("Connection", "close")
	}
	return r
}

// writeXML writes JSON as the vendor's sample writes XML: an element for a
// field, and <item id="0"> for the members of a list.
func writeXML(body []byte) []byte {
	var out strings.Builder
	out.WriteString(`<?xml version="1.0" encoding="utf-8"?><xml>`)
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if _, err := d.Token(); err != nil { // the brace
		panic(err) // the ancestor's responses are JSON
	}
	writeFields(&out, d)
	out.WriteString(`</xml>`)
	return []byte(out.String())
}

// writeFields writes the rest of an object, in its order.
func writeFields(out *strings.Builder, d *json.Decoder) {
	for d.More() {
		name, _ := d.Token()
		fmt.Fprintf(out, "<%s>", name)
		writeValue(out, d)
		fmt.Fprintf(out, "</%s>", name)
	}
	d.Token() // the closing brace
}

func writeValue(out *strings.Builder, d *json.Decoder) {
	switch value, _ := d.Token(); value {
	case json.Delim('{'):
		writeFields(out, d)
	case json.Delim('['):
		for i := 0; d.More(); i++ {
			fmt.Fprintf(out, `<item id="%d">`, i)
			writeValue(out, d)
			out.WriteString("</item>")
		}
		d.Token() // the closing bracket
	default:
		xml.EscapeText(out, fmt.Append(nil, value))
	}
}
