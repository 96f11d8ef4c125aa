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

// assumedWindow is how long a lockout lasts if the driver does not say: as long as
// in the brands that document it.
const assumedWindow = 10 * time.Minute

// memory keeps from one run to the next what must not be done to a host again too
// soon. It holds no secret.
type memory struct {
	dir string
	now func() time.Time
}

// What is remembered of a host, whatever the port, because one PBX listens on
// several.
const (
	wrongLogin = "login" // a wrong one, or one that may have been
	deadToken  = "dead-token"
)

// note is the content of a file of the memory.
type note struct {
	Host  string    `json:"host"`
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// remembered is the error of a login that has to wait.
type remembered struct {
	note
	now  time.Time
	file string
}

func (e *remembered) Error() string {
	return fmt.Sprintf("no login was sent: an earlier one to %s may have counted as a wrong one (%s): wait until %s (%s)",
		e.Host, e.Why, clock(e.Until), e.Until.Sub(e.now).Round(time.Second))
}

// clock prints a moment, rounded up, so that nobody is too early.
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
		// Its run may have been killed while it wrote.
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		n = note{Until: info.ModTime().Add(assumedWindow), Why: "the note cannot be read"}
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
// *remembered. Of two runs at the same moment one gets through. If both find the
// same expired note, it may be both.
func (m memory) reserve(host string, window time.Duration) error {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	file := m.file(wrongLogin, host)
	n := note{host, m.now().Add(window), "under way, or its end was not seen"}
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

// keep notes that host must be left alone for so long.
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

// forget removes the note after a login that was not wrong, or not sent.
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
