package asterisksim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A format is one of the three in which Asterisk serves the same actions, with
// the same sessions.
type format int

const (
	none    format = iota // not a path of the manager's
	rawman                // text
	mxml                  // <ajax-response>
	manager               // a web page
)

// below returns what path is below the prefix.
func (a *asterisk) below(path string) (string, bool) {
	prefix := strings.Trim(a.Prefix, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	path = strings.TrimSuffix(path, "/")
	if len(path) < len(prefix) || !strings.EqualFold(path[:len(prefix)], prefix) {
		return "", false
	}
	return strings.ToLower(path[len(prefix):]), true
}

// format returns the format that a path asks for.
func (a *asterisk) format(path string) format {
	name, _ := a.below(path)
	return map[string]format{"/rawman": rawman, "/mxml": mxml, "/manager": manager}[name]
}

// neighbour responds to what is not the manager's: ARI, and the manager's paths with
// HTTP authentication, which know nothing of the manager's sessions. Their users
// have no password here.
func (a *asterisk) neighbour(r *pbxsim.Request) pbxsim.Reply {
	name, ok := a.below(r.URL.Path)
	reply := page(http.StatusUnauthorized, "Unauthorized", "")
	switch {
	case ok && (name == "/ari" || strings.HasPrefix(name, "/ari/")):
		reply.Header.Set("WWW-Authenticate", `Basic realm="Asterisk REST Interface"`)
	case ok && (name == "/arawman" || name == "/amxml" || name == "/amanager"):
		reply.Header.Set("WWW-Authenticate", `Digest algorithm=MD5, realm="asterisk", nonce="3f1c0a52", qop="auth", opaque="3f1c0a52"`)
	default:
		return page(http.StatusNotFound, "Not Found", "The requested URL was not found on this server.")
	}
	return reply
}

// write puts a text of blocks into f.
func (f format) write(r *pbxsim.Reply) {
	var out bytes.Buffer
	switch f {
	case mxml:
		out.WriteString("<ajax-response>\n")
		for block := range strings.SplitSeq(strings.TrimSuffix(string(r.Body), "\r\n\r\n"), "\r\n\r\n") {
			out.WriteString("<response type='object' id='unknown'><generic")
			for name, value := range fieldsOf(block) {
				fmt.Fprintf(&out, " %s='%s'", strings.ToLower(name), escape(value))
			}
			out.WriteString(" /></response>\n")
		}
		out.WriteString("</ajax-response>\n")
		r.Header.Set("Content-Type", "text/xml")
	case manager:
		out.WriteString("<title>Asterisk&trade; Manager Interface</title>\n<table>\n")
		for name, value := range fieldsOf(string(r.Body)) {
			fmt.Fprintf(&out, "<tr><td>%s</td><td>%s</td></tr>\n", escape(name), escape(value))
		}
		out.WriteString("</table>\n")
		r.Header.Set("Content-Type", "text/html")
	default:
		return
	}
	r.Body = out.Bytes()
}

// fieldsOf yields the names and values of a text's lines.
func fieldsOf(text string) func(func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for line := range strings.SplitSeq(text, "\r\n") {
			if name, value, ok := strings.Cut(line, ": "); ok && !yield(name, value) {
				return
			}
		}
	}
}

func escape(s string) string {
	var out strings.Builder
	xml.EscapeText(&out, []byte(s)) // a Builder takes all
	return out.String()
}

// endpoints is what follows a PJSIPShowEndpoints, with the fields of
// res_pjsip/pjsip_configuration.c.
func (a *asterisk) endpoints(in params) string {
	id := ""
	if v := in.get("ActionID"); v != "" {
		id = "ActionID: " + v + "\r\n"
	}
	var out strings.Builder
	for _, e := range [][2]string{{"1000", "Not in use"}, {"1001", "Unavailable"}} {
		fmt.Fprintf(&out, "Event: EndpointList\r\n%sObjectType: endpoint\r\nObjectName: %s\r\nTransport: transport-udp\r\nAor: %[2]s\r\n"+
			"Auths: %[2]s\r\nOutboundAuths: \r\nContacts: \r\nDeviceState: %[3]s\r\nActiveChannels: \r\n\r\n", id, e[0], e[1])
	}
	fmt.Fprintf(&out, "Event: EndpointListComplete\r\n%sEventList: Complete\r\nListItems: 2\r\n\r\n", id)
	return out.String()
}
