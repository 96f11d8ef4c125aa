package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// assumedWindow is a lockout's where the brand's is not known: what those that
// document it say.
const assumedWindow = 10 * time.Minute

// memory keeps what must not be done to a host again too soon, from one run to
// the next. It holds no secret.
type memory struct {
	dir string
	now func() time.Time
}

// What is remembered. Ports do not tell hosts apart, for one PBX answers on
// several.
const (
	wrongLogin = "login" // or one that may have been
	deadToken  = "dead-token"
)

// note is the content of a file of the memory.
type note struct {
	Host  string    `json:"host"`
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// remembered is the error of a run that has to wait.
type remembered struct {
	note
	now  time.Time
	file string
}

func (e *remembered) Error() string {
	return fmt.Sprintf("nothing was sent, for an earlier login to %s may have counted as a wrong one (%s): wait until %s (%s)",
		e.Host, e.Why, clock(e.Until), e.Until.Sub(e.now).Round(time.Second))
}

// clock prints a moment, rounded up so that nobody comes too early.
func clock(at time.Time) string {
	return at.Add(time.Second - 1).Truncate(time.Second).Format("2006-01-02 15:04:05 MST")
}

func (m memory) file(what, host string) string {
	return filepath.Join(m.dir, what+"-"+url.QueryEscape(host)+".json") // an IPv6 address has colons
}

// recall returns the note on host that still holds, or nil.
func (m memory) recall(what, host string) (*remembered, error) {
	file := m.file(what, host)
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n note
	if json.Unmarshal(text, &n) != nil || n.Until.IsZero() {
		// Cut short by the end of its run, say, which had begun to log in.
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		n = note{Until: info.ModTime().Add(assumedWindow), Why: "its note cannot be read"}
	}
	n.Host = host
	now := m.now()
	if !n.Until.After(now) {
		return nil, nil
	}
	n.Until = n.Until.In(now.Location())
	return &remembered{note: n, now: now, file: file}, nil
}

// reserve notes that a login to host is about to be sent, or returns a
// *remembered. Of two runs that begin in one moment one gets through; where both
// find the same note to be over, it may be both.
func (m memory) reserve(host string, window time.Duration) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	file := m.file(wrongLogin, host)
	n := note{host, m.now().Add(window), "it is under way, or was not seen to end"}
	err := m.create(file, n)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	held, err := m.recall(wrongLogin, host)
	if err != nil {
		return err
	}
	if held != nil {
		return held
	}
	if err := m.forget(wrongLogin, host); err != nil {
		return err
	}
	if err := m.create(file, n); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return &remembered{note: n, now: m.now(), file: file}
}

// keep notes that host is to be left alone for so long.
func (m memory) keep(what, host string, window time.Duration, why string) error {
	file := m.file(what, host)
	fresh := file + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.create(fresh, note{host, m.now().Add(window), why}); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}

// forget is for a login that was no wrong one, or was never sent.
func (m memory) forget(what, host string) error {
	if err := os.Remove(m.file(what, host)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// create writes a file that does not exist.
func (m memory) create(file string, n note) error {
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
