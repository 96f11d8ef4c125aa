package wire

import (
	"container/list"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/pbxauth/pbx"
)

// maxIdle is how many idle connections all Clients hold together, over all TLS
// profiles, and maxIdleShared and maxIdleSingle how many of one profile are among
// them. Most PBXs close theirs anyway.
const (
	maxIdle       = 256
	maxIdleShared = 64 // of a profile that many PBXs have
	maxIdleSingle = 2  // of a profile that is one PBX's
)

// maxPoll is how long an application's request may wait for its response at most:
// one that waits for events, as Asterisk's WaitEvent, has a long deadline of its own.
// A driver's request and one of a session have a deadline in any case.
const maxPoll = time.Hour

// sender sends for all Clients that have the same way of trusting certificates.
// As a RoundTripper it sends an application's requests and keeps the
// connections.
type sender struct {
	custom http.RoundTripper // from the settings; nil: of this package
	kept   *kept
}

// kept is the part of a sender that may hold idle connections: a transport, from
// when the application's first request needs it.
type kept struct {
	profile   profile
	sessions  sessions
	transport *http.Transport // guarded by idle; nil: none
	place     *list.Element   // in idle
}

// idle holds the transports that may have idle connections, the one used last at
// the front. What does not fit into maxIdle is closed.
var idle = struct {
	sync.Mutex
	order list.List // of *kept
	sum   int       // of the connections that they may hold
}{}

// senders holds one per profile for as long as a Client uses it.
var senders struct {
	sync.Mutex
	byProfile map[profile]weak.Pointer[sender]
}

// shared returns the sender for these settings.
func shared(settings pbx.TLS) (*sender, error) {
	p, err := profileOf(settings)
	if err != nil {
		return nil, err
	}
	senders.Lock()
	defer senders.Unlock()
	if known := senders.byProfile[p].Value(); known != nil {
		return known, nil
	}
	added := &sender{kept: &kept{profile: p, sessions: sessions{senderCount.Add(1)}}}
	if senders.byProfile == nil {
		senders.byProfile = map[profile]weak.Pointer[sender]{}
	}
	made := weak.Make(added)
	senders.byProfile[p] = made
	runtime.AddCleanup(added, func(k *kept) {
		k.close()
		senders.Lock()
		defer senders.Unlock()
		if senders.byProfile[k.profile] == made {
			delete(senders.byProfile, k.profile)
		}
	}, added.kept)
	return added, nil
}

// RoundTrip sends a request of the application.
func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.kept.use().RoundTrip(r)
}

// use returns the transport, and closes idle connections of others if there are
// too many.
func (k *kept) use() *http.Transport {
	idle.Lock()
	var released []*http.Transport
	defer func() {
		idle.Unlock()
		for _, transport := range released {
			transport.CloseIdleConnections()
		}
	}()
	if k.place != nil {
		idle.order.MoveToFront(k.place)
		return k.transport
	}
	k.transport = newTransport(k.profile, k.sessions)
	k.place = idle.order.PushFront(k)
	idle.sum += k.transport.MaxIdleConns
	for idle.sum > maxIdle {
		released = append(released, idle.order.Back().Value.(*kept).leave())
	}
	return k.transport
}

// leave takes k out of idle, which is locked, and returns its transport. Once its
// idle connections are closed, those that become idle later are closed too.
func (k *kept) leave() *http.Transport {
	transport := k.transport
	idle.order.Remove(k.place)
	idle.sum -= transport.MaxIdleConns
	k.transport, k.place = nil, nil
	return transport
}

// close closes the idle connections for good.
func (k *kept) close() {
	idle.Lock()
	var transport *http.Transport
	if k.place != nil {
		transport = k.leave()
	}
	idle.Unlock()
	if transport != nil {
		transport.CloseIdleConnections()
	}
}

// once returns a RoundTripper for one request of a driver. It keeps no
// connection, and uses none that the application's requests left.
func (s *sender) once() http.RoundTripper {
	if s.custom != nil {
		return s.custom
	}
	transport := newTransport(s.kept.profile, s.kept.sessions)
	transport.DisableKeepAlives = true
	return transport
}

func newTransport(p profile, known tls.ClientSessionCache) *http.Transport {
	most := maxIdleShared
	if p.single() {
		most = maxIdleSingle
	}
	return &http.Transport{
		Proxy:                  p.proxy,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConns:           most,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  maxPoll,
		MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig:        p.config(known),
	}
}

// proxy is that of the environment. net/http checks the certificate of an https proxy by
// the settings for the PBX, so that one who accepts any would get the proxy's password.
func (p profile) proxy(r *http.Request) (*url.URL, error) {
	through, err := http.ProxyFromEnvironment(r)
	if through != nil && through.Scheme == "https" && (p.insecure || p.single()) {
		return nil, errors.New(httpsProxy)
	}
	return through, err
}

// proxy returns the host of the proxy through which a request to target goes; ""
// if there is none. It leaves out the proxy's user name and password.
func (s *sender) proxy(target string) string {
	find := http.ProxyFromEnvironment
	if s.custom != nil {
		transport, ok := s.custom.(*http.Transport)
		if !ok || transport.Proxy == nil {
			return ""
		}
		find = transport.Proxy
	}
	u, err := url.Parse(target)
	if err != nil {
		return ""
	}
	if through, err := find(&http.Request{URL: u, Header: http.Header{}}); err == nil && through != nil {
		return through.Host
	}
	return ""
}

// allSessions holds the TLS sessions of all profiles, which save the better part of
// a handshake to a PBX that knows them.
var allSessions = tls.NewLRUClientSessionCache(maxIdle)

// sessions are those of one sender: a session that one way of trusting
// certificates has accepted is worth nothing to another.
type sessions struct{ of uint64 }

// senderCount numbers the senders of this process.
var senderCount atomic.Uint64

func (s sessions) Get(key string) (*tls.ClientSessionState, bool) { return allSessions.Get(s.key(key)) }

func (s sessions) Put(key string, state *tls.ClientSessionState) { allSessions.Put(s.key(key), state) }

func (s sessions) key(key string) string { return strconv.FormatUint(s.of, 10) + " " + key }
