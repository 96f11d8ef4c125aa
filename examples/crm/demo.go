package main

import (
	"context"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// customer is one PBX of the demo, and the accounts at it.
type customer struct {
	driver   string
	secure   bool
	lifetime time.Duration // of tokens; 0: the brand's own
	accounts []demoAccount // connected one after the other
	prepare  func(*simulator)
}

type demoAccount struct {
	name   string
	change func(*Settings) // nil: it works
}

// customers are those of the demo: a fleet in which some PBXs need a person.
var customers = []customer{
	{driver: "yeastar-p", secure: true, lifetime: 6 * time.Minute, accounts: works("Harbour Dental")},
	{driver: "yeastar", accounts: []demoAccount{{name: "Northwind Sales"}, {"Northwind Support", refused("crm-support")}}},
	{driver: "runtel", accounts: works("Lumen Travel")},
	{driver: "3cx", accounts: works("Alder Logistics")},
	{driver: "freepbx", accounts: works("Cobalt Fitness")},
	{driver: "mikopbx", accounts: works("Dovetail Joinery")},
	{driver: "starface", accounts: works("Elbe Werkzeuge")},
	{driver: "uis", accounts: works("Fontanka Books")},
	{driver: "openvox", accounts: works("Oakfield School")},
	{driver: "wazo", accounts: works("Solstice Energy")},
	{driver: "asterisk", accounts: []demoAccount{
		{name: "Quarry Hill Hotel"},
		{"Quarry Hill Spa", refused("crm-spa")},
		{"Quarry Hill Events", refused("crm-events")}, // not sent: one more could lock
	}},
	{driver: "grandstream", secure: true, accounts: works("Bramble Books")},
	{driver: "grandstream", accounts: works("Kestrel Insurance"), prepare: press("lock")},
	{driver: "openvox", accounts: works("Petrel Marine"), prepare: press("502")},
	{driver: "wazo", accounts: works("Riverside Clinic"), prepare: press("slow")},
	{driver: "openvox", lifetime: time.Minute, accounts: []demoAccount{{"Mostovik", func(s *Settings) { s.Options["token_ttl"] = "1m" }}}, prepare: press("slow")},
	{driver: "yeastar-p", secure: true, accounts: []demoAccount{{"Tamarind Foods", func(s *Settings) { s.Pin = pbx.Pin(selfSigned(make([]byte, 32)).Leaf) }}}},
	{driver: "runtel", accounts: []demoAccount{{"Umber & Sons", func(s *Settings) { s.Disconnected = time.Now().AddDate(0, 0, -21) }}}},
}

func works(name string) []demoAccount { return []demoAccount{{name: name}} }

func refused(user string) func(*Settings) {
	return func(s *Settings) { s.Username, s.Password = user, pbx.NewSecret("not the password") }
}

func press(what string) func(*simulator) { return func(sim *simulator) { sim.misbehave(what) } }

// startCustomers starts the simulated PBXs, and returns the settings that reach
// them.
func startCustomers(sims *simulated) ([]Settings, error) {
	var all []Settings
	for _, c := range customers {
		sim, err := sims.add(c.driver, c.secure, pbxsim.Options{Lifetime: c.lifetime})
		if err != nil {
			return nil, err
		}
		if c.prepare != nil {
			c.prepare(sim)
		}
		for _, account := range c.accounts {
			s := sim.settings(account.name)
			if account.change != nil {
				account.change(&s)
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// settling is how long fill waits for the first login of an account before it
// adds another one at the same PBX.
const settling = 3 * time.Second

// fill saves settings one after the other. Those of one PBX wait for each other,
// so that the demo looks the same each time.
func (a *app) fill(ctx context.Context, all []Settings) error {
	for i, s := range all {
		saved, err := a.save(ctx, s)
		if err != nil {
			return err
		}
		if i+1 < len(all) && all[i+1].URL == s.URL {
			a.waitForLogin(ctx, saved)
		}
	}
	return nil
}

// waitForLogin waits until a session is no longer connecting.
func (a *app) waitForLogin(ctx context.Context, s Settings) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for which, status := range a.fleet.Watch(ctx) {
		if which.Name() == s.key() && status.State != session.Connecting {
			return
		}
	}
}
