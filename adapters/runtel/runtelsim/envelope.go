package runtelsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// An envelope is a request's. Its response repeats all but the parameters.
type envelope struct {
	Action, Obj, ActionID string
	Params                map[string]any
}

// parse reads as much of an envelope as there is; ok reports whether it is
// complete. Names are compared exactly.
func parse(body []byte) (e envelope, ok bool) {
	var m map[string]any
	if json.Unmarshal(body, &m) != nil {
		return e, false
	}
	e.Action, _ = m["action"].(string)
	e.Obj, _ = m["obj"].(string)
	e.ActionID, _ = m["action_id"].(string)
	e.Params, ok = m["params"].(map[string]any)
	return e, ok && e.Action != "" && e.Obj != "" && e.ActionID != ""
}

func (e envelope) is(action, obj string) bool {
	return e.Action == action && e.Obj == obj
}

// EchoMode is what becomes of a request's action_id in the response. The vendor's
// samples repeat it.
type EchoMode string

const (
	EchoNumber EchoMode = "number" // repeated as a number, where it is one in a string
	EchoNone   EchoMode = "none"   // left out
	EchoOther  EchoMode = "other"  // another request's
)

// echo returns the response's action_id; nil leaves it out.
func (d dialect) echo(e envelope) any {
	switch d.Echo {
	case EchoNumber:
		if n, err := strconv.ParseUint(e.ActionID, 10, 64); err == nil {
			return n
		}
	case EchoNone:
		return nil
	case EchoOther:
		return e.ActionID + "0"
	}
	return e.ActionID
}

// An answer has its fields in the order of the vendor's sample.
type answer struct {
	Action   string          `json:"action"`
	ActionID any             `json:"action_id,omitempty"`
	Obj      string          `json:"obj"`
	Code     int             `json:"code"`
	Notifies json.RawMessage `json:"notifies"`
	Body     any             `json:"body"`
}

// answer wraps body, in an HTTP response of the given status.
func (d dialect) answer(e envelope, status, code int, body any) pbxsim.Reply {
	a := answer{e.Action, d.echo(e), e.Obj, code, d.Notifies, body}
	if a.Notifies == nil {
		a.Notifies = json.RawMessage("[]")
	}
	// The sample has its text as it is, with nothing escaped for HTML.
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil {
		panic("runtelsim: Options.Notifies: " + err.Error())
	}
	return reply(status, "application/json; charset=utf-8", bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
}

func (d dialect) succeed(e envelope, body any) pbxsim.Reply {
	return d.answer(e, http.StatusOK, http.StatusOK, body)
}

const server = "nginx/1.16.1"

func reply(status int, contentType string, body []byte) pbxsim.Reply {
	return pbxsim.Reply{
		Status: status,
		Header: http.Header{
			"Server":       {server},
			"Content-Type": {contentType},
		},
		Body: body,
	}
}
