package pbx

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Registry finds drivers by name. The zero value is empty and ready. It is safe
// for concurrent use. Most programs use the default one, through the
// package-level functions. A separate one keeps tests and plugins apart.
type Registry struct {
	mu      sync.RWMutex // guards drivers
	drivers map[string]Driver
}

// Register adds a driver. It is meant for init. Like that of database/sql, it
// panics on mistakes of the programmer: a name that is ill-formed or taken, no
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
		if wrong := o.defect(); wrong != "" {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q %s", d.Name, o.Name, wrong))
		}
		if seen[o.Name] {
			panic(fmt.Sprintf("pbx: Register: driver %q: option %q is there twice", d.Name, o.Name))
		}
		seen[o.Name] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.drivers[d.Name]; taken {
		panic(fmt.Sprintf("pbx: Register: driver %q is registered twice", d.Name))
	}
	if r.drivers == nil {
		r.drivers = map[string]Driver{}
	}
	r.drivers[d.Name] = d.complete()
}

// Lookup returns the driver of that name. A program may change what it gets, as to
// translate labels: the registry keeps its own.
func (r *Registry) Lookup(name string) (Driver, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	d, ok := r.drivers[name]
	return d.clone(), ok
}

// Drivers returns all drivers in the order of their names.
func (r *Registry) Drivers() []Driver {
	r.mu.RLock()
	defer r.mu.RUnlock()
	drivers := slices.SortedFunc(maps.Values(r.drivers), func(a, b Driver) int { return strings.Compare(a.Name, b.Name) })
	for i := range drivers {
		drivers[i] = drivers[i].clone()
	}
	return drivers
}

// Open makes an Authenticator of the named driver. It sends nothing. Every error
// is an *[Error] of kind [ErrConfig] whose Setting names the setting to change:
// "Driver" if no driver has that name.
func (r *Registry) Open(name string, cfg Config) (Authenticator, error) {
	d, ok := r.Lookup(name)
	if !ok {
		var known []string
		for _, d := range r.Drivers() {
			known = append(known, d.Name)
		}
		list := "no driver is registered"
		if len(known) > 0 {
			list = "registered are " + strings.Join(known, ", ")
		}
		return nil, &Error{Op: OpOpen, Kind: ErrConfig, Setting: "Driver", Message: fmt.Sprintf("unknown driver %q: %s (is an import missing?)", short(name), list)}
	}
	cfg, err := d.resolve(cfg)
	if err != nil {
		return nil, err
	}
	auth, err := d.Open(cfg)
	if err != nil {
		return nil, err // not auth: a driver may return a nil pointer of its own type
	}
	if auth == nil {
		return nil, &Error{Driver: name, Op: OpOpen, Kind: ErrConfig, Message: "the driver opened nothing and returned no error: this is a fault of the driver"}
	}
	return auth, nil
}

var defaultRegistry Registry

// Register adds a driver to the default registry: see [Registry.Register].
func Register(d Driver) { defaultRegistry.Register(d) }

// Lookup finds a driver in the default registry.
func Lookup(name string) (Driver, bool) { return defaultRegistry.Lookup(name) }

// Drivers returns the drivers of the default registry in the order of their
// names.
func Drivers() []Driver { return defaultRegistry.Drivers() }

// Open makes an Authenticator of a driver in the default registry: see
// [Registry.Open].
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
