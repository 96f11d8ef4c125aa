package pbx

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Driver is one brand as the [Registry] knows it.
type Driver struct {
	// Name is what settings say: lower case, letters, digits and hyphens.
	Name string
	// Title is the brand for people.
	Title string
	// Options describes the keys of [Config.Options] that the driver takes, so
	// that an application can draw a form for them.
	Options []Option
	// Open makes an Authenticator and sends nothing. It receives checked
	// options with the defaults filled in: call it through a Registry.
	Open func(Config) (Authenticator, error)
}

// Option describes one of a driver's own settings.
type Option struct {
	Name     string
	Kind     OptionKind
	Choices  []string // the values of an OptionChoice
	Default  string   // used when the option is not given; "" leaves it out
	Required bool
	Secret   bool // not to be shown or logged
	Help     string
}

// OptionKind says what values an [Option] takes.
type OptionKind string

const (
	OptionString   OptionKind = "string"
	OptionPort     OptionKind = "port"     // 1 to 65535
	OptionChoice   OptionKind = "choice"   // one of Choices
	OptionDuration OptionKind = "duration" // positive, as time.ParseDuration reads it: 90s, 30m, 4h
)

// check returns what is wrong with value, "" if nothing.
func (o Option) check(value string) string {
	shown := strconv.Quote(value)
	if o.Secret {
		shown = "its value"
	}
	switch o.Kind {
	case OptionPort:
		if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
			return shown + " is not a port (1 to 65535)"
		}
	case OptionChoice:
		if !slices.Contains(o.Choices, value) {
			return shown + " is not one of " + strings.Join(o.Choices, ", ")
		}
	case OptionDuration:
		if d, err := time.ParseDuration(value); err != nil || d <= 0 {
			return shown + " is not a duration (as in 90s, 30m, 4h)"
		}
	}
	return ""
}

// resolve checks given against the driver's options and fills in the defaults.
func (d Driver) resolve(given map[string]string) (map[string]string, error) {
	fault := func(format string, args ...any) error {
		return &Error{Driver: d.Name, Op: OpOpen, Kind: ErrConfig, Message: fmt.Sprintf(format, args...)}
	}
	known := make([]string, len(d.Options))
	for i, o := range d.Options {
		known[i] = o.Name
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(known, name) {
			if len(known) == 0 {
				return nil, fault("unknown option %q: this driver has none", name)
			}
			return nil, fault("unknown option %q: the options are %s", name, strings.Join(known, ", "))
		}
	}
	resolved := make(map[string]string, len(known))
	for _, o := range d.Options {
		value := given[o.Name]
		if value == "" {
			value = o.Default
		}
		if value == "" {
			if o.Required {
				return nil, fault("option %q is required: %s", o.Name, o.Help)
			}
			continue
		}
		if wrong := o.check(value); wrong != "" {
			return nil, fault("option %q: %s", o.Name, wrong)
		}
		resolved[o.Name] = value
	}
	return resolved, nil
}

// Registry finds drivers by name. The zero value is empty and ready. It is safe
// for concurrent use. Most programs use the default one, through the
// package-level functions; a separate one keeps tests and plugins apart.
type Registry struct {
	mu      sync.RWMutex
	drivers map[string]Driver
}

// Register adds a driver. Like database/sql's, it is meant for init and panics
// on what only a programmer can mend: a name taken twice or ill-formed, no
// Open, an option that makes no sense.
func (r *Registry) Register(d Driver) {
	if !wellFormed(d.Name) {
		panic(fmt.Sprintf("pbx: Register: driver name %q is not lower-case letters, digits and hyphens", d.Name))
	}
	if d.Open == nil {
		panic(fmt.Sprintf("pbx: Register: driver %q has no Open", d.Name))
	}
	seen := map[string]bool{}
	for _, o := range d.Options {
		if o.Name == "" || seen[o.Name] {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q is unnamed or there twice", d.Name, o.Name))
		}
		seen[o.Name] = true
		if !slices.Contains([]OptionKind{OptionString, OptionPort, OptionChoice, OptionDuration}, o.Kind) {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q has the unknown kind %q", d.Name, o.Name, o.Kind))
		}
		if o.Kind == OptionChoice && len(o.Choices) == 0 {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q has no choices", d.Name, o.Name))
		}
		if o.Default != "" && o.check(o.Default) != "" {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q: the default %s", d.Name, o.Name, o.check(o.Default)))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.drivers[d.Name]; taken {
		panic(fmt.Sprintf("pbx: Register: driver %q is registered twice", d.Name))
	}
	if r.drivers == nil {
		r.drivers = map[string]Driver{}
	}
	r.drivers[d.Name] = d
}

// Lookup returns the driver of that name.
func (r *Registry) Lookup(name string) (Driver, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d, ok := r.drivers[name]
	return d, ok
}

// Drivers returns all drivers in the order of their names.
func (r *Registry) Drivers() []Driver {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.drivers), func(a, b Driver) int { return strings.Compare(a.Name, b.Name) })
}

// Open makes an Authenticator of the named driver. It sends nothing. Every
// error is an *[Error] of kind [ErrConfig] that says which setting to mend.
func (r *Registry) Open(name string, cfg Config) (Authenticator, error) {
	d, ok := r.Lookup(name)
	if !ok {
		var known []string
		for _, d := range r.Drivers() {
			known = append(known, d.Name)
		}
		list := "none is registered"
		if len(known) > 0 {
			list = "registered are " + strings.Join(known, ", ")
		}
		return nil, &Error{Op: OpOpen, Kind: ErrConfig, Message: fmt.Sprintf("unknown driver %q: %s (forgotten import?)", name, list)}
	}
	options, err := d.resolve(cfg.Options)
	if err != nil {
		return nil, err
	}
	cfg.Options = options
	auth, err := d.Open(cfg)
	if err != nil {
		return nil, err // not auth: a driver may return a nil pointer of its own type
	}
	return auth, nil
}

var defaultRegistry Registry

// Register adds a driver to the default registry.
func Register(d Driver) { defaultRegistry.Register(d) }

// Lookup finds a driver in the default registry.
func Lookup(name string) (Driver, bool) { return defaultRegistry.Lookup(name) }

// Drivers returns the drivers of the default registry by name.
func Drivers() []Driver { return defaultRegistry.Drivers() }

// Open makes an Authenticator of a driver in the default registry. It sends
// nothing; errors are *[Error] of kind [ErrConfig] and say which setting to mend.
func Open(name string, cfg Config) (Authenticator, error) { return defaultRegistry.Open(name, cfg) }

func wellFormed(name string) bool {
	if name == "" {
		return false
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
