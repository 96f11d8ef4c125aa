package uissim

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one platform differs from another: what the document does not
// say. The zero value is the first of two readings.
type Options struct {
	// Metadata says where the metadata of a failing response are: beside the
	// mnemonic if empty. A good response has them beside its data.
	Metadata MetadataPlace

	// NullID has null for the id of every failure, as in the document's sample.
	NullID bool

	// HTTPStatus is for failures: 401 for authentication, 403 for rights, 400 for
	// the rest. Without HTTPStatus they come under 200.
	HTTPStatus bool

	// ExpireAt is how the end of a token is written.
	ExpireAt Spelling

	// DeadToken is the mnemonic for a token or key that is not accepted:
	// access_token_invalid if empty, which the document has for all but a key past
	// its date or one that is blocked.
	DeadToken string

	// MinuteLimit is how many points a minute has. A good request of the
	// application costs one. 0: no limit.
	MinuteLimit int

	// Disabled takes the component away that list.calls belongs to.
	Disabled bool
}

// MetadataPlace is where a failing response has its metadata.
type MetadataPlace string

const (
	InErrorData MetadataPlace = ""
	InError     MetadataPlace = "error"
	InEnvelope  MetadataPlace = "envelope"
	NoMetadata  MetadataPlace = "none" // also not in good responses
)

// Spelling is how a number is written.
type Spelling string

const (
	AsNumber Spelling = ""
	AsString Spelling = "string"
	AsFloat  Spelling = "float"
)

// New returns a platform. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	p := &platform{}
	if o != nil {
		p.Options = *o
	}
	p.DeadToken = cmp.Or(p.DeadToken, "access_token_invalid")
	return pbxsim.New(p, common)
}

// platform is the dialect. It counts points, which pbxsim does not know.
type platform struct {
	Options

	mu     sync.Mutex // guards the fields below
	minute time.Time
	spent  int
}

func (*platform) Name() string { return "uis" }

// Defaults: a token is valid for an hour from the login. The document names no
// lockout. That there is one, after five wrong logins in a row of one address and
// for ten minutes, is an assumption.
func (*platform) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: time.Hour, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute,
		Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Nothing,
	}}
}

// NewToken returns an opaque token of 72 characters, as in the document.
func (*platform) NewToken() string {
	random := make([]byte, 32)
	rand.Read(random) // never fails
	return strings.ToLower(rand.Text())[:8] + hex.EncodeToString(random)
}

// points returns what is left of this minute's and in how many seconds the next
// one begins.
func (p *platform) points(spend int) (left, reset int) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(p.minute) {
		p.minute, p.spent = minute, 0
	}
	p.spent += spend
	return p.MinuteLimit - p.spent, int(p.minute.Add(time.Minute).Sub(now)/time.Second) + 1
}
