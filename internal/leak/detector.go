// Package leak finds planted secrets in what a program prints, logs or returns.
// It is for tests and for the conformance suite: there is one search for
// secrets, so that a spelling that one test looks for is looked for in all.
package leak

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// Detector collects texts and finds planted secrets in them. It does not matter
// whether a secret was planted before or after the text was collected. The zero
// value is ready to use, by several goroutines.
type Detector struct {
	mu      sync.Mutex // guards what follows
	secrets map[string]string
	search  *search           // for the secrets; nil: one was planted since
	texts   map[string]string // a text and where it was seen first
	printed map[string]int    // how many values of a type were printed, by place
	log     bytes.Buffer
	size    int
}

// Plant makes secret one to look for. name is what a finding calls it. An empty
// secret is ignored.
func (d *Detector) Plant(name, secret string) {
	if secret == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.secrets == nil {
		d.secrets = map[string]string{}
	}
	if known, planted := d.secrets[secret]; !planted || known != name {
		d.secrets[secret] = name
		d.search = nil
	}
}

// finder returns the search for the secrets so far. d.mu is held.
func (d *Detector) finder() *search {
	if d.search == nil {
		d.search = newSearch(d.secrets)
	}
	return d.search
}

// Text collects a text. where is what a finding says about its origin.
func (d *Detector) Text(where, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.texts == nil {
		d.texts = map[string]string{}
	}
	if _, known := d.texts[text]; !known {
		d.texts[text] = where
	}
	d.size += len(text)
}

// Write collects a log. A line may come in several pieces.
func (d *Detector) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.size += len(line)
	return d.log.Write(line)
}

// Logged returns all that was written with [Detector.Write].
func (d *Detector) Logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

// Size is how many bytes were collected. A test that looked at too little has
// proven nothing.
func (d *Detector) Size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.size
}

// maxPrinted is how many values of a type, from one place, are printed in all ways.
// The ways do not change from value to value, and a week of renewals is a million
// of them.
const maxPrinted = 10

// Print collects v in the ways in which programs print a value: with fmt,
// encoding/json, log/slog and zerolog. After ten values of a type from one place,
// it collects %+v only. Of an error it also collects what the error wraps. A nil v
// is ignored.
func (d *Detector) Print(where string, v any) {
	if v == nil {
		return
	}
	if d.often(where, v) {
		d.Text(where, fmt.Sprintf("%+v", v))
	} else {
		d.Text(where, printed(v))
	}
	switch v := v.(type) {
	case interface{ Unwrap() error }:
		if inner := v.Unwrap(); inner != nil {
			d.Print(where, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range v.Unwrap() {
			d.Print(where, inner)
		}
	}
}

func (d *Detector) often(where string, v any) bool {
	key := fmt.Sprintf("%s %T", where, v)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.printed == nil {
		d.printed = map[string]int{}
	}
	d.printed[key]++
	return d.printed[key] > maxPrinted
}

// printed is v in all ways.
func printed(v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", []any{v, struct{ v any }{v}})
	}
	if encoded, err := json.Marshal(v); err == nil {
		out.Write(encoded)
	}
	logger := zerolog.New(&out)
	logger.Info().Interface("interface", v).Any("any", v).Send()
	slog.New(slog.NewTextHandler(&out, nil)).Info("", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("", "v", v)
	if err, ok := v.(error); ok {
		fmt.Fprintln(&out, err.Error())
	}
	return out.String()
}

// Among returns the secrets that show in text, sorted. Their spellings are those
// of [Spellings].
func (d *Detector) Among(text string) []string {
	d.mu.Lock()
	search := d.finder()
	d.mu.Unlock()
	var secrets []string
	search.each(text, func(found spelling, _, _ int) { secrets = append(secrets, found.secret) })
	slices.Sort(secrets)
	return slices.Compact(secrets)
}

// Leaks returns one line for each secret and place where it shows.
func (d *Detector) Leaks() []string {
	d.mu.Lock()
	search := d.finder()
	texts := maps.Clone(d.texts)
	logged := d.log.String()
	d.mu.Unlock()

	var leaks []string
	found := map[string]bool{}
	look := func(where, text string) {
		search.each(text, func(known spelling, from, to int) {
			if key := known.name + "\x00" + where; !found[key] {
				found[key] = true
				leaks = append(leaks, fmt.Sprintf("the %s shows in %s: …%s…", known.name, where, strings.ToLower(text)[max(0, from-80):to]))
			}
		})
	}
	look("the log", logged)
	for text, where := range texts {
		look(where, text)
	}
	slices.Sort(leaks)
	return leaks
}
