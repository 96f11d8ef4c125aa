package main

import (
	"slices"
	"strings"
	"time"
)

// host is a PBX host that holds up logins.
type host struct {
	Name      string
	Group     group
	Icon      string
	Fact      string
	Detail    string
	Pips      []string // of wrong logins: used, free, kept
	Forgiving bool     // a person may forgive it
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

// hostsInTrouble are the hosts of rows that are locked or held back.
func (s *server) hostsInTrouble(now time.Time) hostPanel {
	byHost := map[string][]row{}
	for _, r := range s.rows(now) {
		if r.Icon == "locked" || r.Icon == "held" {
			name := hostname(r.Host)
			byHost[name] = append(byHost[name], r)
		}
	}
	var all []host
	for name, rows := range byHost {
		all = append(all, hostOf(name, rows, now))
	}
	slices.SortFunc(all, func(a, b host) int { return strings.Compare(a.Name, b.Name) })
	p := hostPanel{Hosts: all}
	if len(all) > firstHosts {
		p.Hosts, p.More = all[:firstHosts], all[firstHosts:]
	}
	return p
}

// hostOf is one line of the panel.
func hostOf(name string, rows []row, now time.Time) host {
	h := host{Name: name, Group: rows[0].Group, Icon: "held"}
	var waiting []string
	var until int64
	for _, r := range rows {
		waiting = append(waiting, r.Name)
		until = max(until, r.At)
		if r.Icon == "locked" {
			h.Icon = "locked"
		}
	}
	slices.Sort(waiting)
	at := clock(time.UnixMilli(until), now)
	if h.Icon == "locked" {
		h.Fact = name + ": locked by the PBX until " + at
		h.Detail = "Logins resume at " + at + ", or sooner if you unlock our address in the PBX."
	} else {
		h.Fact = name + ": logins held back by our budget until " + at
		h.Detail = "Wrong logins went to this host, and the PBX would lock it."
	}
	h.Detail += " Waiting: " + strings.Join(waiting, ", ") + "."
	return h
}
