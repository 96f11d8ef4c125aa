package main

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// app is the telephony settings of the CRM: the settings file, the fleet, and
// what the pages show of both.
type app struct {
	db    *database
	fleet *Fleet
	with  sharing
	hub   *hub
	sims  *simulated // nil: none

	mu      sync.Mutex // guards entries and version
	entries map[int64]*entry
	version int64 // of the settings file, as last read

	saving sync.Mutex // held while settings change, so that file and fleet agree; never while pages are drawn
	ended  sync.WaitGroup
	stop   context.CancelFunc
}

// entry is one PBX. app.mu guards its fields; the journal has a lock of its own.
type entry struct {
	settings Settings
	driver   pbx.Driver
	traits   pbx.Traits
	open     bool          // there is a session
	lifetime time.Duration // of its newest token
	loggedIn time.Time     // since when, over renewals; zero: it is not
	said     session.State // the newest one in the journal
	journal  *journal
}

// newApp opens the settings and connects every PBX that is not disconnected.
func newApp(ctx context.Context, db *database, with sharing, sims *simulated) (*app, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &app{db: db, with: with, hub: newHub(), sims: sims, entries: map[int64]*entry{}, stop: cancel}
	a.fleet = NewFleet(with.shared, a.observe)
	if err := a.reload(ctx); err != nil {
		cancel()
		return nil, err
	}
	a.ended.Go(func() { a.watch(ctx) })
	a.ended.Go(func() { a.follow(ctx) })
	return a, nil
}

// close ends all sessions, within ctx: see Fleet.Close.
func (a *app) close(ctx context.Context) error {
	a.stop()
	err := a.fleet.Close(ctx)
	a.ended.Wait()
	a.with.close()
	return errors.Join(err, a.db.close())
}

// watch writes changes of state into the journals and notifies the pages.
func (a *app) watch(ctx context.Context) {
	for s, status := range a.fleet.Watch(ctx) {
		a.mu.Lock()
		e := a.byKey(s.Name())
		var id int64
		var said session.State
		if e != nil {
			id = e.settings.ID
			switch {
			case status.State != session.Live && status.State != session.Renewing:
				e.loggedIn = time.Time{}
			case e.loggedIn.IsZero():
				e.loggedIn = status.Since
			}
			if said = e.said; !routine(status, said) {
				e.said = status.State
			}
		}
		a.mu.Unlock()
		if e == nil {
			continue // of a connection test
		}
		r := a.row(e, time.Now())
		result := r.Fact
		switch {
		case result != "":
		case status.State == session.Live && a.brought(status):
			result = "The session has a token."
		case status.State == session.Live:
			by := processOf(status)
			e.journal.add(event{At: status.Since, Kind: adopted, Label: "Token of " + by, Result: "Process " + by + " logs in, and this one uses its token.", Expires: status.ExpiresAt})
			result = "The session has a token."
		default:
			result = r.expand(time.Now())
		}
		a.hub.changed(id)
		if routine(status, said) {
			continue
		}
		e.journal.add(event{At: status.Since, Kind: stateChanged, Label: r.State, Result: result, State: status.State, Group: r.Group, Failed: r.Group == needsYou})
	}
}

// routine reports whether a state needs no line of its own in the story, after the
// last one that has one: a renewal that works is shown by its keep-alive.
func routine(status session.Status, said session.State) bool {
	return said == session.Live && (status.State == session.Live || status.State == session.Renewing && status.Err == nil)
}

// brought reports whether this process brought the session's token.
func (a *app) brought(status session.Status) bool {
	return status.Process == "" || processOf(status) == a.with.process
}

// follow takes over what another process changes in the settings file.
func (a *app) follow(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		version, err := a.db.version(ctx)
		a.mu.Lock()
		same := version == a.version
		a.mu.Unlock()
		if err == nil && !same {
			a.reload(ctx) // tried again at the next tick: version stays behind
		}
	}
}

// reload makes entries and sessions agree with the settings file.
func (a *app) reload(ctx context.Context) error {
	a.saving.Lock()
	defer a.saving.Unlock()
	version, err := a.db.version(ctx)
	if err != nil {
		return err
	}
	all, err := a.db.all(ctx)
	if err != nil {
		return err
	}
	ids := map[int64]bool{}
	for _, s := range all {
		ids[s.ID] = true
		a.mu.Lock()
		e := a.entries[s.ID]
		known := e != nil && e.settings.Rev == s.Rev && e.settings.Damaged == s.Damaged
		a.mu.Unlock()
		if !known {
			a.apply(ctx, s)
		}
	}
	for _, id := range a.ids() {
		if !ids[id] {
			a.drop(ctx, id)
		}
	}
	a.mu.Lock()
	a.version = version
	a.mu.Unlock()
	return nil
}

// apply takes saved settings over: new, changed, connected or disconnected. The
// settings' error stands in the row. a.saving is held.
func (a *app) apply(ctx context.Context, s Settings) {
	driver, _ := pbx.Lookup(s.Driver)
	a.mu.Lock()
	e := a.entries[s.ID]
	if e == nil {
		e = &entry{journal: &journal{}}
		a.entries[s.ID] = e
	}
	stays := e.open && s.connectsLike(e.settings) && a.fleet.Status(s.key()).State != session.Closed // another process may have ended it
	e.settings, e.driver = s, driver
	a.mu.Unlock()
	var err error
	open := s.Disconnected.IsZero() && !s.Damaged
	if open && stays {
		a.hub.changed(s.ID) // its name, perhaps
		return
	}
	if open {
		err = a.fleet.Connect(ctx, s.key(), s.Driver, s.config())
	} else {
		err = a.disconnect(ctx, s.key())
	}
	a.mu.Lock()
	e.open = open && err == nil
	a.mu.Unlock()
	a.hub.changed(s.ID)
}

// drop forgets a PBX. a.saving is held.
func (a *app) drop(ctx context.Context, id int64) {
	a.mu.Lock()
	e := a.entries[id]
	delete(a.entries, id)
	key := ""
	if e != nil {
		key = e.settings.key()
	}
	a.mu.Unlock()
	if e != nil {
		a.disconnect(ctx, key)
	}
	a.hub.changed(id)
}

// disconnect logs a session out. If its PBX hangs, the token expires by itself: other
// PBXs are not to wait for that. a.saving is held.
func (a *app) disconnect(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	return a.fleet.Disconnect(ctx, key)
}

// save writes settings to the file and takes them over.
func (a *app) save(ctx context.Context, s Settings) (Settings, error) {
	ctx = context.WithoutCancel(ctx) // saved is saved, also when the browser has gone
	a.saving.Lock()
	defer a.saving.Unlock()
	if _, now, ok := a.entry(s.ID); ok && now.Damaged {
		return s, errDamaged
	}
	s, err := a.db.save(ctx, s)
	if err != nil {
		return s, err
	}
	a.apply(ctx, s)
	return s, nil
}

func (a *app) remove(ctx context.Context, id int64) error {
	ctx = context.WithoutCancel(ctx)
	a.saving.Lock()
	defer a.saving.Unlock()
	if err := a.db.remove(ctx, id); err != nil {
		return err
	}
	a.drop(ctx, id)
	return nil
}

// observe gets every driver that the fleet opens.
func (a *app) observe(key string, auth pbx.Authenticator) pbx.Authenticator {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.byKey(key)
	if e == nil {
		return auth // a connection test
	}
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		e.traits = d.Traits()
	}
	id, journal := e.settings.ID, e.journal
	return recording(auth, func(what event) {
		if !what.Expires.IsZero() {
			a.mu.Lock()
			e.lifetime = what.Expires.Sub(what.At)
			a.mu.Unlock()
		}
		journal.add(what)
		a.hub.changed(id)
	})
}

// byKey finds an entry by its session's name; nil if it is a connection test's.
// a.mu is held.
func (a *app) byKey(key string) *entry {
	id, err := strconv.ParseInt(key, 10, 64)
	if err != nil {
		return nil
	}
	return a.entries[id]
}

func (a *app) entry(id int64) (*entry, Settings, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.entries[id]
	if !ok {
		return nil, Settings{}, false
	}
	return e, e.settings, true
}

func (a *app) ids() []int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.entries))
}

// nameTaken reports whether another PBX has this name.
func (a *app) nameTaken(name string, id int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.entries {
		if e.settings.ID != id && sameName(e.settings.Name, name) {
			return true
		}
	}
	return false
}

// twin returns settings that were saved and do not differ from s: by the same form,
// whose button was pressed twice.
func (a *app) twin(s Settings) (Settings, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.entries {
		if t := e.settings; (s.ID == 0 || s.ID == t.ID) && t.Name == s.Name && t.Disconnected.IsZero() && t.connectsLike(s) {
			return t, true
		}
	}
	return Settings{}, false
}

// row is what the table shows of a PBX now.
func (a *app) row(e *entry, now time.Time) row {
	f := a.facts(e)
	if f.status.State == session.Locked {
		f.hold = holds(a.fleet.Hosts())[f.settings.key()]
	}
	return present(f, now)
}

// facts is what a row is made of, but for the hold.
func (a *app) facts(e *entry) facts {
	a.mu.Lock()
	f := facts{settings: e.settings, driver: e.driver, open: e.open, traits: e.traits, loggedIn: e.loggedIn}
	lifetime := e.lifetime
	a.mu.Unlock()
	f.status = a.fleet.Status(f.settings.key())
	if f.token.expires = f.status.ExpiresAt; !f.token.expires.IsZero() {
		if lifetime <= 0 {
			lifetime = f.traits.Lifetime
		}
		f.token.issued = f.token.expires.Add(-lifetime)
	}
	return f
}

// rows returns all rows, in no useful order.
func (a *app) rows(now time.Time) []row { return a.rowsOf(slices.Values(a.ids()), now) }

// rowsOf returns the rows of those PBXs that are there.
func (a *app) rowsOf(ids iter.Seq[int64], now time.Time) []row {
	rows := []row{}
	held := holds(a.fleet.Hosts())
	for id := range ids {
		if e, _, ok := a.entry(id); ok {
			f := a.facts(e)
			f.hold = held[f.settings.key()]
			rows = append(rows, present(f, now))
		}
	}
	return rows
}
