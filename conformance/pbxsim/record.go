package pbxsim

import (
	"net/http"
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
	LockedLogins  int // refused because the caller was locked
	CrowdedLogins int // with the right password, refused for lack of room
	Calls         int // other calls, with a good token
	RefusedTokens int // tokens found unknown or expired, on any action
}

// A Record is one request and its answer as the PBX saw them, secrets included.
type Record struct {
	At       time.Time
	Caller   string // IP address
	Action   Action
	Method   string
	Path     string
	RawQuery string
	Header   http.Header
	Body     []byte
	Status   int    // 0: not answered, or not yet
	Reply    []byte // what was sent of the body; nothing of a huge one
}

const maxLog = 10_000 // records

// Counts returns the counts so far.
func (p *PBX) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
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
func (p *PBX) arrive(r *Request) (*Record, Fault) {
	rec := &Record{
		At:       time.Now(),
		Caller:   r.Caller,
		Action:   r.Action,
		Method:   r.Method,
		Path:     r.URL.Path,
		RawQuery: r.URL.RawQuery,
		Header:   r.Header.Clone(),
		Body:     r.Body,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
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
