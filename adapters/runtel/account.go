package runtel

import (
	"bytes"
	"encoding/json"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// AccountInfo is what a login tells about its user. The vendor's page
// (doc-cp.runtel.ru/api/api_auth.html) shows an administrator's; another role's
// may leave fields out, have null in them, or another type. A field that is not
// told, or not as what it is here, is its zero value.
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
	// empty where no zone mattered. ExpUnsure is true if the token's end is a
	// guess: then [Config].ExpZone or TokenTTL should be set. (The candidates
	// are in the token's Details: see the package's doc.)
	ExpZone   string
	ExpUnsure bool
}

// Account returns what the login that brought t told about its user. It sends
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
	id := func(raw json.RawMessage) int64 { n, _ := integer(raw); return n }
	var assumed assumption
	json.Unmarshal(body.Assumed, &assumed) // zero where it is missing
	return AccountInfo{
		UserID:     id(body.UserID),
		UserName:   text(body.UserName),
		UserLogin:  text(body.UserLogin),
		DomainID:   id(body.DomainID),
		DomainName: text(body.DomainName),
		RoleID:     id(body.RoleID),
		RoleName:   text(body.RoleName),
		RoleType:   id(body.RoleType),
		TimeZone:   text(body.TZ),
		Locale:     text(body.Locale),
		Software:   software(body.Version),
		ExpZone:    assumed.Zone,
		ExpUnsure:  assumed.Unsure,
	}, nil
}

// software reads the version, an object in the vendor's sample.
func software(version json.RawMessage) string {
	var object struct {
		Software json.RawMessage `json:"software"`
	}
	if json.Unmarshal(version, &object) == nil {
		return text(object.Software)
	}
	return text(version)
}

// details is the body of a login's answer without the token, with what was
// assumed about its end.
func details(body json.RawMessage, assumed assumption, secrets []pbx.Secret) json.RawMessage {
	// Decoded whole, a secret in it loses the spelling that the platform chose.
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()     // 1631889200.532154 stays that
	decoder.Decode(&fields) // it held a token, so it is an object
	const own = "exp_assumed"
	fields[own] = assumed
	if d := wire.Details(encoded(fields), []string{"token"}, secrets...); d != nil {
		return d
	}
	// A token that is also a number in it, say: the rest cannot be shown.
	return wire.Details(encoded(map[string]any{own: assumed}), nil, secrets...)
}

// encoded writes what was decoded.
func encoded(fields map[string]any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.Encode(fields) // what came out of JSON goes into it
	return out.Bytes()
}
