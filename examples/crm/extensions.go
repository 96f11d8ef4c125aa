package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// listing is how a brand lists its extensions. This is the CRM's own knowledge:
// the library logs in, and leaves the API to the application.
type listing struct {
	method, path, media, body string
	item                      string // stands in the response once per extension
	noun                      string // what is listed; empty: extensions
}

// Noun is what is listed, in the singular.
func (l listing) Noun() string { return cmp.Or(l.noun, "extension") }

const (
	jsonType = "application/json; charset=utf-8"
	xmlType  = "application/xml; charset=utf-8"
	formType = "application/x-www-form-urlencoded"
)

// listingOf returns the request for a PBX with these settings.
func listingOf(s Settings) (listing, bool) {
	switch s.Driver {
	case "yeastar":
		if family := s.Options["family"]; family == "s-v2" || family == "cloud-v2" {
			return listing{method: "POST", path: "/api/v2.0.0/extension/list", media: jsonType, body: "{}", item: `"number":`}, true
		}
		return listing{method: "POST", path: "/api/v1.1.0/extensionlist/query", media: jsonType, body: "{}", item: `"extnumber":`}, true
	case "yeastar-p":
		return listing{method: "GET", path: "/openapi/v1.0/extension/list?page=1&page_size=20", item: `"number":`}, true
	case "openvox":
		if s.Options["format"] == "xml" {
			return listing{method: "POST", path: "/api/v0.0.1/extension/query", media: xmlType, body: "<xml></xml>", item: "<extnumber>"}, true
		}
		return listing{method: "POST", path: "/api/v0.0.1/extension/query", media: jsonType, body: "{}", item: `"extnumber":`}, true
	case "runtel":
		return listing{method: "POST", path: "/api/", media: jsonType, body: `{"action":"list","obj":"DomainUser","action_id":"1","params":{}}`, item: `"login":`}, true
	case "grandstream":
		return listing{method: "POST", path: "/api", media: jsonType, body: `{"request":{"action":"listAccount","options":"extension,account_type,fullname,status,addr"}}`, item: `"extension":`}, true
	case "wazo":
		return listing{method: "GET", path: "/api/confd/1.1/extensions", item: `"exten":`}, true
	case "asterisk":
		return listing{method: "POST", path: "/rawman", media: formType, body: "Action=PJSIPShowEndpoints", item: "Event: EndpointList\r"}, true
	case "freepbx":
		return listing{method: "POST", path: "/admin/api/api/gql", media: jsonType, body: `{"query":"{fetchAllExtensions{status totalCount extension{extensionId user{name}}}}"}`, item: `"extensionId":`}, true
	case "3cx":
		return listing{method: "GET", path: "/xapi/v1/Users", item: `"Number":`}, true
	case "starface":
		return listing{method: "GET", path: "/rest/users", item: `"login":`, noun: "user"}, true
	case "uis": // which lists no extensions
		return listing{method: "POST", path: "/v4.0", media: jsonType, body: `{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{}}`, item: `"leg_id":`, noun: "call leg"}, true
	case "mikopbx":
		return listing{method: "GET", path: "/pbxcore/api/v3/extensions", item: `"number":`}, true
	}
	return listing{}, false
}

// outcome is what a request of the CRM came to.
type outcome struct {
	OK   bool
	Text string // "200 OK · 41 ms · 12 extensions", or what went wrong
}

// listExtensions sends the brand's request with the session's token.
func (a *app) listExtensions(ctx context.Context, e *entry, s Settings) outcome {
	how, ok := listingOf(s)
	if !ok {
		return outcome{false, "This CRM does not know how this brand lists extensions."}
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	start := time.Now()
	r, err := http.NewRequestWithContext(ctx, how.method, how.path, strings.NewReader(how.body))
	if err != nil {
		return outcome{false, err.Error()}
	}
	if how.media != "" {
		r.Header.Set("Content-Type", how.media)
	}
	resp, err := a.fleet.Do(s.key(), r)
	if resp != nil {
		defer resp.Body.Close()
	}
	o := outcome{}
	if err == nil {
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<20)); err == nil {
			o = outcome{resp.StatusCode/100 == 2, fmt.Sprintf("%s · %d ms", resp.Status, time.Since(start).Milliseconds())}
			if o.OK {
				o.Text += " · " + many(bytes.Count(body, []byte(how.item)), how.Noun())
			}
		}
	}
	if err != nil {
		o = outcome{false, inBrief(err)}
	}
	e.journal.add(event{At: start, Kind: sentRequest, Label: "Request", Result: o.Text, Failed: !o.OK, Took: time.Since(start)})
	a.hub.changed(s.ID)
	return o
}
