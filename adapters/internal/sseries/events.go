package sseries

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Events says where the PBX sends its event reports, and how. Each brand
// documents the fields in a type of its own.
type Events struct {
	Port    int
	URL     string
	URLTag  string
	IPAddr  string
	Version string
}

// usualPort is what the vendors' samples have. A PBX insists on a port, also from
// an application that listens nowhere.
const usualPort = "8260"

// check returns which option is wrong for v, and what; "" if nothing.
func (e Events) check(v *Variant) (setting, wrong string) {
	broken := func(text string) bool {
		return !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl)
	}
	switch _, err := netip.ParseAddr(e.IPAddr); {
	case broken(e.URL):
		return "event_url", "Events.URL (event_url) holds control characters, or is not UTF-8"
	case broken(e.Version):
		return "event_version", "Events.Version (event_version) holds control characters, or is not UTF-8"
	case e.Port < 0 || e.Port > 65535:
		return "event_port", fmt.Sprintf("Events.Port (event_port) %d is not a port (1 to 65535)", e.Port)
	case e.URLTag != "" && e.URLTag != "0" && e.URLTag != "1":
		return "event_urltag", fmt.Sprintf(`Events.URLTag (event_urltag) %q is neither "0" nor "1"`, e.URLTag)
	case e.URLTag != "" && e.URL == "":
		return "event_urltag", "Events.URLTag (event_urltag) says how to read Events.URL (event_url), which is not set"
	case e.IPAddr != "" && err != nil:
		return "event_ipaddr", fmt.Sprintf("Events.IPAddr (event_ipaddr) %q is not an IP address", e.IPAddr)
	case e.IPAddr != "" && !v.Heartbeat:
		return "event_ipaddr", "Events.IPAddr (event_ipaddr) goes into heartbeats, which this family does not have"
	}
	return "", ""
}

// reporting is a setting of Events in the protocol's words.
type reporting struct {
	login  loginBody // less the account
	beat   heartbeatBody
	wanted bool // an event option is set
}

// unreported is that of Events with nothing set.
var unreported = &reporting{login: loginBody{Port: usualPort}}

func (e Events) reporting(v *Variant) *reporting {
	if e == (Events{}) {
		return unreported
	}
	r := &reporting{wanted: true}
	port := ""
	if e.Port != 0 {
		port = strconv.Itoa(e.Port)
	}
	r.beat = heartbeatBody{IPAddr: e.IPAddr, Port: port, URL: e.URL, URLTag: e.URLTag}
	if v.ReportsInBeat {
		r.beat.Version = e.Version
	}
	r.login = loginBody{Port: port, Version: e.Version, URL: e.URL}
	if port == "" {
		r.login.Port = usualPort
	}
	switch {
	case e.URLTag == "":
	case v.NumericURLTag:
		r.login.URLTag = json.Number(e.URLTag)
	default:
		r.login.URLTag = e.URLTag
	}
	return r
}

// loginBody has the fields of the vendors' login pages, in their samples' order.
type loginBody struct {
	XMLName  xml.Name `json:"-" xml:"xml"`
	Username string   `json:"username" xml:"username"`
	Password string   `json:"password" xml:"password"`
	Port     string   `json:"port" xml:"port"`
	Version  string   `json:"version,omitempty" xml:"version,omitempty"`
	URL      string   `json:"url,omitempty" xml:"url,omitempty"`
	URLTag   any      `json:"urltag,omitempty" xml:"urltag,omitempty"` // a string or a number
}

// heartbeatBody re-points the event reports, so only what was configured goes
// into it: a made-up address would send them astray.
type heartbeatBody struct {
	IPAddr  string `json:"ipaddr,omitempty"`
	Port    string `json:"port,omitempty"`
	Version string `json:"version,omitempty"`
	URL     string `json:"url,omitempty"`
	URLTag  string `json:"urltag,omitempty"`
}

// refreshBody is all that a refresh sends; the query stays empty.
type refreshBody struct {
	RefreshToken string `json:"refreshtoken"`
}
