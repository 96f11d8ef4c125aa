package runtel

import (
	"encoding/json"

	"github.com/pbxauth/pbx"
)

// AccountInfo is what a login says about its user. The vendor's page
// (doc-cp.runtel.ru/api/api_auth.html) shows an administrator's; another role's
// may leave fields out, have null in them, or another type. A field that is
// missing, or of another type than here, is its zero value.
type AccountInfo struct {
	UserID    int64
	UserName  string // for people: "Алексей"
	UserLogin string // as in a@office.example

	DomainID   int64
	DomainName string // as in office.example

	RoleID   int64
	RoleName string // for people: "PBX administrator"
	RoleType int64  // not documented; 1 for that role

	TimeZone string // of the user, an IANA name: "Europe/Prague"
	Locale   string // as in en_US
	Software string // version of the platform: "2.9.0"

	// ExpZone is the zone in which the login's exp was read, or its own offset;
	// empty if no zone mattered. ExpUnsure is true if the token's expiry is a
	// guess: then [Config].ExpZone or TokenTTL should be set. (The candidates
	// are in the token's Details: see the package's doc.)
	ExpZone   string
	ExpUnsure bool
}

// Account returns what the login that brought t said about its user. It sends
// nothing, and works on a token that was stored with its Details. For a token
// without them, as a key is, the error is a *[pbx.Error] of kind
// [pbx.ErrNotSupported]; for Details that are not a JSON object,
// [pbx.ErrProtocol].
func Account(t *pbx.Token) (AccountInfo, error) {
	if t == nil || len(t.Details) == 0 {
		return AccountInfo{}, &pbx.Error{Driver: Name, Kind: pbx.ErrNotSupported,
			Message: "the token has no details of an account: no login of this driver brought it"}
	}
	var body struct {
		UserID    json.RawMessage `json:"user_id"`
		UserName  json.RawMessage `json:"user_name"`
		UserLogin json.RawMessage `json:"user_login"`

		DomainID   json.RawMessage `json:"domain_id"`
		DomainName json.RawMessage `json:"domain_name"`

		RoleID   json.RawMessage `json:"role_id"`
		RoleName json.RawMessage `json:"role_name"`
		RoleType json.RawMessage `json:"role_type"`

		TZ      json.RawMessage `json:"tz"`
		Locale  json.RawMessage `json:"locale"`
		Version json.RawMessage `json:"version"`
		Assumed json.RawMessage `json:"exp_assumed"`
	}
	if json.Unmarshal(t.Details, &body) != nil || isNull(t.Details) {
		return AccountInfo{}, &pbx.Error{Driver: Name, Kind: pbx.ErrProtocol,
			Message: "the token's details are not a JSON object"}
	}
	var assumed assumption
	json.Unmarshal(body.Assumed, &assumed) // zero where it is missing
	return AccountInfo{
		UserID:     integer(body.UserID),
		UserName:   text(body.UserName),
		UserLogin:  text(body.UserLogin),
		DomainID:   integer(body.DomainID),
		DomainName: text(body.DomainName),
		RoleID:     integer(body.RoleID),
		RoleName:   text(body.RoleName),
		RoleType:   integer(body.RoleType),
		TimeZone:   text(body.TZ),
		Locale:     text(body.Locale),
		Software:   software(body.Version),
		ExpZone:    assumed.Zone,
		ExpUnsure:  assumed.Unsure,
	}, nil
}

// software reads the version, which is an object in the vendor's sample.
func software(version json.RawMessage) string {
	var object struct {
		Software json.RawMessage `json:"software"`
	}
	if json.Unmarshal(version, &object) == nil {
		return text(object.Software)
	}
	return text(version)
}

// details is the body of a login's response without the token, with what was
// assumed about its expiry.
func (x exchange) details(assumed assumption) json.RawMessage {
	var fields map[string]json.RawMessage
	json.Unmarshal(x.Body, &fields) // it held a token, so it is an object
	const own = "exp_assumed"
	fields[own], _ = json.Marshal(assumed) // strings always marshal
	all, _ := json.Marshal(fields)
	return x.Details(all, "token")
}
