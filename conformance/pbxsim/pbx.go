package pbxsim

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say what a PBX is like. Nil means all defaults, and so does a zero
// field: what the dialect's vendor documents, and the first of two readings
// where the vendor leaves a question open.
//
// A PBX reads its Options once, in [New].
type Options struct {
	// Accounts maps user names to passwords in plaintext.
	Accounts map[string]string

	// Guesses are further passwords that [Record.Password] recognises, such as
	// the wrong ones that a test lets a client send.
	Guesses []string

	// Lifetime is how long a token is valid. 0 means the dialect's default.
	Lifetime time.Duration

	// Lockout is how the PBX defends itself against guessed passwords.
	Lockout Lockout

	// SecondLoginKills makes a login end the account's earlier tokens.
	// Neither Yeastar nor Runtel say whether it does.
	SecondLoginKills bool

	// LogoutEndsAll makes a logout end all tokens of the account.
	// Runtel does not say whether it ends one or all.
	LogoutEndsAll bool

	// RefreshLifetime is how long a refresh token is valid. 0 means the dialect's
	// default, with which a brand may have none.
	RefreshLifetime time.Duration

	// MaxTokens is how many tokens of one account are valid at once. 0 means the
	// dialect's default, a negative number means no limit.
	MaxTokens int

	// RefreshSparesOld leaves the token that a refresh replaces alive until its
	// own end. Yeastar's P-Series does not say whether it stays valid.
	RefreshSparesOld bool

	// RefreshHoldsPlace makes the token that a refresh replaced count against
	// MaxTokens until its own end, dead or alive. Yeastar's P-Series does not
	// say whether its place is free.
	RefreshHoldsPlace bool

	// Under is the path below which a gateway serves the PBX, as in "/api/pbx-7".
	// The gateway responds to all else with HTTP 404. The log has the whole path.
	Under string

	// Respond, where set, responds to the application's own requests with a good
	// token. nil means the brand's response: a list where the vendor documents
	// one, else that to an unknown request. It is used by many goroutines at once.
	Respond func(*Request) *Reply

	// NewToken, where set, makes the tokens, refresh tokens among them, instead of
	// the dialect: a canary to look for, a seeded sequence, the value in a
	// vendor's sample. It must not return a value twice.
	NewToken func() string
}

// A Dialect is the wire format of one brand. It reads a request, asks the
// [Accounts] what becomes of it, and puts the verdict into the brand's words. A
// Dialect is used by many goroutines at once.
type Dialect interface {
	// Name is the brand's name as the client driver has it, "yeastar".
	Name() string

	// Defaults are the numbers that the vendor documents.
	Defaults() Defaults

	// NewToken returns a fresh token in the brand's form.
	NewToken() string

	// Action returns what r asks for, without judging whether it is well-formed.
	// It must not use the PBX: faults are chosen by its result.
	Action(r *Request) Action

	// Serve responds to r.
	Serve(a *Accounts, r *Request) Reply
}

// Defaults are a brand's documented numbers.
type Defaults struct {
	Lifetime        time.Duration // of a token; must be set
	Sliding         bool          // every accepted request starts Lifetime anew
	Lockout         Lockout       // zero fields: what [Lockout] says; without After the brand does not lock
	RefreshLifetime time.Duration // of a refresh token; 0: a login brings none
	MaxTokens       int           // of one account at once; 0: no limit

	// Sweep is how often the PBX forgets expired tokens, at multiples of it. Until
	// then they count against MaxTokens. 0: they do not.
	Sweep time.Duration
}

// An Action is what a request asks of the PBX.
//
// A request that is part of a login and carries no proof of the password, such as one
// for a challenge, is no Login: give it an Action of the dialect's own.
type Action string

const (
	Login     Action = "login"
	KeepAlive Action = "keepalive"
	Logout    Action = "logout"
	// AppRequest is a request of the application's: anything else that the API
	// serves or refuses.
	AppRequest Action = "request"
	Web        Action = "web" // what is not the API's: the web interface
)

// A Request is an HTTP request whose body has been read.
type Request struct {
	*http.Request
	Body   []byte
	From   string // IP address of the client
	Action Action // what the dialect made of it

	judgement *judgement
}

// A Reply is what a dialect responds with.
type Reply struct {
	Status int // 0 means 200
	Header http.Header
	Body   []byte
	Hang   bool // say nothing at all, as a firewall does

	reset bool // the connection
}

// A PBX is a simulated telephone system: accounts, tokens, a lockout, and an
// HTTP API in the words of its dialect. It is an [http.Handler]; see [Listen]
// and [ListenMemory]. Its clock is [time.Now], and it runs no goroutine: what
// has expired is found out when someone asks.
//
// All methods are safe for concurrent use.
type PBX struct {
	dialect  Dialect
	opts     Options // with the dialect's defaults filled in
	sliding  bool
	swept    time.Duration // Defaults.Sweep
	newToken func() string

	mu       sync.Mutex // guards all below
	accounts map[string]*account
	tokens   map[string]*Token // live, and the expired of the last day
	refresh  map[string]*Token // by refresh token, as long as that can be used
	sweepAt  int               // size of tokens at which to look for older ones
	keys     map[string]bool
	grants   map[string]grantKey // by refresh token
	gone     map[string]string   // whose the tokens were that are no more
	lockouts *lockouts
	locks    []Lock
	faults   []Fault
	outage   Outage
	servers  []*Server
	counts   Counts
	countsOf map[string]*Counts // by user name
	log      []*Record
	oldest   int // index in log, once that is full
}

// New returns a PBX that speaks d.
func New(d Dialect, opts *Options) *PBX {
	var o Options
	if opts != nil {
		o = *opts
	}
	def := d.Defaults()
	if o.Lifetime == 0 {
		o.Lifetime = def.Lifetime
	}
	if o.Lifetime <= 0 {
		panic("pbxsim: dialect " + d.Name() + " gives tokens no life")
	}
	rules := o.Lockout.or(def.Lockout).or(lockoutDefaults)
	if wrong := rules.check(); wrong != "" {
		panic("pbxsim: " + wrong)
	}
	if o.RefreshLifetime == 0 {
		o.RefreshLifetime = def.RefreshLifetime
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = def.MaxTokens
	}
	p := &PBX{
		dialect:  d,
		opts:     o,
		sliding:  def.Sliding,
		swept:    def.Sweep,
		newToken: d.NewToken,
		accounts: make(map[string]*account),
		tokens:   make(map[string]*Token),
		refresh:  make(map[string]*Token),
		sweepAt:  1000,
		keys:     make(map[string]bool),
		grants:   make(map[string]grantKey),
		gone:     make(map[string]string),
		lockouts: newLockouts(rules),
		countsOf: make(map[string]*Counts),
	}
	if o.NewToken != nil {
		p.newToken = o.NewToken
	}
	for user, password := range o.Accounts {
		p.accounts[user] = newAccount(password)
	}
	return p
}

// Dialect returns the dialect that p speaks.
func (p *PBX) Dialect() Dialect { return p.dialect }

const maxBody = 1 << 20 // bytes of a request that are read

// ServeHTTP responds to r as the outage says, the next fault, or the dialect. A
// lost response is a panic with [http.ErrAbortHandler], which an [http.Server]
// takes for what it is.
func (p *PBX) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "pbxsim: reading the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	req := &Request{Request: r, Body: body, From: addressOf(r), Action: Web}
	whole := r.URL.Path
	ours := true
	if under := strings.TrimSuffix(p.opts.Under, "/"); under != "" {
		if ours = strings.HasPrefix(whole, under+"/"); ours {
			r.URL.Path, r.URL.RawPath = whole[len(under):], ""
		}
	}
	if ours {
		req.Action = p.dialect.Action(req)
	}
	rec, fault := p.arrive(req, whole)

	var reply Reply
	switch {
	case !ours:
		reply = webPage(http.StatusNotFound)
	case fault.scripted():
		reply = Reply{Status: fault.Status, Body: fault.Body}
	case fault.processes():
		pause(fault.Late, closing(r))
		reply = p.serve(req)
	}

	gone := r.Context().Done() // the client hung up, or the server closes
	if reply.Hang || fault.Hang {
		<-gone
		panic(http.ErrAbortHandler)
	}
	pause(fault.Delay, gone)
	switch {
	case fault.Reset || reply.reset:
		reset(w)
	case fault.Drop != 0:
		panic(http.ErrAbortHandler)
	}
	p.answer(w, req, rec, reply, fault)
}

// serve lets the dialect respond to r, unless a lock does.
func (p *PBX) serve(r *Request) Reply {
	response, barred := p.barred(r)
	var reply Reply
	if !barred {
		reply = p.dialect.Serve(&Accounts{p, r}, r)
		response = r.judgement.response
	}
	switch response {
	case Mute:
		return Reply{Hang: true}
	case ResetConnection:
		return Reply{reset: true}
	}
	return reply
}

// pause waits, and gives the request up when done is closed first.
func pause(d time.Duration, done <-chan struct{}) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
		panic(http.ErrAbortHandler)
	}
}

// answer sends reply, with fault's changes to it, and logs what it sends.
func (p *PBX) answer(w http.ResponseWriter, r *Request, rec *Record, reply Reply, fault Fault) {
	if reply.Status == 0 {
		reply.Status = http.StatusOK
	}
	if reply.Header = reply.Header.Clone(); reply.Header == nil {
		reply.Header = http.Header{}
	}
	for name, values := range fault.Header {
		reply.Header[http.CanonicalHeaderKey(name)] = values
	}
	if fault.Edit != nil {
		fault.Edit(r, &reply)
	}
	if fault.Gzip && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		reply.Body = compress(reply.Body)
		reply.Header.Set("Content-Encoding", "gzip")
	}
	length := int64(len(reply.Body)) + int64(fault.LengthOff)
	if fault.Huge > 0 {
		length = fault.Huge
	}
	if fault.Truncate {
		reply.Body = reply.Body[:len(reply.Body)/2]
	}
	p.mu.Lock()
	rec.Status, rec.Reply = reply.Status, reply.Body
	p.mu.Unlock()

	reply.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	if fault.byHand() {
		sendByHand(w, r.Request, reply, fault)
		return
	}
	header := w.Header()
	for name, values := range reply.Header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(reply.Status)
	if fault.Huge > 0 {
		stream(w, fault.Huge)
		return
	}
	w.Write(reply.Body) // an error means that the client is gone
	if fault.Truncate {
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// addressOf returns the IP address that r came from.
func addressOf(r *http.Request) string {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return ip
}
