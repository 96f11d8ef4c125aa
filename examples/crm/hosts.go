package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
)

// host is a PBX host that holds up logins.
type host struct {
	Name    string
	Group   group
	Icon    string
	Fact    string
	Detail  string
	Pips    []string // of wrong logins: used, free, kept
	Waiting []string // the names of the PBXs that wait
	Lock    string   // what the PBX said, or may have done; empty: it is our own budget
	Locked  string   // as in "address"
}

// hostPanel is the panel of the hosts in trouble.
type hostPanel struct {
	Hosts []host
	More  []host // shown after a press
}

const firstHosts = 3

// Count is how many there are.
func (p hostPanel) Count() int { return len(p.Hosts) + len(p.More) }

// Summary is the panel's line on a phone.
func (p hostPanel) Summary() string {
	if p.Count() == 1 {
		return "1 host holds up logins"
	}
	return many(p.Count(), "host") + " hold up logins"
}

// hostsInTrouble are the hosts that hold up logins.
func (s *server) hostsInTrouble(now time.Time) hostPanel {
	all := s.troubles(now)
	if len(all) > firstHosts {
		return hostPanel{all[:firstHosts], all[firstHosts:]}
	}
	return hostPanel{Hosts: all}
}

// neighbour is a PBX as far as its host matters.
type neighbour struct {
	name   string
	traits pbx.Traits
}

// troubles are the hosts that hold up logins, ordered by name.
func (a *app) troubles(now time.Time) []host {
	neighbours := map[string]neighbour{} // by their session's name
	a.mu.Lock()
	for _, e := range a.entries {
		if e.open {
			neighbours[e.settings.key()] = neighbour{e.settings.Name, e.traits}
		}
	}
	a.mu.Unlock()
	var all []host
	for _, status := range a.fleet.Hosts() {
		if h, ok := hostOf(status, neighbours, now); ok {
			all = append(all, h)
		}
	}
	return all
}

// hold is what holds a session's login back.
type hold struct {
	until  time.Time // zero: until a person acts
	used   int       // wrong logins of the host that count
	proven bool      // an account of the host has logged in
	doubt  bool      // the PBX may have locked: it did not say so
	queued bool      // another login to the host is under way
}

// holds are those of the sessions, by their names.
func holds(hosts []session.HostStatus) map[string]hold {
	all := map[string]hold{}
	for _, status := range hosts {
		for _, w := range status.Waiting {
			switch {
			case holdsBack(w.Reason):
				all[w.Session] = hold{until: w.Until, used: len(status.Bookings), proven: status.Proven > 0, doubt: w.Reason == lockout.MayBeLocked}
			case w.Reason == lockout.OneByOne:
				all[w.Session] = hold{queued: true}
			}
		}
	}
	return all
}

// holdsBack reports whether the budget or the PBX holds a login back. Other reasons
// are over in seconds, or a matter of the password.
func holdsBack(r lockout.Reason) bool {
	return r == lockout.NoPlace || r == lockout.LockedByPBX || r == lockout.MayBeLocked
}

// hostOf is one line of the panel. It returns false if the host holds up no login.
func hostOf(status session.HostStatus, neighbours map[string]neighbour, now time.Time) (host, bool) {
	var waiting []string
	var until time.Time
	person, doubt := false, false
	limits := lockout.Resolve(pbx.Lockout{}, 0)
	for _, w := range status.Waiting {
		n, ok := neighbours[w.Session]
		if !ok || !holdsBack(w.Reason) { // unknown: a connection test
			continue
		}
		waiting = append(waiting, n.name)
		limits = lockout.Resolve(n.traits.Lockout, 0)
		doubt = doubt || w.Reason == lockout.MayBeLocked
		if person = person || w.Until.IsZero(); w.Until.After(until) {
			until = w.Until
		}
	}
	locked := status.LockedUntil.After(now)
	if len(waiting) == 0 && !locked {
		return host{}, false
	}
	slices.Sort(waiting)
	h := host{Name: status.Host, Group: waits, Icon: "held", Waiting: waiting, Locked: "address"}
	switch {
	case locked:
		end, what := clock(status.LockedUntil, now), "our address"
		h.Icon, h.Fact = "locked", status.Host+": locked by the PBX until "+end
		if status.LockedFor != "" {
			h.Locked, what = "account", "account “"+status.LockedFor+"”"
			h.Fact = status.Host + ": " + what + " locked by the PBX until " + end
		}
		h.Lock = "The PBX said that " + what + " is locked until " + end + "."
		h.Detail = "Logins resume at " + end + ", or sooner if you unlock " + what + " in the PBX."
	case doubt:
		h.Icon, h.Fact = "locked", status.Host+": may be locked by the PBX until "+clock(until, now)
		h.Lock = "The PBX refused a password that worked shortly before, so it may have locked our address until " + clock(until, now) + "."
		h.Detail = "The PBX refused a password that worked shortly before. One more login follows then."
	default:
		h.Fact = status.Host + ": logins held back by our budget until "
		if person || until.IsZero() {
			h.Group = needsYou
			h.Fact += "you act"
		} else {
			h.Fact += clock(until, now)
		}
		h.Pips = pipsOf(len(status.Bookings), limits, status.Proven > 0)
		h.Detail = fmt.Sprintf("%d of %s used; the PBX locks at %d.", len(status.Bookings), many(places(limits, status.Proven > 0), "wrong login"), limits.Attempts)
		if senders := sentBy(status.Bookings, neighbours); senders != "" {
			h.Detail += " Sent by " + senders + "."
		}
	}
	if len(waiting) > 0 {
		h.Detail += " Waiting: " + strings.Join(waiting, ", ") + "."
	}
	return h, true
}

// places is how many wrong logins of new accounts the budget allows: three fewer
// than lock, and two while no account of the host has logged in. Package lockout
// says why.
func places(l lockout.Limits, proven bool) int {
	spare := 2
	if proven {
		spare = 3
	}
	if l.DeadTokens == pbx.DeadTokensCount && l.Attempts >= 4 {
		spare++
	}
	return max(1, l.Attempts-spare)
}

// pipsOf draws the places: used ones, free ones, and those that are kept for
// accounts that have logged in before. The one that would lock is not drawn.
func pipsOf(used int, l lockout.Limits, proven bool) []string {
	var pips []string
	for i := range max(l.Attempts-1, used) {
		switch {
		case i < used:
			pips = append(pips, "used")
		case i < places(l, proven):
			pips = append(pips, "free")
		default:
			pips = append(pips, "kept")
		}
	}
	return pips
}

// spent says how many wrong logins count against an account, and at how many its
// logins are held back.
func spent(hosts []session.HostStatus, of pbx.Traits) (used, most int) {
	limits := lockout.Resolve(of.Lockout, 0)
	most = places(limits, false)
	for _, status := range hosts {
		if status.Host != hostname(of.URL) {
			continue
		}
		most = places(limits, status.Proven > 0)
		for _, b := range status.Bookings {
			if !limits.PerAccount || b.URL == of.URL && b.Account == of.Account {
				used++
			}
		}
	}
	return used, most
}

func ofBudget(used, most int) string {
	if most == 1 {
		return fmt.Sprintf("%d of 1 wrong login is used", used)
	}
	return fmt.Sprintf("%d of %d wrong logins are used", used, most)
}

// sentBy names the PBXs whose logins were wrong, or their accounts, if they are no
// longer here or another process has sent them.
func sentBy(bookings []lockout.Use, neighbours map[string]neighbour) string {
	var names []string
	for _, b := range bookings {
		name := fmt.Sprintf("account “%s”", b.Account)
		for _, n := range neighbours {
			if n.traits.URL == b.URL && n.traits.Account == b.Account {
				name = n.name
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// findHost returns the host in trouble that the path names, or says that there is
// none.
func (s *server) findHost(w http.ResponseWriter, r *http.Request) (host, bool) {
	for _, h := range s.troubles(time.Now()) {
		if h.Name == r.PathValue("host") {
			return h, true
		}
	}
	s.fail(w, r, http.StatusNotFound, "This host holds up no login", "There is nothing to forgive. Go back to the list of connections.")
	return host{}, false
}

// askForgive is the question before a person forgives a host.
func (s *server) askForgive(w http.ResponseWriter, r *http.Request) {
	h, ok := s.findHost(w, r)
	if !ok {
		return
	}
	s.ask(w, r, forgiving(h))
}

// forgiving asks whether a host is unlocked.
func forgiving(h host) question {
	q := question{Question: "Forgive " + h.Name + "?", Verb: "Forgive", Action: "/host/" + h.Name + "/forgive", Back: "/"}
	if h.Lock != "" {
		q.Text = h.Lock + " After you forgive it, the next login goes out at once. If the " + h.Locked + " is still locked, the PBX may lock it for longer"
		q.Tick = "I have unlocked the " + h.Locked + " in the PBX."
	} else {
		q.Text = "Our budget holds logins back, so that the PBX does not lock our address. After you forgive it, the wrong logins are forgotten here, and the next login goes out at once. If the PBX still counts them, it may lock our address"
		q.Tick = "The PBX does not lock our address."
	}
	switch who := strings.Join(h.Waiting, ", "); len(h.Waiting) {
	case 0:
		q.Text += "."
	case 1:
		q.Text += ", and " + who + " stays offline."
	default:
		q.Text += ", and these stay offline: " + who + "."
	}
	return q
}

// forgive forgets a host's wrong logins and its lock.
func (s *server) forgive(w http.ResponseWriter, r *http.Request) {
	h, ok := s.findHost(w, r)
	if !ok {
		return
	}
	if r.PostForm.Get("sure") == "" {
		q := forgiving(h)
		q.Problem = "Not forgiven: tick the box first. Nothing was changed."
		q.base = s.base(r, "Error: "+q.Question, q.Verb, "")
		s.render(w, http.StatusUnprocessableEntity, "confirm", q)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := s.fleet.Forgive(ctx, h.Name); err != nil {
		s.fail(w, r, http.StatusInternalServerError, "Not forgiven", sentence(err.Error()))
		return
	}
	for _, r := range s.rows(time.Now()) {
		if hostname(r.Host) == h.Name {
			s.hub.changed(r.ID) // so that open pages draw the panel anew
		}
	}
	s.say(r, h.Name+" is forgiven. The next login goes out at once.")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
