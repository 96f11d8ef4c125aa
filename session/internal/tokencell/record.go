package tokencell

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/pbxauth/pbx"
)

// Record is what one cell holds. The zero Record is that of a cell that does
// not exist.
type Record struct {
	// Generation counts the tokens: 1 for the first. 0: there was none.
	Generation uint64
	// Writer names the write that made this record. It is used once.
	Writer string
	// Token is the token of Generation; the zero Token if there is none.
	Token Token
	// Dead is the newest generation that the PBX refused.
	Dead uint64
	// Claim is held by the process that is renewing the token.
	Claim Claim
	// Removed is when a process removed the session; zero: none did.
	Removed time.Time
}

// Token is a pbx.Token whose times are those of the store's clock.
type Token struct {
	Value, Refresh      pbx.Secret
	IssuedAt, ExpiresAt time.Time
	RefreshExpiresAt    time.Time
	Details             json.RawMessage
	By                  string // the process that brought it; empty: written by an older version
}

// Claim says who is renewing the token, and until when others leave it alone.
type Claim struct {
	By    string
	Op    pbx.Op
	Until time.Time
}

// Held reports whether somebody holds the claim at now.
func (c Claim) Held(now time.Time) bool { return c.By != "" && now.Before(c.Until) }

// longestClaim is more than any claim lasts.
const longestClaim = time.Minute

// At is the record as it counts at now, by the store's clock. If that was set back, a
// token of the future was issued now, and nobody waits for a claim of the future.
func (r Record) At(now time.Time) Record {
	if ahead := r.Token.IssuedAt.Sub(now); ahead > 0 {
		for _, t := range []*time.Time{&r.Token.IssuedAt, &r.Token.ExpiresAt, &r.Token.RefreshExpiresAt} {
			if !t.IsZero() {
				*t = t.Add(-ahead)
			}
		}
	}
	if r.Claim.Until.Sub(now) > longestClaim {
		r.Claim = Claim{}
	}
	return r
}

// Valid reports whether the record holds a token that can be used at now.
func (r Record) Valid(now time.Time) bool {
	t := r.Token
	return r.Generation > r.Dead && r.Removed.IsZero() && !t.Value.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// Same reports whether the records say the same, also if different processes wrote them.
func (r Record) Same(other Record) bool {
	t, o := r.Token, other.Token
	return r.Generation == other.Generation && r.Dead == other.Dead && r.Claim == other.Claim && r.Removed.Equal(other.Removed) &&
		t.Value.Equal(o.Value) && t.Refresh.Equal(o.Refresh) && bytes.Equal(t.Details, o.Details) && t.By == o.By &&
		t.IssuedAt.Equal(o.IssuedAt) && t.ExpiresAt.Equal(o.ExpiresAt) && t.RefreshExpiresAt.Equal(o.RefreshExpiresAt)
}

// Need is what a session wants from the cell.
type Need struct {
	Process string // of the session
	Have    uint64 // the generation that it holds; 0: none
	Refused bool   // the PBX refused that generation
	Seen    bool   // it has seen the cell before, not removed
}

// Verb is what to do next.
type Verb int

const (
	// Claim the cell with a Swap, then ask the PBX.
	ClaimIt Verb = iota
	// Adopt the record's token.
	Adopt
	// Wait until another process is done, at most until Step.Until.
	Wait
	// End: another process removed the session.
	End
)

// Step is a decision.
type Step struct {
	Verb  Verb
	Until time.Time // of Wait
}

// Decide says how a session goes on at now, after it has read the record.
func (r Record) Decide(now time.Time, n Need) Step {
	switch {
	case !r.Removed.IsZero() && (n.Have > 0 || n.Seen):
		return Step{Verb: End}
	case r.Valid(now) && r.Generation > n.Have:
		return Step{Verb: Adopt}
	case r.Claim.Held(now) && r.Claim.By != n.Process:
		return Step{Verb: Wait, Until: r.Claim.Until}
	}
	return Step{Verb: ClaimIt}
}

// Claimed is the record with a claim. Refused says that the PBX refused the
// generation that the claiming session held.
func (r Record) Claimed(writer string, n Need, op pbx.Op, until time.Time) Record {
	r.Writer, r.Claim, r.Removed = writer, Claim{By: n.Process, Op: op, Until: until}, time.Time{}
	if n.Refused {
		r.Dead = max(r.Dead, min(n.Have, r.Generation))
	}
	return r
}

// Committed is the record with a new token and without a claim.
func (r Record) Committed(writer string, t Token) Record {
	r.Writer, r.Claim = writer, Claim{}
	r.Generation++
	r.Token = t
	return r
}

// Released is the record without the claim of process, after an attempt that
// brought no token. It reports false if there is nothing to write.
func (r Record) Released(writer, process string) (Record, bool) {
	if r.Claim.By != process {
		return r, false
	}
	r.Writer, r.Claim = writer, Claim{}
	return r, true
}

// Behind reports whether the store has forgotten generation have, whose token is t:
// it has no token, or an earlier one.
func (r Record) Behind(have uint64, t Token) bool {
	return r.Generation < have && r.Removed.IsZero() && (r.Token.Value.IsZero() || r.Token.IssuedAt.Before(t.IssuedAt))
}

// Restored is the record with the token of generation have, which the store has
// forgotten. It reports false if there is nothing to write, or if somebody is
// renewing the token.
func (r Record) Restored(writer string, now time.Time, have uint64, t Token) (Record, bool) {
	if !r.Behind(have, t) || r.Claim.Held(now) {
		return r, false
	}
	return Record{Generation: have, Writer: writer, Token: t, Dead: r.Dead}, true
}

// Extended is the record whose token of generation have expires later, because
// requests have extended it; its lifetime counts anew. It reports false if there is
// nothing to write.
func (r Record) Extended(writer string, have uint64, ends time.Time) (Record, bool) {
	if have != r.Generation || have <= r.Dead || !ends.After(r.Token.ExpiresAt) {
		return r, false
	}
	if t := &r.Token; !t.IssuedAt.IsZero() {
		t.IssuedAt = t.IssuedAt.Add(ends.Sub(t.ExpiresAt))
	}
	r.Writer, r.Token.ExpiresAt = writer, ends
	return r, true
}

// Gone is the record after the session was removed and its token logged out.
func (r Record) Gone(writer string, now time.Time) Record {
	return Record{Generation: r.Generation + 1, Writer: writer, Dead: r.Generation + 1, Removed: now}
}
