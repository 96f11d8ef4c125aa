package pbxsim

import "net/http"

// An Outage is a state in which a PBX serves nobody, or not its API, until
// [PBX.Up]. Requests are still logged and counted, except in Refusing, but none
// reaches the accounts.
type Outage int

const (
	Refusing    Outage = iota + 1 // connections are refused, as by a PBX without power
	Resetting                     // connections are accepted, and reset at the first request
	Silent                        // connections are accepted, and nothing is said, as by a PBX that hangs
	BadGateway                    // HTTP 502 from a proxy in front
	Failing                       // HTTP 500 from a PBX that is starting
	Unavailable                   // HTTP 503
	Starting                      // HTTP 404: the web server is up before the API
	APIDown                       // HTTP 502 for the API, while the web interface works

	// What follows is said by something in front of the PBX, which has seen no
	// password of the PBX's.
	AsksForPassword      // HTTP 401 with WWW-Authenticate: Basic
	ProxyAsksForPassword // HTTP 407 with Proxy-Authenticate: Basic
	Forbidden            // HTTP 403 with a web page
	Redirecting          // HTTP 302 to another page, as for maintenance
	Maintaining          // HTTP 200 with a web page, as for maintenance
	NoRoute              // HTTP 404 with JSON, as from a gateway that knows no backend
)

func (o Outage) String() string {
	return [...]string{"none", "refusing", "resetting", "silent", "bad gateway", "failing", "unavailable", "starting", "API down",
		"asks for password", "proxy asks for password", "forbidden", "redirecting", "maintaining", "no route"}[o]
}

// fault returns what o does to a request, if it does anything.
func (o Outage) fault(a Action) (Fault, bool) {
	status := 0
	switch o {
	case 0:
		return Fault{}, false
	case Resetting:
		return Fault{Drop: DropBefore, Reset: true}, true
	case Silent:
		return Fault{Hang: true}, true
	case APIDown:
		if a == Web {
			return Fault{}, false
		}
		status = http.StatusBadGateway
	case BadGateway:
		status = http.StatusBadGateway
	case Failing:
		status = http.StatusInternalServerError
	case Unavailable:
		status = http.StatusServiceUnavailable
	case Starting:
		status = http.StatusNotFound
	case AsksForPassword:
		status = http.StatusUnauthorized
	case ProxyAsksForPassword:
		status = http.StatusProxyAuthRequired
	case Forbidden:
		status = http.StatusForbidden
	case Redirecting:
		status = http.StatusFound
	case Maintaining:
		status = http.StatusOK
	case NoRoute:
		return Fault{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"application/json"}},
			Body: []byte(`{"status":404,"error":"Not Found","message":"no route"}`)}, true
	case Refusing: // a request that came in before the connections were cut
		return Fault{Drop: DropBefore}, true
	}
	page := webPage(status)
	if name := challenges[o]; name != "" {
		page.Header[name] = []string{`Basic realm="Restricted"`}
	}
	if o == Redirecting {
		page.Header["Location"] = []string{"/maintenance.html"}
	}
	return Fault{Status: page.Status, Header: page.Header, Body: page.Body}, true
}

// challenges are the headers of what asks for HTTP authentication.
var challenges = map[Outage]string{AsksForPassword: "Www-Authenticate", ProxyAsksForPassword: "Proxy-Authenticate"}

// webPage is a page as web servers have it for a status.
func webPage(status int) Reply {
	title := http.StatusText(status)
	return Reply{
		Status: status,
		Header: http.Header{"Content-Type": {"text/html"}},
		Body:   []byte("<html>\n<head><title>" + title + "</title></head>\n<body><h1>" + title + "</h1></body>\n</html>\n"),
	}
}

// Fault returns what the outage does to a single request, for [PBX.Fault]. Of
// Refusing, that is a connection that is closed.
func (o Outage) Fault() Fault {
	f, _ := o.fault("")
	return f
}

// Down begins an outage. It ends the one before. Requests that a
// server has accepted go on, except that Refusing cuts all connections. It
// returns when all of its servers are in that state.
func (p *PBX) Down(o Outage) {
	p.mu.Lock()
	before := p.outage
	p.outage = o
	servers := p.servers
	p.mu.Unlock()
	for _, s := range servers {
		switch {
		case o == Refusing:
			s.cut()
		case before == Refusing:
			s.restore()
		}
	}
}

// attach makes s one of p's servers.
func (p *PBX) attach(s *Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers = append(p.servers, s)
}

// Up ends an outage. Tokens, locks and counts are as before; a PBX that has
// restarted has forgotten its tokens, see [PBX.Restart].
func (p *PBX) Up() { p.Down(0) }
