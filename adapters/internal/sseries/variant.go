package sseries

import (
	"time"

	"github.com/pbxauth/pbx"
)

// Variant is one brand's or product line's form of the protocol, as data to be
// laid beside its vendor's pages.
type Variant struct {
	Driver  string // the registered name
	Port    int    // of the API over https
	Plain   int    // of the API over plain http; 0: 80
	Version string // the path segment, as in "v1.1.0"

	Lifetime time.Duration // of a token
	Sliding  bool          // every request starts it anew, says the vendor
	Lockout  pbx.Lockout

	// Harmless is the name of a POST request without parameters that changes
	// nothing. Empty: the vendor documents none, and the driver has no Ping.
	Harmless string

	// Heartbeat and Refresh are the requests that keep a token alive. With both,
	// a token is refreshed if its login brought something to refresh it with.
	Heartbeat bool
	Refresh   bool

	// KeepsRefresh: a login may bring a refresh token, which is kept for the
	// application. Heartbeats keep the token alive all the same.
	KeepsRefresh bool

	ReportsInBeat bool // a heartbeat takes the version of the reports
	NumericURLTag bool // a login's urltag is a number in JSON
	Typed         bool // "type" in the query says json or xml, for both ways

	Errnos map[string]Errno
}

// Errno is one line of a vendor's error table.
type Errno struct {
	Kind    error // nil: it is known, and none of the kinds
	Meaning string
	Setting string // the option at fault

	// NotJudged: of a login, the vendor says that the password was not judged.
	NotJudged bool
}

// Format is how bodies are written. The zero value is JSON.
type Format string

const (
	JSON Format = "json"
	XML  Format = "xml"
)
