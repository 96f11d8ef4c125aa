package freepbx

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// response is what the driver reads of a response to a request with a token. All
// of it may be missing.
type response struct {
	Error  string            `json:"error"` // of league/oauth2-server
	Status json.RawMessage   `json:"status"`
	Why    wire.Text         `json:"message"`
	Errors []json.RawMessage `json:"errors"`
	Data   json.RawMessage   `json:"data"`

	answered bool // there is GraphQL's data
}

func read(body []byte) response {
	var r response
	wire.ReadJSON(body, &r)
	data := bytes.TrimSpace(r.Data)
	r.answered = len(data) > 0 && string(data) != "null"
	return r
}

// accessDenied is the error of a token that is missing, forged, dead or removed.
// Its hint does not say which.
const accessDenied = "access_denied"

func (r response) refused() bool { return r.Error == accessDenied }

// outOfScope reports whether REST refuses a live token under HTTP 401, because its
// scopes do not cover the request (Rest/Base.php).
func (r response) outOfScope() bool { return string(r.Status) == "false" && r.Why == "unauthorized" }

// failed reports whether a query failed. One that succeeded in part has data.
func (r response) failed() bool { return r.refused() || len(r.Errors) > 0 && !r.answered }

// judge returns nil for a success. Of the PBX's own words the code is all that is
// taken over.
func judge(x *wire.Exchange, t *pbx.Token) error {
	got, status := read(x.Response.Body), x.Response.Status
	switch {
	case got.refused():
		return x.Fail(pbx.ErrTokenRejected, accessDenied, "the token has expired or was removed")
	case status == http.StatusUnauthorized && got.outOfScope():
		return x.Fail(pbx.ErrForbidden, "", "the token's scopes do not cover this request: compare the application's scopes")
	case got.failed() && status < 500: // also a missing scope, which has no code
		return x.Fail(nil, "", "the PBX refuses the query: read its errors, and compare the application's scopes")
	case x.OK():
		return nil
	case status != http.StatusInternalServerError || !strings.HasSuffix(x.Request.Path, "/gql"):
	case x.Request.Op == pbx.OpRequest: // its token may have expired after it was accepted
		failure := x.Fail(pbx.ErrUnavailable, "", "the query failed, or the token was removed: FreePBX 17 reports both as HTTP 500")
		failure.Ambiguous = true
		return failure
	case over(t):
		return x.Fail(pbx.ErrTokenRejected, "", "the token has expired, which FreePBX 17 reports as HTTP 500")
	}
	return x.Unexpected()
}

// over reports whether a token has expired.
func over(t *pbx.Token) bool { return !t.ExpiresAt.IsZero() && !time.Now().Before(t.ExpiresAt) }
