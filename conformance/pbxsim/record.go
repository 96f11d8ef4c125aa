package pbxsim

import (
	"net/http"
	"slices"
	"time"
)

// Counts are what a PBX has seen since it was made. A request counts when it
// arrives, whatever becomes of it; a verdict counts when it is reached.
type Counts struct {
	Requests   int // all that arrived
	Logins     int // of these: logins, among them malformed ones and those that a fault kept from the accounts
	KeepAlives int // of these: keep-alives
	Logouts    int // of these: logouts
	Faults     int // of these: those to which a fault happened

	GoodLogins    int
	WrongLogins   int // wrong password, or no such account
	LockedLogins  int // refused by a lock, whatever the password
	CrowdedLogins int // with the right password, refused for lack of room
	AppRequests   int // other requests, with a good token
	RefusedTokens int // dead tokens: unknown or expired, on any action
	Locks         int // that have begun, by whatever cause; see [PBX.Locks]
}

// A Record is one request and its response as the PBX saw them, secrets included.
type Record struct {
	At       time.Time
	From     string // IP address of the client
	Action   Action
	Method   string
	Path     string
	RawQuery string
	Header   http.Header
	Body     []byte
	Status   int    // 0: no response, or not yet
	Reply    []byte // what was sent of the body; nothing of a huge one

	// Verdict is the first that was reached on the request. It is the truth also
	// where the response is lost or says something else: Locked under any lock.
	Verdict Verdict

	// User is the user name of a login, or that of the account that a token was
	// issued to.
	User string

	// Password is the one with which a login was made, in plaintext, also where
	// the brand sends a digest of it. The PBX recognises the account's password,
	// those that it had before, and Options.Guesses; else Password is empty.
	Password string
}

const maxLog = 10_000 // records

// Counts returns the counts so far.
func (p *PBX) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// CountsOf returns the counts of verdicts on one user name, with or without an
// account: of logins with it, and of tokens that were issued to it. Requests,
// Logins, KeepAlives, Logouts and Faults are 0.
func (p *PBX) CountsOf(user string) Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.countsOf[user]; c != nil {
		return *c
	}
	return Counts{}
}

// tally counts for a user and for the whole PBX. p.mu is held.
func (p *PBX) tally(user string, count func(*Counts)) {
	count(&p.counts)
	if user == "" {
		return
	}
	c := p.countsOf[user]
	if c == nil {
		c = new(Counts)
		p.countsOf[user] = c
	}
	count(c)
}

// A judgement is what became of a request, for its record and its response.
// Copies of a Request share it.
type judgement struct {
	record   *Record
	response LockResponse // 0: the dialect's
	until    time.Time    // of the lock
}

// judge records the first verdict on r, and returns it. The PBX's mu is held.
func (r *Request) judge(user string, v Verdict) Verdict {
	if r.judgement != nil && r.judgement.record.Verdict == NotJudged {
		r.judgement.record.User, r.judgement.record.Verdict = user, v
	}
	return v
}

// recognised records the password of a login. The PBX's mu is held.
func (r *Request) recognised(password string) {
	if r.judgement != nil {
		r.judgement.record.Password = password
	}
}

// LockedUntil returns when the lock ends for which r was judged Locked. The zero
// time means until [PBX.Unlock].
func (r *Request) LockedUntil() time.Time {
	if r.judgement == nil {
		return time.Time{}
	}
	return r.judgement.until
}

// Logins returns the records of [PBX.Log] whose Action is Login.
func (p *PBX) Logins() []Record {
	return slices.DeleteFunc(p.Log(), func(r Record) bool { return r.Action != Login })
}

// Log returns the last 10,000 requests in the order of their arrival. What the
// records refer to must not be changed.
func (p *PBX) Log() []Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := make([]Record, 0, len(p.log))
	for i := range p.log {
		log = append(log, *p.log[(p.oldest+i)%len(p.log)])
	}
	return log
}

// arrive counts and logs a request, and finds the fault that is meant for it.
func (p *PBX) arrive(r *Request, path string) (*Record, Fault) {
	rec := &Record{
		At:       time.Now(),
		From:     r.From,
		Action:   r.Action,
		Method:   r.Method,
		Path:     path,
		RawQuery: r.URL.RawQuery,
		Header:   r.Header.Clone(),
		Body:     r.Body,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r.judgement = &judgement{record: rec}
	p.counts.Requests++
	switch r.Action {
	case Login:
		p.counts.Logins++
	case KeepAlive:
		p.counts.KeepAlives++
	case Logout:
		p.counts.Logouts++
	}
	if len(p.log) < maxLog {
		p.log = append(p.log, rec)
	} else {
		p.log[p.oldest] = rec
		p.oldest = (p.oldest + 1) % maxLog
	}
	return rec, p.nextFault(r.Action)
}
