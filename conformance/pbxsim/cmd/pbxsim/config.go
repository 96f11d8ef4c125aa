package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// description is one PBX in the configuration file.
type description struct {
	Name     string            `json:"name"` // for the control API; default: driver and variant
	Driver   string            `json:"driver"`
	Variant  string            `json:"variant"`
	Listen   string            `json:"listen"`
	TLS      bool              `json:"tls"`
	Accounts map[string]string `json:"accounts"` // passwords by user name
	Lifetime duration          `json:"lifetime"`
	Lockout  lockout           `json:"lockout"`

	simulator simulators.Simulator
	place     string // in the configuration file, as "pbxs.json:3: "; empty: from flags
}

// lockout is pbxsim.Lockout in words.
type lockout struct {
	After      int      `json:"after"`
	For        duration `json:"for"`
	Memory     string   `json:"memory"` // forever, sliding, clock
	Window     duration `json:"window"`
	Per        string   `json:"per"`   // address, account, both
	Reset      string   `json:"reset"` // nothing, account, address, both
	DeadTokens bool     `json:"dead_tokens"`
	Prolong    bool     `json:"prolong"`
	Weight     int      `json:"weight"`
	Covers     string   `json:"covers"`   // logins, everything
	Response   string   `json:"response"` // stated, mute, reset, wrong
}

// duration is written as in "30m".
type duration time.Duration

func (d *duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil || parsed < 0 {
		return fmt.Errorf("%q is not a duration (as in 90s, 30m, 4h)", text)
	}
	*d = duration(parsed)
	return nil
}

var (
	memories  = map[string]pbxsim.Memory{"": 0, "forever": pbxsim.Forever, "sliding": pbxsim.SlidingWindow, "clock": pbxsim.ClockWindow}
	scopes    = map[string]pbxsim.Scope{"": 0, "nothing": pbxsim.Nothing, "address": pbxsim.Address, "account": pbxsim.Account, "both": pbxsim.AddressAndAccount}
	coverages = map[string]pbxsim.Coverage{"": 0, "logins": pbxsim.LoginsOnly, "everything": pbxsim.Everything}
	responses = map[string]pbxsim.LockResponse{"": 0, "stated": pbxsim.Stated, "mute": pbxsim.Mute, "reset": pbxsim.ResetConnection, "wrong": pbxsim.LooksWrong}
)

// parse reads a configuration file: a list of PBXs. Its errors begin with file
// and line.
func parse(file string, text []byte) ([]description, error) {
	var all []description
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil {
		return nil, locate(file, text, dec.InputOffset(), err)
	}
	if dec.More() {
		return nil, locate(file, text, dec.InputOffset()+1, errors.New("there is more after the list"))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: the list holds no PBX", file)
	}
	for i, line := range lines(text, len(all)) {
		all[i].place = fmt.Sprintf("%s:%d: ", file, line)
	}
	return all, nil
}

// lines are those in which the n entries of a list begin, which is well-formed.
func lines(text []byte, n int) []int {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.Token() // the bracket
	all := make([]int, n)
	for i := range all {
		var entry json.RawMessage
		dec.Decode(&entry)
		all[i] = 1 + bytes.Count(text[:int(dec.InputOffset())-len(entry)], []byte("\n"))
	}
	return all
}

var unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)

// locate puts file and line before an error.
func locate(file string, text []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
		// Some releases of Go state the whole path, with the index of the entry.
		err = fmt.Errorf("%q must be a %s", kind.Field[strings.LastIndexByte(kind.Field, '.')+1:], kind.Type)
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		if at := bytes.Index(text, []byte(`"`+m[1]+`"`)); at >= 0 {
			offset = int64(at)
		}
		err = fmt.Errorf("%q is not a setting%s", m[1], nearest(m[1], settings))
	}
	line := 1 + bytes.Count(text[:min(int(offset), len(text))], []byte("\n"))
	return fmt.Errorf("%s:%d: %w", file, line, err)
}

var settings = []string{"name", "driver", "variant", "listen", "tls", "accounts", "lifetime", "lockout",
	"after", "for", "memory", "window", "per", "reset", "dead_tokens", "prolong", "weight", "covers", "response"}

// check finds each PBX's simulator and gives it a name.
func check(all []description) error {
	taken := map[string]bool{}
	for i := range all {
		d := &all[i]
		of := simulators.Of(d.Driver)
		if len(of) == 0 {
			return fmt.Errorf("%sthere is no simulator for the driver %q%s", d.place, d.Driver, nearest(d.Driver, drivers()))
		}
		d.simulator = of[0]
		if d.Variant != "" {
			at := slices.IndexFunc(of, func(s simulators.Simulator) bool { return s.Variant == d.Variant })
			if at < 0 {
				var variants []string
				for _, s := range of {
					variants = append(variants, s.Variant)
				}
				return fmt.Errorf("%sthe driver %q has no variant %q%s", d.place, d.Driver, d.Variant, nearest(d.Variant, variants))
			}
			d.simulator = of[at]
		}
		if err := d.Lockout.check(); err != nil {
			return fmt.Errorf("%s%s: lockout: %w", d.place, d.Driver, err)
		}
		if d.Name == "" {
			d.Name = d.simulator.Name()
		}
		if taken[d.Name] {
			return fmt.Errorf("%stwo PBXs are called %q: give one another name", d.place, d.Name)
		}
		taken[d.Name] = true
	}
	return nil
}

func (l lockout) check() error {
	for _, c := range []struct {
		name, value string
		known       []string
	}{
		{"memory", l.Memory, keys(memories)}, {"per", l.Per, keys(scopes)}, {"reset", l.Reset, keys(scopes)},
		{"covers", l.Covers, keys(coverages)}, {"response", l.Response, keys(responses)},
	} {
		if !slices.Contains(c.known, c.value) {
			return fmt.Errorf("%s %q is not one of %s", c.name, c.value, strings.TrimPrefix(strings.Join(c.known, ", "), ", "))
		}
	}
	return nil
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func drivers() (names []string) {
	for _, s := range simulators.All() {
		names = append(names, s.Driver)
	}
	return slices.Compact(names)
}

func (d description) start() *pbxsim.PBX {
	l := d.Lockout
	return d.simulator.New(&pbxsim.Options{
		Accounts: d.Accounts,
		Lifetime: time.Duration(d.Lifetime),
		Lockout: pbxsim.Lockout{
			After: l.After, For: time.Duration(l.For), Memory: memories[l.Memory], Window: time.Duration(l.Window),
			Per: scopes[l.Per], Reset: scopes[l.Reset], DeadTokens: l.DeadTokens, Prolong: l.Prolong,
			Weight: l.Weight, Covers: coverages[l.Covers], Response: responses[l.Response],
		},
	})
}

// nearest suggests what was meant.
func nearest(word string, known []string) string {
	best, least := "", len(word)/2+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return ": known are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance is how many letters have to change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
