package asterisksim

import (
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are what Asterisk's own files say. The zero value is a manager.conf
// with enabled=yes and webenabled=yes, and an http.conf with enabled=yes.
type Options struct {
	// Prefix is that of http.conf, as in "asterisk".
	Prefix string

	// WebDisabled is webenabled=no in manager.conf: there is no /rawman.
	WebDisabled bool

	// HTTPDenied is an ACL that lets nobody in: HTTP 403 to everything.
	HTTPDenied bool

	// SystemPermission is write=system in manager.conf, which PJSIPShowEndpoints
	// and CoreStatus take. Without it the users have no permission at all.
	SystemPermission bool

	// SingleLogin is allowmultiplelogin=no for all users.
	SingleLogin bool

	// UsersDenied are users whose deny= covers every address.
	UsersDenied []string

	// ShuttingDown responds to every action with that message.
	ShuttingDown bool

	// Log, if set, gets what Asterisk writes about logins to a log file with
	// notice,security in logger.conf, which is where fail2ban reads. It is used by
	// several goroutines at once, as a file may be.
	Log io.Writer
}

// New returns an Asterisk. nil options are zero ones.
//
// Names of users ignore case as far as common.Accounts has them; one that is made
// later, by [pbxsim.PBX.SetPassword], is compared exactly. With common.NewToken a
// login does not keep the id that the challenge gave.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	a := &asterisk{life: defaults.Lifetime, waiting: map[string]*unauthenticated{}}
	if o != nil {
		a.Options = *o
	}
	if common != nil {
		if common.Lifetime > 0 {
			a.life = common.Lifetime
		}
		for user := range common.Accounts {
			a.users = append(a.users, user)
		}
	}
	return pbxsim.New(a, common)
}

// defaults never lock, for Asterisk does not. With Options.Lockout.After set, it
// is Debian's fail2ban that does, by its jail "asterisk": two lines of the log
// match for each wrong login, failures count for ten minutes, and a ban of the
// address drops everything for ten minutes.
var defaults = pbxsim.Defaults{Lifetime: time.Minute, Sliding: true, Lockout: pbxsim.Lockout{
	For: 10 * time.Minute, Weight: 2, Memory: pbxsim.SlidingWindow, Window: 10 * time.Minute,
	Per: pbxsim.Address, Reset: pbxsim.Nothing, Covers: pbxsim.Everything, Response: pbxsim.Mute,
}}

// asterisk is the dialect. It holds the sessions that are not logged in, which
// pbxsim does not know.
type asterisk struct {
	Options
	life  time.Duration
	users []string

	mu      sync.Mutex // guards waiting, and makes logins one at a time
	waiting map[string]*unauthenticated

	reserved atomic.Pointer[string] // the id that the login under way is to keep
}

// unauthenticated is a session that is not logged in.
type unauthenticated struct {
	challenge string
	until     time.Time
}

// patience is how long a session lives that is not logged in.
const patience = 5 * time.Second

func (*asterisk) Name() string { return "asterisk" }

func (*asterisk) Defaults() pbxsim.Defaults { return defaults }

// account returns the user that Asterisk takes name for.
func (a *asterisk) account(name string) string {
	for _, user := range a.users {
		if strings.EqualFold(user, name) {
			return user
		}
	}
	return name
}

func (a *asterisk) denied(user string) bool {
	return slices.ContainsFunc(a.UsersDenied, func(name string) bool { return strings.EqualFold(name, user) })
}
