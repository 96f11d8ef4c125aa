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

// leakDetector searches everything that a driver prints for planted secrets.
type leakDetector struct {
	log     logBuffer
	mu      sync.Mutex               // guards the fields below
	secrets map[string]plantedSecret // by the secret itself
	said    map[string]string        // text → where
}

// plantedSecret is a secret in every spelling in which it may appear. The first
// is its own.
type plantedSecret struct {
	name      string
	spellings []string
}

// plant makes text a secret, also for what was said before.
func (d *leakDetector) plant(name, text string) {
	if text == "" {
		return
	}
	quoted, _ := json.Marshal(text) // a string always marshals
	c := plantedSecret{name, []string{
		text, string(quoted[1 : len(quoted)-1]), url.QueryEscape(text), url.PathEscape(text), html.EscapeString(text),
	}}
	d.mu.Lock()
	if d.secrets == nil {
		d.secrets = map[string]plantedSecret{}
	}
	d.secrets[text] = c
	d.mu.Unlock()
	if name == "password" {
		sum := md5.Sum([]byte(text))
		d.plant("MD5 of the password", hex.EncodeToString(sum[:]))
		d.plant("password in base64", base64.StdEncoding.EncodeToString([]byte(text)))
	}
}

// found returns the secrets that appear in text, in all spellings of each.
func (d *leakDetector) found(text string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []string
	for _, secret := range slices.Sorted(maps.Keys(d.secrets)) {
		c := d.secrets[secret]
		if slices.ContainsFunc(c.spellings, func(s string) bool { return strings.Contains(text, s) }) {
			found = append(found, c.spellings...)
		}
	}
	return found
}

// check keeps how v prints, and what it wraps if it is an error, for report. A
// nil v prints nothing.
func (d *leakDetector) check(where string, v any) {
	if v == nil {
		return
	}
	texts := []string{fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v)}
	if encoded, err := json.Marshal(v); err == nil {
		texts = append(texts, string(encoded))
	}
	d.mu.Lock()
	if d.said == nil {
		d.said = map[string]string{}
	}
	for _, text := range texts {
		d.said[text] = where
	}
	d.mu.Unlock()

	switch v := v.(type) {
	case interface{ Unwrap() error }:
		if inner := v.Unwrap(); inner != nil {
			d.check(where, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range v.Unwrap() {
			d.check(where, inner)
		}
	}
}

// minLeak is how many bytes of a secret's beginning count as a leak.
const minLeak = 12

// report returns the leaks, once for each secret and place.
func (d *leakDetector) report() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	said := map[string]string{d.log.String(): "the log"}
	maps.Copy(said, d.said)
	// A week of renewals is thousands of secrets in as many texts. They are found
	// by their beginnings, which have few lengths.
	names := map[string]string{} // by beginning
	lengths := map[int]bool{}
	for _, c := range d.secrets {
		for _, spelling := range c.spellings {
			beginning := strings.ToLower(spelling[:min(len(spelling), minLeak)])
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

// logBuffer is a log in memory.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
