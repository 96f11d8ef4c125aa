package wire

import (
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// baseURL turns what a person put into the settings into the address that
// requests are built on. Its errors do not quote the input, which may hold a
// password or a pasted token.
func baseURL(raw string, endpoint Endpoint, allowPlain bool) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return nil, errors.New("URL is empty: set the PBX's address, as in https://pbx.example.com")
	}
	if addr, err := netip.ParseAddr(raw); err == nil && addr.Is6() {
		raw = "[" + raw + "]"
	}
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || !hostname(u) {
		return nil, errors.New("URL is not an address: write it as https://pbx.example.com:8088")
	}
	if u.User != nil || strings.Contains(u.Path, "@") { // the latter is a password with a slash in it
		return nil, errors.New("URL holds a user name or password: put them into Username and Password")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("URL has a port that is none: it must be 1 to 65535")
		}
	}
	port := endpoint.Port
	switch u.Scheme {
	case "https":
	case "http":
		port = endpoint.PlainPort
		if !allowPlain && !loopback(u.Hostname()) {
			return nil, errors.New("URL is plain http, over which anyone on the path reads the credentials: use https, or set AllowPlainHTTP")
		}
	default:
		return nil, errors.New("URL begins with neither https:// nor http://")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Host), ":")
	if u.Port() == "" && port != 0 {
		host += ":" + strconv.Itoa(port)
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: basePath(u.Path, endpoint.APIPath)}, nil
}

// hostname reports whether u names a host. https:/pbx and http:pbx, taken for
// addresses without a scheme, would name one called https or http.
func hostname(u *url.URL) bool {
	switch host := u.Hostname(); strings.ToLower(host) {
	case "", "http", "https":
		return false
	default:
		return strings.HasPrefix(u.Host, "[") || !strings.Contains(host, ":")
	}
}

// basePath cuts the API's own path, and slashes at the end, off a pasted one.
func basePath(path, api string) string {
	if api != "" {
		if i := strings.Index(path+"/", api+"/"); i >= 0 {
			path = path[:i]
		}
	}
	return strings.TrimRight(path, "/")
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
