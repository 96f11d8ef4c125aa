package main

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// makers makes a simulated PBX of each brand.
var makers = map[string]func(*pbxsim.Options) *pbxsim.PBX{
	"asterisk":    asterisksim.New,
	"grandstream": grandstreamsim.New,
	"openvox":     openvoxsim.New,
	"runtel":      runtelsim.New,
	"yeastar":     yeastarsim.New,
	"yeastar-p":   yeastarpsim.New,
}

// simUser is the account of every simulated PBX.
const simUser = "crm"

// simulators are the simulated PBXs of this process. Each has a loopback address
// of its own, because PBXs of one address share a lockout budget.
type simulators struct {
	mu   sync.Mutex            // guards what follows
	all  map[string]*simulator // by host and port
	next netip.Addr            // of the next simulator
}

// newSimulators makes none. first is the loopback address of the first one.
func newSimulators(first string) *simulators {
	return &simulators{next: netip.MustParseAddr(first), all: map[string]*simulator{}}
}

// simulator is one simulated PBX, and what goes wrong with it.
type simulator struct {
	driver   string
	pbx      *pbxsim.PBX
	password string // of simUser, when it was made
	URL      string
	listen   string
	cert     *tls.Certificate // nil: plain http

	mu      sync.Mutex // guards what follows
	server  *http.Server
	away    bool
	broken  bool // something in front responds 502
	slow    bool
	changed bool // the password is another one
	newPass string
}

// slowness is how much later a slow simulator responds.
const slowness = 3 * time.Second

// add starts a simulated PBX with a loopback address of its own.
func (s *simulators) add(driver string, secure bool, opts pbxsim.Options) (*simulator, error) {
	make, ok := makers[driver]
	if !ok {
		return nil, fmt.Errorf("there is no simulator of the brand %q", driver)
	}
	sim := &simulator{driver: driver, password: rand.Text()}
	opts.Accounts = map[string]string{simUser: sim.password}
	sim.pbx = make(&opts)
	scheme := "http"
	if secure {
		sim.cert, scheme = selfSigned(), "https"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.next, 8088).String())
	if err != nil { // not Linux, or the port is taken
		if l, err = net.Listen("tcp", netip.AddrPortFrom(s.next, 0).String()); err != nil {
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, err
			}
		}
	}
	s.next = s.next.Next()
	sim.listen = l.Addr().String()
	sim.URL = scheme + "://" + sim.listen
	sim.serve(l)
	s.all[sim.listen] = sim
	return sim, nil
}

// at finds the simulator of an address.
func (s *simulators) at(host string) *simulator {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[host]
}

func (s *simulators) list() []*simulator {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.all))
}

func (s *simulators) close() {
	for _, sim := range s.list() {
		sim.hangUp()
	}
}

// settings are those that reach it.
func (sim *simulator) settings(name string) Settings {
	s := Settings{
		Name: name, Driver: sim.driver, URL: sim.URL, Username: simUser, Password: pbx.NewSecret(sim.password),
		SecretsSet: time.Now(),
	}
	if sim.cert != nil {
		s.Pin, s.PinSet = pbx.Pin(sim.cert.Leaf), time.Now()
	}
	return s
}

// announce is a line for the terminal, with the password that the PBX has now.
func (sim *simulator) announce() string {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	return fmt.Sprintf("simulated PBX at %s: user %s, password %s", sim.URL, simUser, cmp.Or(sim.newPass, sim.password))
}

func (sim *simulator) serve(l net.Listener) {
	if sim.cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*sim.cert}})
	}
	server := &http.Server{Handler: sim, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	sim.mu.Lock()
	sim.server = server
	sim.mu.Unlock()
	go server.Serve(l) // until hangUp
}

func (sim *simulator) hangUp() {
	sim.mu.Lock()
	server := sim.server
	sim.server = nil
	sim.mu.Unlock()
	if server != nil {
		server.Close()
	}
}

// ServeHTTP is the simulated PBX, or what stands in front of it.
func (sim *simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sim.mu.Lock()
	broken, slow := sim.broken, sim.slow
	sim.mu.Unlock()
	if slow {
		timer := time.NewTimer(slowness)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	if broken {
		http.Error(w, "<html><body>502 Bad Gateway</body></html>", http.StatusBadGateway)
		return
	}
	sim.pbx.ServeHTTP(w, r)
}

// mischief is a way to make a simulated PBX misbehave.
type mischief struct {
	Name   string // in URLs
	Label  string
	Toggle bool
	On     bool // of a toggle, now
	act    func(sim *simulator, on bool) error
}

var mischiefs = []mischief{
	{Name: "restart", Label: "Restart", act: func(sim *simulator, _ bool) error { sim.pbx.Restart(); return nil }},
	{Name: "password", Label: "Change password", Toggle: true, act: (*simulator).changePassword},
	{Name: "lock", Label: "Lock our address", Toggle: true, act: func(sim *simulator, on bool) error {
		if on {
			sim.pbx.Lock("127.0.0.1")
		} else {
			sim.pbx.Unlock("127.0.0.1")
		}
		return nil
	}},
	{Name: "away", Label: "Go away", Toggle: true, act: (*simulator).goAway},
	{Name: "502", Label: "Respond 502", Toggle: true, act: func(sim *simulator, on bool) error {
		sim.mu.Lock()
		defer sim.mu.Unlock()
		sim.broken = on
		return nil
	}},
	{Name: "slow", Label: "Respond slowly", Toggle: true, act: func(sim *simulator, on bool) error {
		sim.mu.Lock()
		defer sim.mu.Unlock()
		sim.slow = on
		return nil
	}},
}

// mischiefs returns the buttons with what is on now.
func (sim *simulator) mischiefs() []mischief {
	_, locked := sim.pbx.Locked("127.0.0.1")
	sim.mu.Lock()
	defer sim.mu.Unlock()
	on := map[string]bool{"password": sim.changed, "lock": locked, "away": sim.away, "502": sim.broken, "slow": sim.slow}
	all := slices.Clone(mischiefs)
	for i := range all {
		all[i].On = on[all[i].Name]
	}
	return all
}

// misbehave presses the button of that name and returns what was pressed.
func (sim *simulator) misbehave(name string) (string, error) {
	for _, m := range sim.mischiefs() {
		if m.Name == name {
			label := m.Label
			if m.Toggle {
				label += map[bool]string{true: " on", false: " off"}[!m.On]
			}
			return label, m.act(sim, !m.On)
		}
	}
	return "", errors.New("a simulated PBX cannot do that")
}

func (sim *simulator) changePassword(on bool) error {
	password := sim.password
	if on {
		password = rand.Text()
	}
	sim.pbx.SetPassword(simUser, password)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.changed, sim.newPass = on, password
	return nil
}

func (sim *simulator) goAway(on bool) error {
	if on {
		sim.hangUp()
	} else {
		l, err := net.Listen("tcp", sim.listen)
		if err != nil {
			return err
		}
		sim.serve(l)
	}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.away = on
	return nil
}

// selfSigned makes a certificate as PBXs come with.
func selfSigned() *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the system has no random numbers
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "PBX"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
