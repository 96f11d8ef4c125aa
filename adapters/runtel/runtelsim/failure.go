package runtelsim

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// FailureMode is the shape of failing responses. The vendor documents none, so
// all of these are guesses, and a client has to cope with each. What fails is
// stated by a code: 401 for a wrong login or a refused token ([Options].Refusal),
// 403 for a locked client ([Options].Block), 400 for a request that is not an
// envelope.
type FailureMode string

const (
	HTTP401 FailureMode = "http-401" // an envelope with the code, which is also the HTTP status; the default
	Code401 FailureMode = "code-401" // an envelope with the code, under HTTP 200
	HTTP403 FailureMode = "http-403" // as HTTP401, with 403 also where that has 401
	HTML    FailureMode = "html"     // nginx's error page, the code being the HTTP status
	Empty   FailureMode = "empty"    // no body, the code being the HTTP status
	Silence FailureMode = "silence"  // as HTTP401, but a locked client gets no response to anything, as from a firewall
)

// fail responds that a request has failed.
func (d dialect) fail(e envelope, code int) pbxsim.Reply {
	switch d.Failure {
	case Code401:
		return d.answer(e, http.StatusOK, code, nil)
	case HTML:
		return page(code)
	case Empty:
		return reply(code, "text/html", nil)
	case HTTP403:
		if code == http.StatusUnauthorized {
			code = http.StatusForbidden
		}
	}
	return d.answer(e, code, code, nil)
}

// refuse responds to a wrong login, or a token that is none.
func (d dialect) refuse(e envelope) pbxsim.Reply {
	if d.Refusal != 0 {
		return d.fail(e, d.Refusal)
	}
	return d.fail(e, http.StatusUnauthorized)
}

// block responds to a client that is locked until then.
func (d dialect) block(e envelope, until time.Time) pbxsim.Reply {
	if d.Block == 0 {
		return d.fail(e, http.StatusForbidden)
	}
	reply := d.fail(e, d.Block)
	if d.Block == http.StatusTooManyRequests && !until.IsZero() {
		reply.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(time.Until(until).Seconds()))))
	}
	return reply
}

// page responds with nginx's own page for a status.
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
