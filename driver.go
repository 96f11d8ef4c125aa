package pbx

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Driver is one brand as a [Registry] knows it. Besides Open it describes the
// brand for a settings form, so that an application can draw one for a driver
// that it has never seen. A Registry fills in what a driver leaves out, so that an
// application reads no empty label.
type Driver struct {
	// Name is what settings hold: lower-case letters, digits and hyphens.
	Name string
	// Title is the brand's name for people. Empty: Name.
	Title string

	// UserLabel and PasswordLabel are what the vendor calls Config.Username and
	// Config.Password, as in "API user". Empty: "User name", unless NoUsername is
	// set, and "Password".
	UserLabel, PasswordLabel string
	// AccountOptional: the first secret among Options can be given instead of the
	// user name and password, which are then empty.
	AccountOptional bool
	// NoUsername: the brand has a password or key without a user name.
	NoUsername bool

	// DefaultPort is used for an https URL without a port. 0: 443.
	DefaultPort int
	// Setup says where the API is switched on in the PBX and which account it
	// needs, in one or two sentences.
	Setup string
	// Docs is the URL of the vendor's documentation.
	Docs string

	// Options describes the keys of Config.Options and Config.Secrets that the
	// driver takes.
	Options []Option

	// Open makes an Authenticator and sends nothing. It receives checked
	// options with the defaults filled in. Applications call it through a
	// Registry.
	Open func(Config) (Authenticator, error)
}

// Option describes one of a driver's own settings.
type Option struct {
	Name     string
	Label    string // for people, as in "Token lifetime"; empty: Name
	Kind     OptionKind
	Choices  []Choice // the values of an OptionChoice
	Default  string   // used when the option is not given; empty: none
	Required bool
	Help     string // one sentence for people
}

// Choice is one value of an [OptionChoice].
type Choice struct {
	Value string
	Label string // for people; empty: Value
}

// OptionKind says what values an [Option] takes.
type OptionKind string

const (
	OptionString   OptionKind = "string"   // one line of at most 1000 bytes
	OptionSecret   OptionKind = "secret"   // set in Config.Secrets, never in Config.Options
	OptionPort     OptionKind = "port"     // 1 to 65535
	OptionInt      OptionKind = "int"      // a whole number from 0 to 2147483647
	OptionChoice   OptionKind = "choice"   // one of Choices
	OptionDuration OptionKind = "duration" // positive, as time.ParseDuration reads it: 90s, 30m, 4h
)

var optionKinds = []OptionKind{OptionString, OptionSecret, OptionPort, OptionInt, OptionChoice, OptionDuration}

// maxOption bounds, in bytes, the value of an option that is no secret.
const maxOption = 1000

// check returns what is wrong with value, "" if nothing.
func (o Option) check(value string) string {
	switch {
	case len(value) > maxOption:
		return fmt.Sprintf("the value is longer than %d bytes", maxOption)
	case strings.ContainsFunc(value, unicode.IsControl):
		return "the value has a line break or another control character: remove it"
	}
	switch o.Kind {
	case OptionPort:
		if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
			return fmt.Sprintf("%q is not a port (1 to 65535)", value)
		}
	case OptionInt:
		if _, err := strconv.ParseUint(value, 10, 31); err != nil {
			return fmt.Sprintf("%q is not a whole number (0 to 2147483647)", value)
		}
	case OptionChoice:
		if values := o.values(); !slices.Contains(values, value) {
			return fmt.Sprintf("%q is not one of %s", value, strings.Join(values, ", "))
		}
	case OptionDuration:
		if d, err := time.ParseDuration(value); err != nil || d <= 0 {
			return fmt.Sprintf("%q is not a duration (as in 90s, 30m, 4h)", value)
		}
	}
	return ""
}

// complete returns d with the words and numbers that it leaves out.
func (d Driver) complete() Driver {
	d.Title = cmp.Or(d.Title, d.Name)
	if !d.NoUsername {
		d.UserLabel = cmp.Or(d.UserLabel, "User name")
	}
	d.PasswordLabel = cmp.Or(d.PasswordLabel, "Password")
	d.DefaultPort = cmp.Or(d.DefaultPort, 443)
	d = d.clone()
	for i := range d.Options {
		o := &d.Options[i]
		o.Label = cmp.Or(o.Label, o.Name)
		for j := range o.Choices {
			o.Choices[j].Label = cmp.Or(o.Choices[j].Label, o.Choices[j].Value)
		}
	}
	return d
}

// clone returns a d whose options may be changed.
func (d Driver) clone() Driver {
	d.Options = slices.Clone(d.Options)
	for i := range d.Options {
		d.Options[i].Choices = slices.Clone(d.Options[i].Choices)
	}
	return d
}

func (o Option) values() []string {
	values := make([]string, len(o.Choices))
	for i, c := range o.Choices {
		values[i] = c.Value
	}
	return values
}

// defect returns what makes o a programmer's mistake, "" if nothing.
func (o Option) defect() string {
	switch {
	case o.Name == "":
		return "has no name"
	case !slices.Contains(optionKinds, o.Kind):
		return fmt.Sprintf("has the unknown kind %q", o.Kind)
	case o.Kind == OptionChoice && len(o.Choices) == 0:
		return "has no choices"
	case o.Kind == OptionSecret && o.Default != "":
		return "is a secret with a default"
	case o.Default != "" && o.check(o.Default) != "":
		return "has a wrong default: " + o.check(o.Default)
	}
	return ""
}

// short makes a name fit for an error.
func short(name string) string {
	const most = 64
	if len(name) <= most {
		return name
	}
	return strings.ToValidUTF8(name[:most], "") + "…"
}

// resolve checks the options of cfg and fills in the defaults.
func (d Driver) resolve(cfg Config) (Config, error) {
	fault := func(setting, format string, args ...any) error {
		return &Error{Driver: d.Name, Op: OpOpen, Kind: ErrConfig, Setting: setting, Message: fmt.Sprintf(format, args...)}
	}
	byName := make(map[string]Option, len(d.Options))
	var names []string
	for _, o := range d.Options {
		byName[o.Name] = o
		names = append(names, o.Name)
	}
	unknown := func(name string) error {
		name = short(name)
		if len(names) == 0 {
			return fault(name, "unknown option %q: this driver has none", name)
		}
		return fault(name, "unknown option %q: the options are %s", name, strings.Join(names, ", "))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Options)) {
		o, ok := byName[name]
		switch {
		case !ok:
			return cfg, unknown(name)
		case o.Kind == OptionSecret:
			return cfg, fault(name, "option %q is a secret: set it in Config.Secrets, so that it is never printed", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Secrets)) {
		o, ok := byName[name]
		switch {
		case !ok:
			return cfg, unknown(name)
		case o.Kind != OptionSecret:
			return cfg, fault(name, "option %q is not a secret: set it in Config.Options", name)
		}
	}
	options, secrets := make(map[string]string), make(map[string]Secret)
	for _, o := range d.Options {
		value := cfg.Options[o.Name]
		if value == "" {
			value = o.Default
		}
		switch secret := cfg.Secrets[o.Name]; {
		case !secret.IsZero():
			secrets[o.Name] = secret
		case value != "":
			if wrong := o.check(value); wrong != "" {
				return cfg, fault(o.Name, "option %q: %s", o.Name, wrong)
			}
			options[o.Name] = value
		case o.Required:
			return cfg, fault(o.Name, "option %q is required: %s", o.Name, o.Help)
		}
	}
	cfg.Options, cfg.Secrets = options, secrets
	return cfg, nil
}
