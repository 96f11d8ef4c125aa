package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base32"
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
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// simUser is the account of every simulated PBX.
const simUser = "crm"

// simulated are the simulated PBXs of this process. Each has a loopback address
// of its own, because PBXs of one address share a lockout budget.
type simulated struct {
	key masterKey // from which their passwords and certificates are made, so that a restart changes neither

	mu   sync.Mutex            // guards what follows
	all  map[string]*simulator // by host and port
	next netip.Addr            // of the next simulator
}

// newSimulated makes none. first is the loopback address of the first one.
func newSimulated(first string, key masterKey) *simulated {
	return &simulated{key: key, next: netip.MustParseAddr(first), all: map[string]*simulator{}}
}

// simulator is one simulated PBX, and what goes wrong with it.
type simulator struct {
	driver   string
	options  map[string]string // of the driver
	pbx      *pbxsim.PBX
	password string // of simUser, when it was made
	URL      string
	listen   string
	cert     *tls.Certificate // nil: plain http

	mu     sync.Mutex // guards what follows
	server *http.Server
	on     map[string]bool // what was pressed, by its name
	now    string          // the password now
}

// slowness is how much later a slow simulator responds.
const slowness = 3 * time.Second

// add starts a simulated PBX with a loopback address of its own.
func (s *simulated) add(driver string, secure bool, opts pbxsim.Options) (*simulator, error) {
	of := simulators.Of(driver)
	if len(of) == 0 {
		return nil, fmt.Errorf("there is no simulator of the brand %q", driver)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	secret := s.key.derive("simulator " + s.next.String())
	sim := &simulator{driver: driver, options: of[0].Options, password: base32.StdEncoding.EncodeToString(secret)[:26], on: map[string]bool{}}
	sim.now = sim.password
	opts.Accounts = map[string]string{simUser: sim.password}
	sim.pbx = of[0].New(&opts)
	scheme := "http"
	if secure {
		sim.cert, scheme = selfSigned(secret), "https"
	}
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
func (s *simulated) at(host string) *simulator {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[host]
}

func (s *simulated) list() []*simulator {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.all))
}

func (s *simulated) close() {
	for _, sim := range s.list() {
		sim.hangUp()
	}
}

// settings are those that reach it.
func (sim *simulator) settings(name string) Settings {
	s := Settings{
		Name: name, Driver: sim.driver, URL: sim.URL, Username: simUser, Password: pbx.NewSecret(sim.password),
		Options: maps.Clone(sim.options), SecretsSet: time.Now(),
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
	return fmt.Sprintf("simulated PBX at %s: user %s, password %s", sim.URL, simUser, sim.now)
}

func (sim *simulator) serve(l net.Listener) {
	if sim.cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*sim.cert}})
	}
	server := &http.Server{Handler: sim.pbx, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
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
	{Name: "lock", Label: "Lock our address", Toggle: true, act: (*simulator).lock},
	{Name: "away", Label: "Go away", Toggle: true, act: (*simulator).goAway},
	{Name: "502", Label: "Respond 502", Toggle: true, act: (*simulator).respond502},
	{Name: "slow", Label: "Respond slowly", Toggle: true, act: (*simulator).respondSlowly},
}

// ourAddress is what a simulated PBX sees us come from.
const ourAddress = "127.0.0.1"

// mischiefs returns the buttons with what is on now.
func (sim *simulator) mischiefs() []mischief {
	_, locked := sim.pbx.Locked(ourAddress)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	all := slices.Clone(mischiefs)
	for i := range all {
		all[i].On = sim.on[all[i].Name]
		if all[i].Name == "lock" {
			all[i].On = locked // also by wrong logins, and no longer than the lock lasts
		}
	}
	return all
}

// misbehave presses the button of that name and returns what was pressed.
func (sim *simulator) misbehave(name string) (string, error) {
	for _, m := range sim.mischiefs() {
		if m.Name != name {
			continue
		}
		if err := m.act(sim, !m.On); err != nil {
			return "", err
		}
		sim.mu.Lock()
		defer sim.mu.Unlock()
		sim.on[name] = m.Toggle && !m.On
		if !m.Toggle {
			return m.Label, nil
		}
		return m.Label + map[bool]string{true: " off", false: " on"}[m.On], nil
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
	sim.now = password
	return nil
}

func (sim *simulator) lock(on bool) error {
	if on {
		sim.pbx.Lock(ourAddress)
	} else {
		sim.pbx.Unlock(ourAddress)
	}
	return nil
}

func (sim *simulator) goAway(on bool) error {
	if on {
		sim.hangUp()
		return nil
	}
	l, err := net.Listen("tcp", sim.listen)
	if err == nil {
		sim.serve(l)
	}
	return err
}

func (sim *simulator) respond502(on bool) error {
	if on {
		sim.pbx.Down(pbxsim.BadGateway)
	} else {
		sim.pbx.Up()
	}
	return nil
}

func (sim *simulator) respondSlowly(on bool) error {
	sim.pbx.ClearFaults()
	if on {
		sim.pbx.Fault(pbxsim.Fault{Times: -1, Delay: slowness})
	}
	return nil
}

// selfSigned makes a certificate as PBXs come with. The same seed makes the same
// key.
func selfSigned(seed []byte) *tls.Certificate {
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "PBX"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err) // the template is ours
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
