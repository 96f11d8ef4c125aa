package session

import (
	"bufio"
	"bytes"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"unicode"

	"github.com/pbxauth/pbx"
)

// Only the PBX gets the token. A request to any other origin is an error.

// checkOrigin returns what is wrong with the address of a request for the PBX at
// home; "" means that the driver does not say where the PBX is. Then the first
// request of a chain of redirects decides.
func checkOrigin(r *http.Request, home string) error {
	if r.URL.Opaque != "" { // a proxy would be sent the opaque part
		return elsewhere(r, home, "its URL is opaque")
	}
	if home == "" {
		first := r
		for first.Response != nil && first.Response.Request != nil {
			first = first.Response.Request
		}
		if !sameOrigin(r.URL, first.URL) {
			return elsewhere(r, first.URL.Scheme+"://"+first.URL.Host, "")
		}
		return nil
	}
	origin, err := url.Parse(home)
	if err != nil || hostOf(home) == "" { // rather nobody gets the token than anybody
		return elsewhere(r, home, "the PBX's own address cannot be read")
	}
	if !sameOrigin(r.URL, origin) {
		return elsewhere(r, home, "")
	}
	return nil
}

func elsewhere(r *http.Request, home, why string) error {
	if r.URL.Host == "" && r.URL.Opaque == "" && home != "" {
		return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrConfig, Message: "not sent: the URL has no host: build it on Session.URL, " + home + ", or use Session.Do, which resolves it"}
	}
	there := url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host} // escapes what is no host, which a URL that was not parsed may have
	message := "not sent: the request goes to " + there.String() + ", and this client talks to its PBX only, which is " + home
	if why != "" {
		message += " (" + why + ")"
	}
	return &pbx.Error{Op: pbx.OpRequest, Kind: pbx.ErrConfig, Message: message + ": build the URL on Session.URL, or use another http.Client"}
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && port(a) == port(b) && sameHost(a.Hostname(), b.Hostname())
}

// sameHost compares hosts. In the zone of an IPv6 address, which is the name of an
// interface, capitals count.
func sameHost(a, b string) bool {
	a, zoneA, _ := strings.Cut(a, "%")
	b, zoneB, _ := strings.Cut(b, "%")
	return zoneA == zoneB && strings.EqualFold(a, b)
}

func port(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "http":
		return "80"
	case u.Scheme == "https":
		return "443"
	}
	return ""
}

// hostOf is the host of a PBX's URL; empty if it has none.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return inPunycode(host)
	}
	return host
}

// inPunycode is an international name as net/http writes it into a request.
func inPunycode(host string) string {
	var sent bytes.Buffer
	if err := (&http.Request{Host: host, URL: new(url.URL)}).Write(&sent); err != nil {
		return host
	}
	got, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return host
	}
	return got.Host
}
