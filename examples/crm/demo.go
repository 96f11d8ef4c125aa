package main

import (
	"context"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// fill starts the simulated PBXs, and puts them into settings that are empty: a
// fleet in which some PBXs need a person.
func fill(ctx context.Context, db *database, sims *simulated) error {
	saved, err := db.all(ctx)
	if err != nil {
		return err
	}
	for _, c := range customers {
		sim, err := sims.add(c.driver, c.secure, pbxsim.Options{Lifetime: c.lifetime})
		if err != nil {
			return err
		}
		if len(saved) > 0 {
			continue
		}
		s := sim.settings(c.name)
		if c.change != nil {
			c.change(&s, sim)
		}
		if _, err := db.save(ctx, s); err != nil {
			return err
		}
		if c.neighbour != "" {
			s.ID, s.Name = 0, c.neighbour
			s.Password = pbx.NewSecret("not the password")
			if _, err := db.save(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// customers are those of the demo.
var customers = []struct {
	name, driver string
	secure       bool
	lifetime     time.Duration // of tokens; 0: the brand's own
	neighbour    string        // another customer at the same host, with a wrong password
	change       func(*Settings, *simulator)
}{
	{name: "Harbour Dental", driver: "yeastar-p", secure: true, lifetime: 6 * time.Minute},
	{name: "Northwind Sales", driver: "yeastar", neighbour: "Northwind Support"},
	{name: "Lumen Travel", driver: "runtel"},
	{name: "Oakfield School", driver: "openvox"},
	{name: "Quarry Hill Hotel", driver: "asterisk"},
	{name: "Solstice Energy", driver: "grandstream", secure: true},
	{name: "Kestrel Insurance", driver: "grandstream", change: func(_ *Settings, sim *simulator) { sim.misbehave("lock") }},
	{name: "Petrel Marine", driver: "openvox", change: func(_ *Settings, sim *simulator) { sim.misbehave("502") }},
	{name: "Tamarind Foods", driver: "yeastar-p", secure: true, change: func(s *Settings, _ *simulator) { s.Pin = pbx.Pin(selfSigned(make([]byte, 32)).Leaf) }},
	{name: "Umber & Sons", driver: "runtel", change: func(s *Settings, _ *simulator) { s.Disconnected = time.Now().AddDate(0, 0, -21) }},
}
