package runtel

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// request is the envelope of every call.
type request struct {
	Action   string `json:"action"`
	Obj      string `json:"obj"`
	ActionID string `json:"action_id"`
	Params   any    `json:"params"`
}

// envelope is that of every answer. What nobody has seen failing is kept raw.
type envelope struct {
	ActionID json.RawMessage `json:"action_id"`
	Code     json.RawMessage `json:"code"`
	Notifies json.RawMessage `json:"notifies"`
	Body     json.RawMessage `json:"body"`
}

// parseEnvelope reports whether body is an envelope: an object with a code.
func parseEnvelope(body []byte) (envelope, bool) {
	var e envelope
	if json.Unmarshal(body, &e) != nil || isNull(e.Code) {
		return envelope{}, false
	}
	return e, true
}

// refusal makes the error for an envelope that does not say success, and nil
// for one that does. The platform has two layers of status: the worse one
// counts.
func (p *PBX) refusal(req wire.Request, resp *wire.Response, e envelope) *pbx.Error {
	code := text(e.Code)
	status, err := strconv.Atoi(code)
	switch {
	case err != nil: // a code that is no number says nothing known
		if resp.Status/100 == 2 {
			return p.wire.Fail(req, resp, nil, code, notice(e.Notifies))
		}
		status = resp.Status
	case status/100 == 2 && resp.Status/100 == 2:
		return nil
	case status/100 == 2:
		status = resp.Status
	}
	var kind error // a code outside HTTP's meaning keeps its number and has no kind
	if status >= 400 && status <= 599 && status != http.StatusBadRequest {
		kind = wire.StatusKind(req.Op, status)
	}
	return p.reworded(p.wire.Fail(req, resp, kind, code, notice(e.Notifies)))
}

// reworded gives the platform's undocumented refusals their likely meaning.
func (p *PBX) reworded(failure *pbx.Error) *pbx.Error {
	advice := ""
	switch {
	case failure.Op == pbx.OpLogin && failure.Kind == pbx.ErrForbidden:
		// Which of the two is not known: it is counted, and not repeated.
		failure.Kind = pbx.ErrInvalidCredentials
		advice = "wrong login or password, or this host is blocked (see the platform's defender)"
	case failure.Op == pbx.OpLogin && failure.Kind == pbx.ErrInvalidCredentials:
		advice = "wrong login or password"
	case failure.Kind == pbx.ErrLocked:
		advice = "too many attempts: this host is blocked or slowed down"
	}
	if advice != "" {
		failure.Message = strings.TrimSuffix(advice+"; "+failure.Message, "; ")
	}
	return failure
}

// notice collects the texts in notifies, whose shape is not documented: strings,
// objects, lists of them, nested.
func notice(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	var texts []string
	collect(v, &texts)
	return strings.Join(texts, ", ")
}

func collect(v any, texts *[]string) {
	switch v := v.(type) {
	case string:
		if v != "" {
			*texts = append(*texts, v)
		}
	case []any:
		for _, item := range v {
			collect(item, texts)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			collect(v[name], texts)
		}
	}
}
