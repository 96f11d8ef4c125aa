package threecxsim

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Second is what becomes of a token request while the client has a live token.
// The vendor says that "only one access token can be active at a time", and not
// which.
type Second string

const (
	Kills      Second = ""            // the earlier token dies: the likelier reading
	Refused400 Second = "refused-400" // the request is refused, with an OAuth error
	Refused401 Second = "refused-401" // the request is refused like one with a wrong key
	Spares     Second = "spares"      // both are valid
)

// Refusal is the response to a wrong client id or key.
type Refusal string

const (
	Empty401 Refusal = ""         // no body, as a dead token gets
	JSON401  Refusal = "json-401" // {"error":"invalid_client"}
	JSON400  Refusal = "json-400" // the same under HTTP 400

	// Request400 is {"error":"invalid_request"} under HTTP 400, which a second token
	// request may get as well.
	Request400 Refusal = "request-400"

	// Words401 is {"error":"unauthorized"} with a description, as on the vendor's page
	// (3cx.cn/docs/configuration-rest-api-endpoints). Who watched the wire saw no body.
	Words401 Refusal = "words-401"

	// Problem401 is the status in JSON, as ASP.NET writes it where a program says
	// nothing (RFC 9457).
	Problem401 Refusal = "problem-401"
)

// Options are how one PBX differs from another: what the vendor does not say. The
// zero value is the likelier of several readings.
type Options struct {
	Second  Second
	Refusal Refusal

	// ExpiresIn is the expires_in of a response. 0: the lifetime in seconds, as
	// seen in release 20.0.9. Release 20.0.8 had 60 for tokens of an hour.
	ExpiresIn int

	// Opaque makes tokens that are no JWTs.
	Opaque bool

	// NoRefreshToken leaves out the refresh_token, which is null otherwise.
	NoRefreshToken bool

	// DeadTokenInJSON gives the response to a dead token a body: that of the Refusal
	// if it is Words401 or Problem401, and else that of XAPI's errors.
	DeadTokenInJSON bool

	// Denied is the beginning of the paths for which the API client's role is too
	// low, as in "/xapi/v1/ReportCallLogData". Empty: none.
	Denied string
}

// defaultLifetime is that of a token by most accounts.
const defaultLifetime = time.Hour

// New returns a 3CX PBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	d := dialect{lifetime: defaultLifetime}
	if o != nil {
		d.Options = *o
	}
	var own pbxsim.Options
	if common != nil {
		own = *common
	}
	if own.Lifetime != 0 {
		d.lifetime = own.Lifetime
	}
	switch d.Second {
	case Kills:
		own.SecondLoginKills = true
	case Refused400, Refused401:
		own.MaxTokens = 1
	}
	return pbxsim.New(d, &own)
}

// dialect is the wire format.
type dialect struct {
	Options
	lifetime time.Duration
}

func (dialect) Name() string { return "3cx" }

// Defaults: the PBX has a list of blocked addresses. Whether wrong API logins get
// onto it, after how many and for how long, is not documented: 5 and ten minutes
// are assumed, and that a blocked client gets no response.
func (dialect) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: defaultLifetime, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute, Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Nothing,
		Response: pbxsim.Mute, Covers: pbxsim.Everything,
	}}
}

// NewToken returns a JWT of now, for ES256. The signature is noise.
func (d dialect) NewToken() string {
	if d.Opaque {
		return rand.Text() + rand.Text()
	}
	now := time.Now().Unix()
	signature := make([]byte, 64)
	rand.Read(signature)
	return part(map[string]any{"alg": "ES256", "typ": "JWT", "kid": "1"}) + "." +
		part(map[string]any{"iss": "https://pbx.example.com", "jti": rand.Text(), "nbf": now, "iat": now, "exp": now + int64(d.lifetime/time.Second)}) + "." +
		base64.RawURLEncoding.EncodeToString(signature)
}

func part(fields map[string]any) string {
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
