package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
)

// form is the settings form of one PBX, drawn from what its driver says.
type form struct {
	ID, Rev int64 // of the settings that it was made of
	Driver  pbx.Driver
	Drivers []choice
	Basics  []field  // name and address
	Account []field  // user name and password, or a key instead
	ByKey   *byKey   // nil: the brand has no choice between the two
	Needed  []field  // required options and choices
	More    []field  // all other options
	Open    bool     // More is to be shown
	Unknown []string // saved options that the driver does not know
	Drawn   string   // what it was drawn for
	Focus   string   // the input that was changed, so that the form was drawn anew
	Pin     string

	Failed   string // "Not saved", "The test failed"
	Problems []problem
	Notice   string

	Steps []step
	Cert  *certificate // to be decided about
}

// byKey is the question whether a key stands for the account.
type byKey struct {
	Choices []choice
}

type choice struct {
	Value, Label string
	Selected     bool
}

// field is one input of the form.
type field struct {
	ID, Name    string // of the input; ID also stands in links
	Label, Help string
	Kind        string // text, password, select
	InputMode   string
	Value       string // never a secret
	Choices     []choice
	Optional    bool
	Narrow      bool
	Set         string // of a secret that is kept: when it was set, as in "on 3 Nov"
	Error       string
}

// problem is a thing to fix. Field is empty where no field is at fault.
type problem struct{ Field, Text string }

// Title is the heading over the problems.
func (f form) Title() string {
	if n := len(f.Problems); n != 1 {
		return fmt.Sprintf("%s: %d things to fix", f.Failed, n)
	}
	return f.Failed + ": 1 thing to fix"
}

// entered is what a person has typed, beside the settings that are saved.
type entered struct {
	settings Settings // with what was typed in them
	saved    Settings // ID 0: nothing is saved
	byKey    bool     // a key stands for the account
	typed    []string // the names of the inputs into which a secret was typed
}

// optionField and secretField are the names of an option's input.
func optionField(name string) string { return "o." + name }
func secretField(name string) string { return "s." + name }

// keyOption is the secret that can stand for user name and password.
func keyOption(d pbx.Driver) (pbx.Option, bool) {
	if !d.AccountOptional {
		return pbx.Option{}, false
	}
	i := slices.IndexFunc(d.Options, func(o pbx.Option) bool { return o.Kind == pbx.OptionSecret })
	if i < 0 {
		return pbx.Option{}, false
	}
	return d.Options[i], true
}

// passwordField is the input of the secret that the PBX logs in with.
func passwordField(s Settings, d pbx.Driver) string {
	if key, ok := keyOption(d); ok && s.Password.IsZero() && !s.Secrets[key.Name].IsZero() {
		return secretField(key.Name)
	}
	return "password"
}

// read takes what was posted. A secret that was left empty keeps its value.
func read(posted url.Values, saved Settings) entered {
	e := entered{settings: saved, saved: saved}
	s := &e.settings
	s.Name = strings.TrimSpace(posted.Get("name"))
	s.URL = strings.TrimSpace(posted.Get("url"))
	s.Username = posted.Get("username")
	if posted.Has("driver") {
		s.Driver = posted.Get("driver")
	}
	d, _ := pbx.Lookup(s.Driver)
	known := map[string]pbx.Option{}
	for _, o := range d.Options {
		known[o.Name] = o
	}
	// Options of another brand are dropped: they were never shown.
	s.Options, s.Secrets = map[string]string{}, map[string]pbx.Secret{}
	if s.Driver == saved.Driver {
		for name, value := range saved.Options {
			if _, ok := known[name]; !ok && !posted.Has("remove."+name) {
				s.Options[name] = value
			}
		}
		for name, value := range saved.Secrets {
			if _, ok := known[name]; ok || !posted.Has("remove."+name) {
				s.Secrets[name] = value
			}
		}
	}
	for name := range posted {
		option, isOption := strings.CutPrefix(name, "o.")
		secret, isSecret := strings.CutPrefix(name, "s.")
		switch value := strings.TrimSpace(posted.Get(name)); {
		case value == "" || changed(posted):
		case isOption:
			s.Options[option] = value // also an unknown one: the page asks what to do with it
		case isSecret:
			s.Secrets[secret] = pbx.NewSecret(posted.Get(name))
			e.typed = append(e.typed, name)
		}
	}
	if password := posted.Get("password"); password != "" {
		s.Password = pbx.NewSecret(password)
		e.typed = append(e.typed, "password")
	}
	if posted.Has("pin") && posted.Get("pin") != saved.Pin {
		s.Pin, s.PinSet = posted.Get("pin"), time.Now()
	}
	if len(e.typed) > 0 {
		s.SecretsSet = time.Now()
	}
	key, hasKey := keyOption(d)
	e.byKey = hasKey && (posted.Get("login") == "key" || !posted.Has("login") && !s.Secrets[key.Name].IsZero())
	switch {
	case e.byKey:
		s.Username, s.Password = "", pbx.Secret{}
	case hasKey:
		delete(s.Secrets, key.Name)
	}
	if d.NoUsername {
		s.Username = ""
	}
	if rev, err := strconv.ParseInt(posted.Get("rev"), 10, 64); err == nil {
		s.Rev = rev
	}
	return e
}

const byKeySuffix = " by key"

// drawnFor names the brand, and the way to log in, that a form was drawn for.
func drawnFor(driver string, byKey bool) string {
	if byKey {
		return driver + byKeySuffix
	}
	return driver
}

// changed reports whether another brand or way to log in was chosen than the one
// that the form was drawn for. What was typed into its options does not count.
func changed(posted url.Values) bool {
	return posted.Has("drawn") && posted.Get("drawn") != drawnFor(posted.Get("driver"), posted.Get("login") == "key")
}

// check returns what is wrong with it. Nothing is sent.
func (e entered) check(fleet *Fleet, nameTaken func(name string, id int64) bool) []problem {
	var problems []problem
	s := e.settings
	d, known := pbx.Lookup(s.Driver)
	add := func(field, text string) { problems = append(problems, problem{field, text}) }
	switch {
	case s.Name == "":
		add("name", "Enter a name for this PBX.")
	case utf8.RuneCountInString(s.Name) > 80:
		add("name", "Shorten the name to 80 characters.")
	case strings.ContainsFunc(s.Name, invisible):
		add("name", "Remove the invisible characters from the name.")
	case nameTaken(s.Name, s.ID):
		add("name", fmt.Sprintf("The name “%s” is taken. Choose another one.", s.Name))
	}
	if !known {
		add("driver", "Choose a brand.")
		return problems
	}
	const most = 500 // characters: each row has these texts
	switch {
	case s.URL == "":
		add("url", "Enter the address of the PBX.")
	case len(s.URL) > most:
		add("url", fmt.Sprintf("Shorten the address to %d characters.", most))
	}
	switch {
	case !e.byKey && !d.NoUsername && s.Username == "":
		add("username", fmt.Sprintf("Enter the %s.", lowerFirst(userLabel(d))))
	case utf8.RuneCountInString(s.Username) > most:
		add("username", fmt.Sprintf("Shorten the %s to %d characters.", lowerFirst(userLabel(d)), most))
	}
	if !e.byKey && s.Password.IsZero() {
		add("password", fmt.Sprintf("Enter the %s.", lowerFirst(passwordLabel(d))))
	}
	if key, ok := keyOption(d); ok && e.byKey && s.Secrets[key.Name].IsZero() {
		add(secretField(key.Name), fmt.Sprintf("Enter the %s.", lowerFirst(key.Label)))
	}
	if e.saved.ID != 0 && s.URL != e.saved.URL && !sameHost(s.URL, e.saved.URL) {
		again := func(field, label string, secret pbx.Secret) {
			if !secret.IsZero() && !slices.Contains(e.typed, field) {
				add(field, fmt.Sprintf("Type the %s again: it was entered for another address.", lowerFirst(label)))
			}
		}
		again("password", passwordLabel(d), s.Password)
		for _, o := range d.Options {
			again(secretField(o.Name), o.Label, s.Secrets[o.Name])
		}
	}
	if len(problems) == 0 {
		if err := fleet.Check(s.Driver, s.config()); err != nil {
			problems = append(problems, problemOf(err, d))
		}
	}
	return problems
}

// invisible reports whether r makes a name look like another one, or like none. Some
// scripts and emoji need joiners.
func invisible(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != nonJoiner && r != joiner
}

// problemOf puts an error of the driver beside the field that it names.
func problemOf(err error, d pbx.Driver) problem {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return problem{Text: sentence(err.Error())}
	}
	return problem{fieldOf(failure, d), sentence(failure.Message)}
}

// fieldOf is the input that an error's setting belongs to.
func fieldOf(failure *pbx.Error, d pbx.Driver) string {
	switch failure.Setting {
	case "":
	case "URL", "AllowPlainHTTP":
		return "url"
	case "Username":
		return "username"
	case "Password":
		return "password"
	default:
		for _, o := range d.Options {
			if o.Name == failure.Setting {
				return inputOf(o)
			}
		}
		return ""
	}
	if strings.HasPrefix(failure.Message, "URL ") {
		return "url"
	}
	return ""
}

func inputOf(o pbx.Option) string {
	if o.Kind == pbx.OptionSecret {
		return secretField(o.Name)
	}
	return optionField(o.Name)
}

var schemePart = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:[/\\]+`)

// shownAddress is a typed address without a user name and password.
func shownAddress(address string) string {
	at := strings.LastIndexByte(address, '@')
	if u, err := url.Parse(address); at < 0 || err == nil && u.Host != "" && u.User == nil {
		return address
	}
	// It may be mistyped, so that everything before an @ is suspect.
	return schemePart.FindString(address) + address[at+1:]
}

// draw makes the form. Secrets are not in it.
func (e entered) draw(problems []problem) form {
	s := e.settings
	d, known := pbx.Lookup(s.Driver)
	f := form{ID: s.ID, Rev: s.Rev, Driver: d, Drawn: drawnFor(d.Name, e.byKey), Pin: s.Pin, Problems: problems}
	if !known {
		f.Drivers = append(f.Drivers, choice{"", "Choose a brand", s.Driver == ""})
	}
	for _, other := range pbx.Drivers() {
		f.Drivers = append(f.Drivers, choice{other.Name, other.Title, other.Name == s.Driver})
	}
	slices.SortStableFunc(f.Drivers, func(a, b choice) int {
		return strings.Compare(strings.ToLower(sortable(a)), strings.ToLower(sortable(b)))
	})
	set := ""
	if e.saved.ID != 0 && s.Driver == e.saved.Driver && !e.saved.SecretsSet.IsZero() {
		set = "on " + day(e.saved.SecretsSet, time.Now())
	}
	port := "443"
	if d.DefaultPort != 0 {
		port = fmt.Sprint(d.DefaultPort)
	}
	f.Basics = []field{
		{Name: "name", Label: "Name", Help: "Your name for this PBX. It must be unique.", Value: s.Name},
		{Name: "url", Label: "Address", Help: "For example https://pbx.example.com. Without a port, " + port + " is used.", Value: shownAddress(s.URL)},
	}
	key, hasKey := keyOption(d)
	if hasKey {
		f.ByKey = &byKey{[]choice{
			{"account", userLabel(d) + " and " + lowerFirst(passwordLabel(d)), !e.byKey},
			{"key", key.Label, e.byKey},
		}}
	}
	if !d.NoUsername && !e.byKey {
		f.Account = append(f.Account, field{Name: "username", Label: userLabel(d), Value: s.Username, Narrow: true})
	}
	if !e.byKey {
		f.Account = append(f.Account, field{Name: "password", Label: passwordLabel(d), Kind: "password", Narrow: true, Set: kept(set, e.saved.Password)})
	}
	for _, o := range d.Options {
		in := draw(o, s.Options[o.Name])
		if o.Kind == pbx.OptionSecret {
			in.Set = kept(set, e.saved.Secrets[o.Name])
		}
		switch {
		case hasKey && o.Name == key.Name:
			if in.Optional = false; e.byKey {
				f.Account = append(f.Account, in)
			}
		case o.Required || o.Kind == pbx.OptionChoice && o.Default != "":
			f.Needed = append(f.Needed, in)
		default:
			f.More = append(f.More, in)
			if v := s.Options[o.Name]; v != "" && v != o.Default {
				f.Open = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Options)) {
		if known && !slices.ContainsFunc(d.Options, func(o pbx.Option) bool { return o.Name == name }) {
			f.Unknown = append(f.Unknown, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		if known && !slices.ContainsFunc(d.Options, func(o pbx.Option) bool { return o.Name == name }) {
			f.Unknown = append(f.Unknown, name)
		}
	}
	for _, fields := range [][]field{f.Basics, f.Account, f.Needed, f.More} {
		for i := range fields {
			in := &fields[i]
			in.ID = in.Name
			in.Kind = cmp.Or(in.Kind, "text")
			for _, p := range problems {
				if p.Field == in.ID {
					in.Error = p.Text
				}
			}
		}
	}
	f.Open = f.Open || slices.ContainsFunc(f.More, func(in field) bool { return in.Error != "" })
	return f
}

// DriverError is what is wrong with the choice of the brand.
func (f form) DriverError() string {
	for _, p := range f.Problems {
		if p.Field == "driver" {
			return p.Text
		}
	}
	return ""
}

// kept is when a secret was set that an empty field keeps.
func kept(set string, secret pbx.Secret) string {
	if secret.IsZero() {
		return ""
	}
	return cmp.Or(set, "earlier")
}

// draw makes the input of one option.
func draw(o pbx.Option, value string) field {
	in := field{Name: inputOf(o), Label: o.Label, Help: help(o), Value: value, Optional: !o.Required, Narrow: true}
	switch o.Kind {
	case pbx.OptionSecret:
		in.Kind, in.Value = "password", ""
	case pbx.OptionPort, pbx.OptionInt:
		in.InputMode = "numeric"
	case pbx.OptionChoice:
		in.Kind, in.Narrow = "select", false
		switch {
		case o.Default != "":
			in.Optional = false // one is always chosen
		case o.Required:
			in.Choices = append(in.Choices, choice{"", "Choose one", value == ""})
		default:
			in.Choices = append(in.Choices, choice{"", "Not set", value == ""})
		}
		found := value == ""
		for _, c := range o.Choices {
			label := c.Label
			if c.Value == o.Default {
				label += " (default)"
			}
			in.Choices = append(in.Choices, choice{c.Value, label, c.Value == cmp.Or(value, o.Default)})
			found = found || c.Value == value
		}
		if !found {
			in.Choices = append(in.Choices, choice{value, value + " (not supported)", true})
		}
	}
	return in
}

// help is the driver's sentence, with what people need to know of the kind.
func help(o pbx.Option) string {
	text := sentence(o.Help)
	if o.Kind == pbx.OptionDuration && !strings.Contains(text, "as in") {
		text = strings.TrimSpace(text + " As in 90s, 30m, 4h.")
	}
	if o.Default != "" && o.Kind != pbx.OptionChoice {
		text = strings.TrimSpace(text + " Default: " + o.Default + ".")
	}
	return text
}

func userLabel(d pbx.Driver) string     { return cmp.Or(d.UserLabel, "User name") }
func passwordLabel(d pbx.Driver) string { return cmp.Or(d.PasswordLabel, "Password") }

// lowerFirst lets a label stand within a sentence, but for an abbreviation.
func lowerFirst(label string) string {
	if len(label) > 1 && label[1] >= 'a' && label[1] <= 'z' {
		return strings.ToLower(label[:1]) + label[1:]
	}
	return label
}

func sortable(c choice) string {
	if c.Value == "" {
		return ""
	}
	return c.Label
}

func sameName(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }

// hostname is the host of a typed address, without its port.
func hostname(address string) string {
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

func sameHost(a, b string) bool { return hostname(a) == hostname(b) }
