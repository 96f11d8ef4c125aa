package main

import (
	"bytes"
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
}

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
			return listing{"POST", "/api/v2.0.0/extension/list", jsonType, "{}", `"number":`}, true
		}
		return listing{"POST", "/api/v1.1.0/extensionlist/query", jsonType, "{}", `"extnumber":`}, true
	case "yeastar-p":
		return listing{"GET", "/openapi/v1.0/extension/list?page=1&page_size=20", "", "", `"number":`}, true
	case "openvox":
		if s.Options["format"] == "xml" {
			return listing{"POST", "/api/v0.0.1/extension/query", xmlType, "<xml></xml>", "<extnumber>"}, true
		}
		return listing{"POST", "/api/v0.0.1/extension/query", jsonType, "{}", `"extnumber":`}, true
	case "runtel":
		return listing{"POST", "/api/", jsonType, `{"action":"list","obj":"DomainUser","action_id":"1","params":{}}`, `"login":`}, true
	case "grandstream":
		return listing{"POST", "/api", jsonType, `{"request":{"action":"listAccount","options":"extension,account_type,fullname,status,addr"}}`, `"extension":`}, true
	case "wazo":
		return listing{"GET", "/api/confd/1.1/extensions", "", "", `"exten":`}, true
	case "asterisk":
		return listing{"POST", "/rawman", formType, "Action=PJSIPShowEndpoints", "Event: EndpointList\r"}, true
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
	r.Header.Set("Content-Type", how.media)
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
				o.Text += " · " + many(bytes.Count(body, []byte(how.item)), "extension")
			}
		}
	}
	if err != nil {
		o = outcome{false, explain(err)}
	}
	e.journal.add(event{At: start, Kind: sentRequest, Label: "Request", Result: o.Text, Failed: !o.OK, Took: time.Since(start)})
	a.hub.changed(s.ID)
	return o
}
