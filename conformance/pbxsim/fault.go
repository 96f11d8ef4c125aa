package pbxsim

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// A Fault is something that goes wrong with a request. Faults wait in a queue;
// a request takes the first one that is meant for its action.
//
// With Status, Body, Huge or Raw set, that is the response, and the request never
// reaches the accounts: no token, no wrong login counted. All other faults but
// DropBefore and a plain Hang happen to a request that has been processed: a
// login whose response is delayed, cut or lost has taken effect.
type Fault struct {
	On    Action // "" means any
	Times int    // requests it happens to: 0 means one, a negative number all until ClearFaults

	Status int         // 0 means 200, if Body or Huge is set; 101 switches to a protocol in which nothing is said
	Header http.Header // set on the response, also on a true one; nil values remove, even Date
	Body   []byte      // nil with a Status is an empty response; see HTMLPage
	Huge   int64       // a body of so many bytes of white space, streamed
	Raw    []byte      // sent instead of an HTTP response, before the connection is closed

	// What else is done to the response, also to a true one.
	Edit        func(*Request, *Reply) // changes it; see [WithBOM] and others
	Gzip        bool                   // compress the body, if the request accepts that
	LengthOff   int                    // announce so many bytes more (or fewer) than the body has, send it all, and close
	HeaderBytes int64                  // add a header of so many bytes, streamed

	Late     time.Duration // judge the request so much later, also if the client has gone meanwhile
	Delay    time.Duration // respond so much later
	Truncate bool          // announce all of the body, send half of it, and close
	Double   DoubleMode    // send the response twice
	Drop     DropMode      // close the connection without a response
	Reset    bool          // together with Drop, reset the connection instead of closing it
	Hang     bool          // never respond; together with DropAfter, the request is processed first
}

// DropMode says when a connection is closed without a response.
type DropMode int

const (
	DropBefore DropMode = iota + 1 // before the request is processed
	DropAfter                      // when it is done
)

// DoubleMode says when a response is sent a second time. After that, the
// connection serves no further request.
type DoubleMode int

const (
	DoubleAtOnce DoubleMode = iota + 1 // right behind the first
	DoubleOnNext                       // when the connection's next request arrives, instead of its response
)

// HTMLPage is a page as web interfaces and proxies send it instead of JSON,
// for use as the Body of a [Fault].
const HTMLPage = `<!DOCTYPE html>
<html><head><title>Login</title></head>
<body><h1>Welcome</h1><form method="post" action="/login"></form></body></html>
`

// Fault puts f at the end of the queue.
func (p *PBX) Fault(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
}

// ClearFaults empties the queue. Requests that a fault has already hit are not
// released from it.
func (p *PBX) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// nextFault takes the fault for one request from the queue; the zero Fault
// changes nothing. p.mu is held.
func (p *PBX) nextFault(a Action) Fault {
	if f, down := p.outage.fault(a); down {
		p.counts.Faults++
		return f
	}
	for i, f := range p.faults {
		if f.On != "" && f.On != a {
			continue
		}
		p.counts.Faults++
		if f.Times > 0 {
			p.faults[i].Times--
		}
		if f.Times == 1 {
			p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
		}
		return f
	}
	return Fault{}
}

// scripted reports whether f brings its own response.
func (f Fault) scripted() bool {
	return f.Status != 0 || f.Body != nil || f.Huge > 0 || f.Raw != nil
}

// byHand reports whether a response is one that no [http.ResponseWriter] sends.
func (f Fault) byHand() bool {
	return f.Raw != nil || f.Double != 0 || f.LengthOff != 0 || f.HeaderBytes > 0 || f.Status == http.StatusSwitchingProtocols
}

// processes reports whether the request that f happens to is processed.
func (f Fault) processes() bool {
	return f.Drop == DropAfter || f.Drop == 0 && !f.Hang
}

var filler = bytes.Repeat([]byte(" "), 32<<10)

// stream writes n bytes of filler, or as many as the client cares to read.
func stream(w io.Writer, n int64) {
	for n > 0 {
		chunk := filler[:min(n, int64(len(filler)))]
		if _, err := w.Write(chunk); err != nil {
			return
		}
		n -= int64(len(chunk))
	}
}
