package main

import "time"

// host is a PBX host that holds up logins.
type host struct {
	Name   string
	Group  group
	Icon   string
	Fact   string
	Detail string
	Pips   []string // used, free, kept
}

// hostPanel is the panel of the hosts in trouble.
type hostPanel struct {
	Hosts []host
	More  []host // shown after a press
}

// Summary is the panel's line on a phone.
func (p hostPanel) Summary() string {
	n := p.Count()
	if n == 1 {
		return "1 host holds up logins"
	}
	return many(n, "host") + " hold up logins"
}

// Count is how many there are.
func (p hostPanel) Count() int { return len(p.Hosts) + len(p.More) }

// hostsInTrouble asks the lockout budget which hosts hold up logins.
func (s *server) hostsInTrouble(now time.Time) hostPanel {
	var p hostPanel
	return p
}
