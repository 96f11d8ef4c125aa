package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// An ear hears all that a driver says, and knows the secrets that must not be
// among it.
type ear struct {
	log     transcript
	mu      sync.Mutex        // guards what follows
	secrets map[string]canary // by the secret itself
	heard   map[string]string // what was said → where
}

// A canary is a secret, in all the spellings in which it may come to light. The
// first is its own.
type canary struct {
	name      string
	spellings []string
}

// plant makes a text a secret from now on, and for what was said before.
func (e *ear) plant(name, text string) {
	if text == "" {
		return
	}
	quoted, _ := json.Marshal(text) // a string always marshals
	c := canary{name, []string{
		text, string(quoted[1 : len(quoted)-1]), url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text),
	}}
	e.mu.Lock()
	if e.secrets == nil {
		e.secrets = map[string]canary{}
	}
	e.secrets[text] = c
	e.mu.Unlock()
	if name == "password" {
		sum := md5.Sum([]byte(text))
		e.plant("MD5 of the password", hex.EncodeToString(sum[:]))
		e.plant("password in base64", base64.StdEncoding.EncodeToString([]byte(text)))
	}
}

// among returns the secrets that show in text, in all spellings of each.
func (e *ear) among(text string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []string
	for _, secret := range slices.Sorted(maps.Keys(e.secrets)) {
		c := e.secrets[secret]
		if slices.ContainsFunc(c.spellings, func(s string) bool { return strings.Contains(text, s) }) {
			found = append(found, c.spellings...)
		}
	}
	return found
}

// hear takes down how v prints, and what it wraps where it is an error. A nil v
// says nothing.
func (e *ear) hear(where string, v any) {
	if v == nil {
		return
	}
	texts := []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)}
	if encoded, err := json.Marshal(v); err == nil {
		texts = append(texts, string(encoded))
	}
	e.mu.Lock()
	if e.heard == nil {
		e.heard = map[string]string{}
	}
	for _, text := range texts {
		e.heard[text] = where
	}
	e.mu.Unlock()

	switch v := v.(type) {
	case interface{ Unwrap() error }:
		if inner := v.Unwrap(); inner != nil {
			e.hear(where, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range v.Unwrap() {
			e.hear(where, inner)
		}
	}
}

// minCanary is how much of a secret gives it away: its beginning as well as the
// whole.
const minCanary = 12

// leaks returns what was said that should not have been, once for each secret
// and place.
func (e *ear) leaks() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	said := map[string]string{e.log.String(): "the log"}
	maps.Copy(said, e.heard)
	// A week of renewals is thousands of secrets, and as many texts: they are
	// found by their beginnings, of which there are few lengths.
	names := map[string]string{} // by beginning
	lengths := map[int]bool{}
	for _, c := range e.secrets {
		for _, spelling := range c.spellings {
			beginning := strings.ToLower(spelling[:min(len(spelling), minCanary)])
			names[beginning] = c.name
			lengths[len(beginning)] = true
		}
	}
	found := map[string]error{}
	for text, where := range said {
		lower := strings.ToLower(text)
		for n := range lengths {
			for at := 0; at+n <= len(lower); at++ {
				if name, ok := names[lower[at:at+n]]; ok {
					found[name+where] = fmt.Errorf("the %s shows in %s: …%s«%s»…", name, where, lower[max(0, at-60):at], name)
				}
			}
		}
	}
	var leaks []error
	for _, key := range slices.Sorted(maps.Keys(found)) {
		leaks = append(leaks, found[key])
	}
	return errors.Join(leaks...)
}

// A transcript is a log in memory.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
