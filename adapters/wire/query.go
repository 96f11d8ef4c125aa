package wire

import (
	"net/url"
	"strings"
)

// SetQuery puts a parameter into u's query, instead of any of that name that is
// there. The others stay as they are spelled, and in their order: net/url might
// spell an application's query in another way.
func SetQuery(u *url.URL, name, value string) {
	var query []string
	for parameter := range strings.SplitSeq(u.RawQuery, "&") {
		key, _, _ := strings.Cut(parameter, "=")
		if key, err := url.QueryUnescape(key); parameter != "" && (err != nil || key != name) {
			query = append(query, parameter)
		}
	}
	u.RawQuery = strings.Join(append(query, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
}
