package wire

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
)

// maxURL bounds, in bytes, a URL from the settings: logs and errors quote it.
const maxURL = 2048

// baseURL turns what a person put into the settings into the address that
// requests are built on, and reports whether the port was added. Its errors do
// not quote the input, which may hold a password or a pasted token.
func baseURL(raw string, endpoint Endpoint, allowPlain bool) (base *url.URL, noPort bool, err error) {
	fault := func(text string) (*url.URL, bool, error) { return nil, false, wrong("URL", text) }
	raw = strings.TrimSpace(raw)
	switch {
	case raw == "":
		return fault("URL is empty: set the PBX's address, as in https://pbx.example.com")
	case len(raw) > maxURL:
		return fault("URL is longer than any address: write it as https://pbx.example.com:8088")
	}
	if addr, err := netip.ParseAddr(raw); err == nil && addr.Is6() {
		raw = "[" + raw + "]"
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(escapeZone(raw))
	if err != nil || !hostname(u) || strings.ContainsFunc(u.Path, unicode.IsControl) {
		return fault("URL is not an address: write it as https://pbx.example.com:8088")
	}
	if u.User != nil || strings.Contains(u.Path, "@") { // the latter is a password with a slash in it
		return fault("URL holds a user name or password: put them into Username and Password")
	}
	ofBrand, usual := endpoint.Port, 443
	switch u.Scheme {
	case "https":
	case "http":
		ofBrand, usual = endpoint.PlainPort, 80
		if !allowPlain && !loopback(u.Hostname()) {
			return fault("URL is plain http, over which anyone on the path reads the credentials: use https, or set AllowPlainHTTP")
		}
	default:
		return fault("URL begins with neither https:// nor http://")
	}
	port := ofBrand
	if given := u.Port(); given != "" {
		n, err := strconv.ParseUint(given, 10, 16)
		if err != nil || n == 0 {
			return fault("URL has a port that is not 1 to 65535")
		}
		port = int(n)
	}
	path, pasted := basePath(canonicalPath(u.EscapedPath()), endpoint.APIPaths)
	if !pasted && (u.RawQuery != "" || u.Fragment != "") {
		return fault("URL has a query or a fragment, which cannot be a part of the PBX's address: remove all from the ? or # on")
	}
	host, noPort := canonicalHost(u.Hostname()), u.Port() == "" && ofBrand != 0
	if ofBrand == 0 && port == usual {
		port = 0 // as without it
	}
	if port != 0 {
		host += ":" + strconv.Itoa(port)
	}
	base = &url.URL{Scheme: u.Scheme, Host: host, RawPath: path}
	base.Path, _ = url.PathUnescape(path)               // it was parsed
	if _, err := url.Parse(base.String()); err != nil { // a zone that no URL can hold
		return fault("URL is not an address: write it as https://pbx.example.com:8088")
	}
	return base, noPort, nil
}

// canonicalHost writes a host as a URL has it, in the one way in which it is compared. The
// zone of an IPv6 address stays: names of interfaces, as enP2p1s0, have capitals that
// count.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return strings.ToLower(host)
}

// canonicalPath escapes a path in the one way in which it is compared. A slash within a
// segment is not one between segments.
func canonicalPath(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		segment, _ = url.PathUnescape(segment) // it was parsed
		segments[i] = strings.ReplaceAll((&url.URL{Path: segment}).EscapedPath(), "/", "%2F")
	}
	return strings.Join(segments, "/")
}

// escapeZone writes the zone of an IPv6 address as URLs want it: people write
// [fe80::1%eth0] as every other program shows it.
func escapeZone(raw string) string {
	before, rest, ok := strings.Cut(raw, "://[")
	host, after, closed := strings.Cut(rest, "]")
	if !ok || !closed || strings.Contains(before, "/") {
		return raw
	}
	if addr, zone, ok := strings.Cut(host, "%"); ok && !strings.HasPrefix(zone, "25") {
		host = addr + "%25" + zone
	}
	return before + "://[" + host + "]" + after
}

// hostname reports whether u names a host. https:/pbx and http:pbx, taken for
// addresses without a scheme, would name one called https or http. net/url also
// passes "pbx", <pbx>, *.pbx and $PBX, and invisible characters from a web page.
func hostname(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	if strings.HasPrefix(u.Host, "[") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return host != "http" && host != "https" && isName(host)
}

// isName reports whether a name, or an IPv4 address, may be that of a host. Digits and dots
// alone are no name, and some systems read 127.1 as an address.
func isName(host string) bool {
	if strings.Trim(host, "0123456789.") == "" {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 253 || strings.HasPrefix(host, ".") || strings.Contains(host, "..") {
		return false
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && r != '-' && r != '.' && r != '_'
	})
}

// basePath removes slashes at the end of a path, and then the longest of the API's
// own paths, once: what stands before is somebody's gateway. pasted reports
// whether there was one.
func basePath(path string, api []string) (base string, pasted bool) {
	path = strings.TrimRight(path, "/")
	longest := ""
	for _, end := range api {
		if strings.HasSuffix(path, end) && len(end) > len(longest) {
			longest = end
		}
	}
	return strings.TrimRight(strings.TrimSuffix(path, longest), "/"), longest != ""
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// PlainHTTP reports whether anyone on the path reads what is sent to the PBX. It
// is false for https and for loopback addresses.
func (c *Client) PlainHTTP() bool {
	u, err := url.Parse(c.base)
	return err != nil || u.Scheme != "https" && !loopback(u.Hostname())
}

// path is that of a request below the base, for logs and errors.
func (x *Exchange) path() string {
	_, rest, _ := strings.Cut(x.client.base, "://")
	_, base, ok := strings.Cut(rest, "/")
	if ok {
		base = "/" + base
	}
	if x.Request.Op == pbx.OpRequest { // its Path is whole
		base = ""
	}
	return cleanPath(base+x.Request.Path, x.secrets())
}

// Address names where a request went, without its query, and whether somebody
// chose that port.
func (x *Exchange) Address() string {
	scheme, _, _ := strings.Cut(x.client.base, "://")
	return scheme + "://" + x.client.host() + x.path() + x.client.portNote()
}

// portNote says that nobody chose the port; "" if somebody did.
func (c *Client) portNote() string {
	if !c.noPort {
		return ""
	}
	return " (the port is this driver's default, because the URL has none)"
}
