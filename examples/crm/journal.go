package main

import (
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx/session"
)

// event is one thing that happened with a PBX, for its timeline and its table.
// It holds no secret: texts are ours or from errors of drivers.
type event struct {
	At     time.Time
	Kind   eventKind
	Label  string // what happened, in two or three words
	Result string // one or two sentences
	Failed bool
	Wrong  bool          // the PBX refused the password
	Dead   bool          // the PBX refused the token
	Took   time.Duration // of what was sent

	State   session.State // of a change of state
	Group   group
	Expires time.Time // of the token that a login or keep-alive brought; zero: unknown
}

type eventKind int

const (
	pressed      eventKind = iota // a person
	stateChanged                  // the session
	sentLogin
	sentKeepAlive
	sentLogout
	sentCheck    // whether the PBX responds, without the password
	tokenRefused // by the PBX, on a request
	sentRequest  // of the application
	adopted      // a token that another process brought
)

// journal keeps the newest events of one PBX.
type journal struct {
	mu     sync.Mutex // guards events
	events []event    // oldest first
}

const journalSize = 600

func (j *journal) add(e event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == journalSize {
		j.events = append(j.events[:0:0], j.events[journalSize/4:]...)
	}
	j.events = append(j.events, e)
}

// all returns the events in the order in which they began.
func (j *journal) all() []event {
	j.mu.Lock()
	events := slices.Clone(j.events)
	j.mu.Unlock()
	slices.SortStableFunc(events, func(a, b event) int { return a.At.Compare(b.At) })
	return events
}
