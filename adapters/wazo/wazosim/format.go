package wazosim

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// tokenData is a token as a login returns it.
type tokenData struct {
	Token        string    `json:"token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	AuthID       string    `json:"auth_id"`
	IssuedAt     string    `json:"issued_at"`
	ExpiresAt    string    `json:"expires_at"`
	UTCIssuedAt  string    `json:"utc_issued_at,omitempty"`
	UTCExpiresAt string    `json:"utc_expires_at,omitempty"`
	ACL          []string  `json:"acl"`
	Metadata     *metadata `json:"metadata"`
	SessionUUID  string    `json:"session_uuid"`
	RemoteAddr   string    `json:"remote_addr"`
	UserAgent    string    `json:"user_agent"`
}

type metadata struct {
	UUID       string `json:"uuid"`
	TenantUUID string `json:"tenant_uuid"`
	Purpose    string `json:"purpose"`
}

func (d dialect) described(t pbxsim.Token, r *pbxsim.Request) tokenData {
	zone := d.Zone
	if zone == nil {
		zone = time.UTC
	}
	data := tokenData{
		Token:  t.Value,
		AuthID: uuidOf(t.User), IssuedAt: isoformat(t.Issued.In(zone)), ExpiresAt: isoformat(t.Expires.In(zone)),
		ACL:         []string{"#"},
		Metadata:    &metadata{UUID: uuidOf(t.User), TenantUUID: Tenant, Purpose: "external_api"},
		SessionUUID: uuidOf("session of " + t.Value),
		RemoteAddr:  r.From, UserAgent: r.UserAgent(),
	}
	if !d.NoUTC {
		data.UTCIssuedAt, data.UTCExpiresAt = isoformat(t.Issued.UTC()), isoformat(t.Expires.UTC())
	}
	return data
}

// isoformat writes t as Python writes a time without a zone: in microseconds, and
// without the fraction when that is zero.
func isoformat(t time.Time) string {
	if t.Nanosecond()/1000 == 0 {
		return t.Format("2006-01-02T15:04:05")
	}
	return t.Format("2006-01-02T15:04:05.000000")
}

// unauthorized is the body of a refused request, of whatever daemon.
type unauthorized struct {
	Message   string         `json:"message"`
	ErrorID   string         `json:"error_id"`
	Details   map[string]any `json:"details"`
	Timestamp int64          `json:"timestamp"`
}

// list is how the daemons list things.
type list struct {
	Total int   `json:"total"`
	Items []any `json:"items"`
}

type extension struct {
	ID      int    `json:"id"`
	Exten   string `json:"exten"`
	Context string `json:"context"`
	Tenant  string `json:"tenant_uuid"`
}

// refused is a failure of wazo-auth in its own words.
func refused(status int, reason string) pbxsim.Reply {
	return reply(status, map[string]any{
		"reason": []string{reason}, "timestamp": []float64{float64(time.Now().UnixMicro()) / 1e6}, "status_code": status,
	})
}

// failed is a failure in the words of the web framework.
func failed(status int, message string) pbxsim.Reply {
	return reply(status, map[string]string{"message": message})
}

func reply(status int, body any) pbxsim.Reply {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: text}
}

func page(status int, text string) pbxsim.Reply {
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(text)}
}
