package runtelsim

import (
	"fmt"
	"net/http"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// FailureMode is the shape of failing answers. The vendor documents none, so
// all of these are guesses, and a client has to cope with each. What fails is
// told by a code: 401 for a wrong login or a refused token, 403 for a locked
// caller, 400 for a request that is not an envelope.
type FailureMode string

const (
	HTTP401 FailureMode = "http-401" // an envelope with the code, which is also the HTTP status; the default
	Code401 FailureMode = "code-401" // an envelope with the code, under HTTP 200
	HTTP403 FailureMode = "http-403" // as HTTP401, with 403 also where that has 401
	HTML    FailureMode = "html"     // nginx's error page, the code being the HTTP status
	Silence FailureMode = "silence"  // as HTTP401, but a locked caller gets no answer to anything, as from a firewall
)

// fail answers that a request has failed.
func (d Dialect) fail(e envelope, code int) pbxsim.Reply {
	switch d.Failure {
	case Code401:
		return d.answer(e, http.StatusOK, code, nil)
	case HTML:
		return page(code)
	case HTTP403:
		if code == http.StatusUnauthorized {
			code = http.StatusForbidden
		}
	}
	return d.answer(e, code, code, nil)
}

// page answers nginx's own page for a status.
func page(status int) pbxsim.Reply {
	text := http.StatusText(status)
	switch status {
	case http.StatusUnauthorized:
		text = "Authorization Required"
	case http.StatusMethodNotAllowed:
		text = "Not Allowed"
	}
	title := fmt.Sprintf("%d %s", status, text)
	return reply(status, "text/html", []byte("<html>\r\n<head><title>"+title+"</title></head>\r\n<body>\r\n"+
		"<center><h1>"+title+"</h1></center>\r\n<hr><center>nginx/1.16.1</center>\r\n</body>\r\n</html>\r\n"))
}
