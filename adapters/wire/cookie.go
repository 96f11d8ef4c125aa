package wire

import (
	"net/http"
	"strings"
)

// SetCookie puts a cookie into a request's Cookie header, instead of any with
// that name in upper or lower case. Other cookies stay as they are spelled. There
// is one such header afterwards: some servers read the last one only.
func SetCookie(h http.Header, name, value string) {
	var cookies []string
	for _, line := range h["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			c = strings.Trim(c, " \t")
			if other, _, _ := strings.Cut(c, "="); c != "" && !strings.EqualFold(strings.TrimRight(other, " \t"), name) {
				cookies = append(cookies, c)
			}
		}
	}
	h.Set("Cookie", strings.Join(append(cookies, name+"="+value), "; "))
}

// Cookie returns the cookie that a response sets under name, in upper or lower
// case, and whether there is one. Of several the last one counts. A line that cannot be
// read is passed over.
func Cookie(h http.Header, name string) (cookie *http.Cookie, ok bool) {
	for _, line := range h["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && strings.EqualFold(c.Name, name) {
			cookie, ok = c, true
		}
	}
	return cookie, ok
}
