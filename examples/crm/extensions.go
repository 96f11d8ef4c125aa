package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	list                      string // the JSON field that holds the extensions; empty: not JSON
}

var listings = map[string]listing{
	"yeastar":     {"POST", "/api/v1.1.0/extension/list", "application/json; charset=utf-8", "{}", "extlist"},
	"yeastar-p":   {"GET", "/openapi/v1.0/extension/list", "application/json", "", "data"},
	"openvox":     {"POST", "/api/v0.0.1/extension/list", "application/json; charset=utf-8", "{}", "extlist"},
	"runtel":      {"POST", "/api/", "application/json; charset=utf-8", `{"action":"get","obj":"User","action_id":"1","params":{}}`, "data"},
	"grandstream": {"POST", "/api", "application/json; charset=utf-8", `{"request":{"action":"listAccount","item_num":"50","options":"extension,fullname","page":"1","sord":"asc","sidx":"extension"}}`, "account"},
	"asterisk":    {"POST", "/rawman", "application/x-www-form-urlencoded", "Action=SIPpeers", ""},
}

// outcome is what a request of the CRM came to.
type outcome struct {
	OK   bool
	Text string // "200 OK · 41 ms · 12 extensions", or what went wrong
}

// listExtensions sends the brand's request with the session's token.
func (a *app) listExtensions(ctx context.Context, e *entry, s Settings) outcome {
	how, ok := listings[s.Driver]
	if !ok {
		return outcome{false, "This CRM does not know how this brand lists extensions."}
	}
	status, _ := a.fleet.Session(s.key())
	if status == nil {
		return outcome{false, "There is no session: connect the PBX first."}
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	start := time.Now()
	r, err := http.NewRequestWithContext(ctx, how.method, status.URL()+how.path, strings.NewReader(how.body))
	if err != nil {
		return outcome{false, err.Error()}
	}
	r.Header.Set("Content-Type", how.media)
	resp, err := a.fleet.Do(s.key(), r)
	o := outcome{}
	if resp != nil && err == nil {
		defer resp.Body.Close()
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(resp.Body, 4<<20)); err == nil {
			o = outcome{resp.StatusCode/100 == 2, fmt.Sprintf("%s · %d ms · %s", resp.Status, time.Since(start).Milliseconds(), counted(how, body))}
		}
	}
	if err != nil {
		o = outcome{false, err.Error()}
	}
	e.journal.add(event{At: start, Kind: sentRequest, Label: "Request failed", Result: o.Text, Failed: !o.OK, Took: time.Since(start)})
	a.hub.changed(s.ID)
	return o
}

// counted says how many extensions a response holds.
func counted(how listing, body []byte) string {
	if how.list == "" {
		return many(bytes.Count(body, []byte("\nEvent: PeerEntry")), "extension")
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return fmt.Sprintf("%d bytes that are not JSON", len(body))
	}
	if n, ok := lengthOf(v, how.list); ok {
		return many(n, "extension")
	}
	return "no list of extensions in the response"
}

// lengthOf finds the list of that name, at most two objects deep.
func lengthOf(v any, name string) (int, bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return 0, false
	}
	if list, ok := object[name].([]any); ok {
		return len(list), true
	}
	for _, inner := range object {
		if n, ok := lengthOf(inner, name); ok {
			return n, true
		}
	}
	return 0, false
}
