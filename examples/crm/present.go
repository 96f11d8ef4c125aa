package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
)

// group says who has to act: it decides the colour.
type group string

const (
	needsYou  group = "stop"
	waits     group = "wait"
	busy      group = "busy"
	loggedIn  group = "ok"
	switchOff group = "off"
)

// groups in the order of the table: who has to act first.
var groups = []group{needsYou, waits, busy, loggedIn, switchOff}

// row is what the table shows of a PBX. Times are Unix milliseconds; 0: none.
type row struct {
	ID      int64  `json:"id"`
	Name    string `json:"name"`
	Host    string `json:"host"`
	Brand   string `json:"brand"`
	Account string `json:"account,omitempty"`

	Group   group  `json:"group"`
	Icon    string `json:"icon"` // of the sprite
	State   string `json:"state"`
	Who     string `json:"who,omitempty"` // acts, or locks
	Since   int64  `json:"since"`
	From    int64  `json:"from"` // Since, but for renewals: it is sorted by
	Issued  int64  `json:"issued,omitempty"`
	Expires int64  `json:"expires,omitempty"`

	Fact   string `json:"fact,omitempty"` // the first clause
	Rest   string `json:"rest,omitempty"` // "{in}" in it stands for the time until At
	At     int64  `json:"at,omitempty"`
	Action action `json:"action"`

	// Reason and Technical are for the PBX's own page.
	Reason    string `json:"-"`
	Technical string `json:"-"` // the driver's error
}

// action is the one thing to do in a row. Empty: none.
type action struct {
	Label string `json:"label,omitempty"`
	Path  string `json:"path,omitempty"`
	Post  bool   `json:"post,omitempty"` // else it is a link
}

// facts is what a row is made of.
type facts struct {
	settings Settings
	driver   pbx.Driver // the zero Driver if this program has none of that name
	status   session.Status
	token    tokenTimes
	open     bool // there is a session
	traits   pbx.Traits
	hold     hold      // of its login
	loggedIn time.Time // since when, over renewals; zero: it is not
}

type tokenTimes struct{ issued, expires time.Time }

// present decides what the table says of a PBX.
func present(f facts, now time.Time) row {
	r := decide(f, now)
	r.From = r.Since
	if r.Group == loggedIn && !f.loggedIn.IsZero() {
		r.From = millis(f.loggedIn)
		if f.status.State == session.Live {
			r.Since = r.From
		}
	}
	return r
}

func decide(f facts, now time.Time) row {
	s := f.settings
	r := row{
		ID: s.ID, Name: s.Name, Host: s.host(), Brand: shortTitle(f.driver, s.Driver), Account: s.Username,
		Since: millis(f.status.Since),
	}
	page := "/pbx/" + s.key()
	edit := action{Label: "Edit", Path: page + "/edit"}
	tryNow := action{Label: "Try now", Path: page + "/retry", Post: true}
	var failure *pbx.Error
	errors.As(f.status.Err, &failure)
	if f.status.Err != nil {
		r.Technical = f.status.Err.Error()
	}
	if !f.status.Next.IsZero() {
		r.At = millis(f.status.Next)
	}
	next := ""
	switch {
	case !f.status.Check.IsZero():
		next, r.At = "Next check {in}, without the password.", millis(f.status.Check)
	case r.At != 0:
		next = "Next try {in}."
	}

	switch {
	case s.Damaged:
		r.set(needsYou, "warn", "Unavailable", "needs you")
		r.Fact, r.Rest = "The saved settings of this PBX are damaged.", "Remove it, or restore the settings file."
		r.Reason = "Its brand, address, user name, options, trusted key or password was changed outside this program. Nothing is sent. To keep this PBX, end this program, restore the settings file from a copy, and start it again. Or remove the PBX, then add it again. Until then its row in the file stays as it is."
		r.Action, r.At = action{Label: "Remove", Path: page + "/remove"}, 0
		return r
	case f.driver.Name == "":
		r.set(needsYou, "warn", "Unavailable", "needs you")
		r.Fact, r.Rest = fmt.Sprintf("This program has no driver “%s”.", s.Driver), "Remove this PBX, or start a program that has it."
		r.Reason = "The driver was left out when this program was built. Its settings are kept."
		r.Action, r.At = action{Label: "Remove", Path: page + "/remove"}, 0
		return r
	case !f.open && !s.Disconnected.IsZero():
		r.set(switchOff, "closed", "Closed", "")
		r.Since = millis(s.Disconnected)
		r.Rest = "Disconnected on " + day(s.Disconnected, now) + "."
		r.Action, r.At = action{Label: "Connect", Path: page + "/connect", Post: true}, 0
		return r
	case !f.open:
		r.set(needsYou, "warn", "Unavailable", "needs you")
		r.Fact, r.Rest = "The settings do not fit this program.", "Nothing was sent."
		r.Reason = "The driver refuses the settings. Open them: what to change stands beside the field."
		r.Action, r.At = edit, 0
		return r
	}

	switch f.status.State {
	case session.Connecting:
		r.set(busy, "connecting", "Connecting", "")
		r.Rest = "A login is under way."
		switch {
		case !f.status.Check.IsZero():
			r.Fact, r.Rest = "The login waits until the PBX responds.", next
		case f.hold != (hold{}): // until the login that is under way has ended
			r.Rest = "Waits its turn: logins go to this host one after the other."
		}
	case session.Live:
		r.set(loggedIn, "live", "Live", "")
		r.Rest = renewalOf(f.traits, r.At)
		if f.status.Warning != "" {
			r.Fact, r.Rest = "Another program logs in with this account.", "Give this CRM an account of its own."
			r.Reason = sentence(f.status.Warning)
		} else if by := processOf(f.status); by != "" {
			r.Rest += " · token from " + by
		}
	case session.Renewing:
		r.set(loggedIn, "renewing", "Renewing", "")
		r.Rest = "Renewing now. The old token still works."
		switch {
		case failure != nil && aboutStore(failure):
			r.Rest = "The shared store does not respond. The token still works. " + next
		case f.status.Err != nil:
			r.Rest = "Renewal failed: " + inWords(failure, f.status.Err) + ". " + next
		}
	case session.Rejected:
		r.set(needsYou, "rejected", "Rejected", "needs you")
		r.Fact, r.Rest = "The PBX refused this password.", "It is not sent again until you change it."
		whose := "the password of “" + s.Username + "”"
		if s.Username == "" {
			whose = "this password"
		}
		r.Reason = fmt.Sprintf("The PBX refused %s %s. It was sent once and is not sent again. Check the API password in the PBX, then enter it here.", whose, moment(f.status.Since, now))
		r.Action, r.At = action{Label: "Edit password", Path: page + "/edit#" + passwordField(s, f.driver)}, 0
		if errors.Is(f.status.Err, pbx.ErrForbidden) {
			r.Fact, r.Rest = "The PBX does not allow this login.", "Allow our address and this account in the PBX."
			r.Reason = "The PBX knows the account and does not permit the login. Add this server’s address to its allowed addresses, and give the account access to the API. Then try again."
			r.Action = action{Label: "Try again", Path: page + "/retry", Post: true}
		}
	case session.Locked:
		r.locked(f, now)
	case session.Unavailable:
		r.set(waits, "warn", "Unavailable", "retrying")
		r.Action = tryNow
		r.unavailable(f, failure, next, edit, now)
	case session.Closed:
		r.set(switchOff, "closed", "Closed", "")
		r.Rest = "Logging out."
	}
	if f.status.State != session.Closed && !f.token.expires.IsZero() && f.token.expires.After(now) {
		r.Issued, r.Expires = millis(f.token.issued), millis(f.token.expires)
	}
	return r
}

func (r *row) set(g group, icon, state, who string) {
	r.Group, r.Icon, r.State, r.Who = g, icon, state, who
}

// locked: by the PBX, or held back by our own budget.
func (r *row) locked(f facts, now time.Time) {
	begun := f.hold != (hold{}) // else it has just begun, or ends just now
	if !begun {
		f.hold.until = f.status.Next
	}
	until := clock(f.hold.until, now)
	host := hostname(f.settings.URL)
	r.At = millis(f.hold.until)
	r.Action = action{Label: "Show host", Path: "/#host-" + host}
	if f.status.LockedBy == session.LockedByPBX {
		r.set(waits, "locked", "Locked", "by the PBX")
		has, what := "has", "our address"
		if f.hold.doubt { // it refused a password that worked shortly before
			has = "may have"
		}
		if f.traits.Lockout.PerAccount {
			what = "this account"
		}
		r.Fact, r.Rest = fmt.Sprintf("The PBX %s locked %s until %s.", has, what, until), "No login is sent before that."
		r.Reason = "Tokens that still work are used. If you unlock " + what + " in the PBX, press “Forgive…” on the list of connections."
		return
	}
	limits := lockout.Resolve(f.traits.Lockout, 0)
	limit := limits.Attempts
	sent := many(f.hold.used, "wrong login") + " went to this host"
	if !begun {
		r.set(waits, "held", "Held back", "by our budget")
		r.Fact, r.Rest = "No login is sent at the moment.", fmt.Sprintf("Wrong logins went to this host, and the PBX locks at %d.", limit)
		return
	}
	if f.hold.until.IsZero() {
		r.set(needsYou, "held", "Held back", "needs you")
		r.Fact, r.Rest = "No login until you act.", sent+". The PBX does not forget them."
		r.Reason = fmt.Sprintf("%s, and the PBX locks at %d. Correct the accounts that sent them, clear the PBX’s list of blocked addresses, then press “Forgive…” on the list of connections.", sent, limit)
		return
	}
	r.set(waits, "held", "Held back", "by our budget")
	r.Fact, r.Rest = "Login waits until "+until+".", fmt.Sprintf("%s, and the PBX locks at %d.", sent, limit)
	r.Reason = fmt.Sprintf("We stop at %d, so that accounts that work can come back after a lost response.", places(limits, f.hold.proven))
}

func (r *row) unavailable(f facts, failure *pbx.Error, next string, edit action, now time.Time) {
	page := "/pbx/" + f.settings.key()
	err := f.status.Err
	switch {
	case failure != nil && aboutStore(failure):
		r.set(waits, "held", "Held back", "by the store")
		tryNow := r.Action
		r.Action = action{}
		r.Fact, r.Rest = "The shared store does not respond.", "Tokens still work; no login is sent."
		r.Reason = "Processes that share a store log in only if they know each other’s wrong logins. Check the store that -store names."
		if !strings.Contains(failure.Message, "does not respond") {
			r.set(needsYou, "held", "Held back", "needs you")
			r.Fact, r.Rest = "What the shared store holds cannot be read.", "No login is sent."
			r.Reason, r.Action = sentence(failure.Message), tryNow
		}
	case errors.Is(err, pbx.ErrConfig) && aboutCertificate(failure):
		r.set(needsYou, "warn", "Unavailable", "needs you")
		r.Action, r.At = action{Label: "Review key", Path: page + "/edit?key=show#key"}, 0
		if f.settings.Pin != "" {
			r.Fact, r.Rest = "The PBX shows another key than the one you trusted.", "Nothing was sent."
			r.Reason = "Nothing was sent. If the PBX was replaced or updated, compare the fingerprint and trust the new key."
			if !f.settings.PinSet.IsZero() {
				r.Reason = "You trusted the other one on " + day(f.settings.PinSet, now) + ". " + r.Reason
			}
			return
		}
		r.Fact, r.Rest = "The PBX’s certificate is not trusted yet.", "Nothing was sent."
		r.Reason = "Nothing was sent. Most PBXs come with a self-signed certificate. Compare its fingerprint, then trust exactly this key."
	case errors.Is(err, pbx.ErrConfig):
		r.set(needsYou, "warn", "Unavailable", "needs you")
		r.Fact, r.Rest = "The settings do not fit this PBX.", "Open them: what to change stands beside the field."
		r.Reason = sentence(failure.Message)
		r.Action, r.At = edit, 0
	case errors.Is(err, pbx.ErrTooManySessions):
		r.Fact, r.Rest = "The PBX has no free session for this account.", next
		r.Reason = "Log out another client, or use an account of its own."
	case errors.Is(err, pbx.ErrTokenRejected):
		r.Fact, r.Rest = "Another program logs in with this account.", "Give this CRM an account of its own."
		r.Reason = "Each login ends the other’s session."
	case errors.Is(err, pbx.ErrProtocol):
		r.Fact, r.Rest = "This is not the response of this brand’s API.", next
		r.Reason = "Check the brand, and the address with its port. While a PBX starts, its web server may respond before its API."
		r.Action = edit
	case failure != nil && failure.HTTPStatus != 0:
		r.Fact, r.Rest = gateway(failure.HTTPStatus), next
		r.Reason = "Something in front of the PBX responds for it, or the PBX is starting. Requests fail until it is back."
	default:
		r.Fact, r.Rest = "The PBX does not respond: "+inWords(failure, err)+".", next
		r.Reason = "Check the address and the port, and whether the PBX is running."
	}
}

// aboutStore: no login was sent because of the store that processes share.
func aboutStore(failure *pbx.Error) bool {
	return strings.HasPrefix(failure.Message, "not sent: the wrong logins of ") || strings.HasPrefix(failure.Message, "not sent: the store")
}

// aboutCertificate: a person has to decide about the PBX's key.
func aboutCertificate(failure *pbx.Error) bool {
	return failure != nil && (strings.HasPrefix(failure.Setting, "TLS.") || strings.Contains(failure.Message, "TLS.PinSHA256"))
}

// inWords is the cause of a failure in two or three words.
func inWords(failure *pbx.Error, err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case failure != nil && failure.HTTPStatus != 0:
		return fmt.Sprintf("HTTP status %d", failure.HTTPStatus)
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	if failure != nil && !failure.Sent {
		return "no connection"
	}
	return "no response"
}

// sentence makes a sentence of a driver's message.
func sentence(message string) string {
	if message == "" {
		return ""
	}
	first := []rune(message)
	return strings.ToUpper(string(first[0])) + strings.TrimSuffix(string(first[1:]), ".") + "."
}

// renewalOf is what keeps the token valid.
func renewalOf(t pbx.Traits, at int64) string {
	switch {
	case at == 0:
		return "The token has no known expiry."
	case t.KeepAlive == pbx.KeepAliveHeartbeat:
		return "Heartbeat {in}"
	case t.KeepAlive == pbx.KeepAliveRefresh:
		return "Refresh {in}"
	}
	return "New login {in}"
}

// shortTitle is the brand for a narrow column: the title up to its first comma
// or bracket.
func shortTitle(d pbx.Driver, name string) string {
	title, _, _ := strings.Cut(cmp.Or(d.Title, name), ",")
	title, _, _ = strings.Cut(title, " (")
	return title
}

// expand puts the time until At into Rest.
func (r row) expand(now time.Time) string {
	if r.At == 0 {
		return strings.ReplaceAll(r.Rest, " {in}", "")
	}
	return strings.ReplaceAll(r.Rest, "{in}", "in "+left(time.UnixMilli(r.At).Sub(now)))
}

// expandAt puts the time of day of At into Rest.
func (r row) expandAt(now time.Time) string {
	return strings.ReplaceAll(r.Rest, "{in}", "at "+clock(time.UnixMilli(r.At), now))
}

// since is how long the state has lasted; empty: there never was a session.
func (r row) since(now time.Time) string {
	if r.Since == 0 {
		return ""
	}
	return ago(now.Sub(time.UnixMilli(r.Since)))
}

// second is the second line of the state: who, and since when.
func (r row) second(now time.Time) string {
	since := r.since(now)
	if r.Who != "" && since != "" {
		return r.Who + " · " + since
	}
	return r.Who + since
}

// spoken is what a screen reader says of a change of state.
func (r row) spoken() string {
	if r.Group == needsYou {
		return r.Name + " needs you: " + strings.ToLower(r.State) + "."
	}
	return r.Name + ": " + strings.ToLower(r.State) + "."
}

// share is how much of the token's lifetime is left, from 0 to 1.
func (r row) share(now time.Time) float64 {
	if r.Expires <= r.Issued {
		return 0
	}
	return min(max(float64(r.Expires-now.UnixMilli())/float64(r.Expires-r.Issued), 0), 1)
}

// query is what the visitor filters and sorts by, as the URL holds it.
type query struct {
	Show   string // "", "you", "wait", "in"
	Brand  string // a driver's name
	Search string
	Sort   string // "", "name", "brand", "token"
	Desc   bool
}

var shown = map[string][]group{"you": {needsYou}, "wait": {waits}, "in": {loggedIn}}

// matches reports whether the filter lets r through.
func (q query) matches(r row) bool {
	if of, ok := shown[q.Show]; ok && !slices.Contains(of, r.Group) {
		return false
	}
	if q.Brand != "" && q.Brand != r.Brand {
		return false
	}
	text := strings.ToLower(r.Name + "\n" + r.Host + "\n" + r.Account)
	return strings.Contains(text, strings.ToLower(strings.TrimSpace(q.Search)))
}

// order sorts rows as the visitor wants them. Rows that are equal stand by name.
func (q query) order(rows []row) {
	slices.SortStableFunc(rows, func(a, b row) int {
		c := 0
		switch q.Sort {
		case "name":
		case "brand":
			c = strings.Compare(a.Brand, b.Brand)
		case "token":
			c = cmp.Compare(expiryRank(a), expiryRank(b))
		default:
			c = cmp.Or(cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, b.Group)), cmp.Compare(a.From, b.From))
		}
		if c == 0 {
			c = cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.ID, b.ID))
		}
		if q.Desc {
			c = -c
		}
		return c
	})
}

// expiryRank puts rows without a token last.
func expiryRank(r row) int64 {
	if r.Expires == 0 {
		return 1 << 62
	}
	return r.Expires
}
