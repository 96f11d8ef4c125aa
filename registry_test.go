package pbx_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
)

// nothing is an Authenticator that must not be asked anything.
type nothing struct{ pbx.Config }

func (nothing) Login(context.Context) (*pbx.Token, error)                 { panic("sent") }
func (nothing) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) { panic("sent") }
func (nothing) Logout(context.Context, *pbx.Token) error                  { panic("sent") }

func openNothing(cfg pbx.Config) (pbx.Authenticator, error) { return nothing{cfg}, nil }

func TestTheZeroRegistryIsEmptyAndReady(t *testing.T) {
	var registry pbx.Registry
	if got := registry.Drivers(); len(got) != 0 {
		t.Errorf("Drivers() = %v", got)
	}
	if _, ok := registry.Lookup("yeastar"); ok {
		t.Error("Lookup finds a driver that nobody registered")
	}
	_, err := registry.Open("yeastar", pbx.Config{})
	wantConfigError(t, err, `open: configuration: unknown driver "yeastar": no driver is registered (is an import missing?)`)

	registry.Register(pbx.Driver{Name: "yeastar", Title: "Yeastar", Open: openNothing})
	if d, ok := registry.Lookup("yeastar"); !ok || d.Title != "Yeastar" {
		t.Errorf("Lookup = %v, %v", d, ok)
	}
	if _, err := registry.Open("yeastar", pbx.Config{}); err != nil {
		t.Error(err)
	}
}

func TestAnUnknownDriverGetsTheKnownOnesNamed(t *testing.T) {
	var registry pbx.Registry
	for _, name := range []string{"yeastar", "openvox", "runtel"} {
		registry.Register(pbx.Driver{Name: name, Open: openNothing})
	}
	_, err := registry.Open("Yeastar", pbx.Config{})
	wantConfigError(t, err, `open: configuration: unknown driver "Yeastar": registered are openvox, runtel, yeastar (is an import missing?)`)
	var failure *pbx.Error
	if errors.As(err, &failure) && failure.Setting != "Driver" {
		t.Errorf("setting %q, want Driver", failure.Setting)
	}
}

// A form is drawn from what Lookup and Drivers return, and nothing in it is empty
// that a person reads.
func TestARegistryFillsInTheWordsThatADriverLeavesOut(t *testing.T) {
	var registry pbx.Registry
	given := pbx.Driver{Name: "fake", Open: openNothing, Options: []pbx.Option{
		{Name: "format", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "json"}, {Value: "xml", Label: "XML"}}},
		{Name: "zone", Label: "Time zone", Kind: pbx.OptionString},
	}}
	registry.Register(given)
	registry.Register(pbx.Driver{Name: "keys", NoUsername: true, PasswordLabel: "Key", DefaultPort: 8088, Open: openNothing})
	got := registry.Drivers()
	for i := range got {
		got[i].Open = nil
	}
	want := []pbx.Driver{
		{Name: "fake", Title: "fake", UserLabel: "User name", PasswordLabel: "Password", DefaultPort: 443, Options: []pbx.Option{
			{Name: "format", Label: "format", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "json", Label: "json"}, {Value: "xml", Label: "XML"}}},
			{Name: "zone", Label: "Time zone", Kind: pbx.OptionString},
		}},
		{Name: "keys", Title: "keys", NoUsername: true, PasswordLabel: "Key", DefaultPort: 8088},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if given.Options[0].Label != "" || given.Options[0].Choices[0].Label != "" {
		t.Errorf("the options of the one who registers were changed: %+v", given.Options[0])
	}
}

// A form in another language puts its own labels into what it has got, and a fixed option
// becomes the default of a form.
func TestWhatARegistryHandsOutMayBeChanged(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{Name: "fake", Open: openNothing, Options: []pbx.Option{
		{Name: "format", Label: "Format", Kind: pbx.OptionChoice, Default: "xml", Choices: []pbx.Choice{{Value: "json", Label: "JSON"}, {Value: "xml", Label: "XML"}}},
	}})
	lookup := func() pbx.Driver { d, _ := registry.Lookup("fake"); return d }
	want := lookup().Options[0].Default + lookup().Options[0].Label + lookup().Options[0].Choices[0].Label
	for _, d := range []pbx.Driver{lookup(), registry.Drivers()[0]} {
		o := &d.Options[0]
		o.Default, o.Label, o.Choices[0].Label = "json", "Формат", "Обычный"
	}
	if o := lookup().Options[0]; o.Default+o.Label+o.Choices[0].Label != want {
		t.Errorf("the registry's own option was changed: %+v", o)
	}
}

func TestDriversAreInTheOrderOfTheirNames(t *testing.T) {
	var registry pbx.Registry
	for _, name := range []string{"yeastar", "3cx", "runtel", "yeastar-p", "az09-"} {
		registry.Register(pbx.Driver{Name: name, Open: openNothing})
	}
	var names []string
	for _, d := range registry.Drivers() {
		names = append(names, d.Name)
	}
	if diff := cmp.Diff([]string{"3cx", "az09-", "runtel", "yeastar", "yeastar-p"}, names); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestRegisterPanicsOnWhatOnlyAProgrammerCanMend(t *testing.T) {
	with := func(options ...pbx.Option) pbx.Driver {
		return pbx.Driver{Name: "fake", Open: openNothing, Options: options}
	}
	port := pbx.Option{Name: "port", Kind: pbx.OptionPort}
	for want, d := range map[string]pbx.Driver{
		`driver name "" is not`:                               {Open: openNothing},
		`driver name "Yeastar" is not`:                        {Name: "Yeastar", Open: openNothing},
		`driver name "yeastar p" is not`:                      {Name: "yeastar p", Open: openNothing},
		`driver name "yeastar{" is not`:                       {Name: "yeastar{", Open: openNothing},
		`driver name "yeastar_p" is not`:                      {Name: "yeastar_p", Open: openNothing},
		`driver name "häger" is not`:                          {Name: "häger", Open: openNothing},
		`driver "taken" is registered twice`:                  {Name: "taken", Open: openNothing},
		`driver "fake" has no Open`:                           {Name: "fake"},
		`option "" has no name`:                               with(pbx.Option{Kind: pbx.OptionString}),
		`option "port" is there twice`:                        with(port, port),
		`option "x" has the unknown kind ""`:                  with(pbx.Option{Name: "x"}),
		`option "x" has the unknown kind "number"`:            with(pbx.Option{Name: "x", Kind: "number"}),
		`option "x" has no choices`:                           with(pbx.Option{Name: "x", Kind: pbx.OptionChoice}),
		`option "x" has a wrong default: "0" is not a port`:   with(pbx.Option{Name: "x", Kind: pbx.OptionPort, Default: "0"}),
		`option "x" has a wrong default: "c" is not one of a`: with(pbx.Option{Name: "x", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "a"}}, Default: "c"}),
		`option "x" has a wrong default: "soon" is not`:       with(pbx.Option{Name: "x", Kind: pbx.OptionDuration, Default: "soon"}),
		`option "x" has a wrong default: "-1" is not`:         with(pbx.Option{Name: "x", Kind: pbx.OptionInt, Default: "-1"}),
		`option "x" is a secret with a default`:               with(pbx.Option{Name: "x", Kind: pbx.OptionSecret, Default: "admin"}),
	} {
		var registry pbx.Registry
		registry.Register(pbx.Driver{Name: "taken", Open: openNothing})
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "pbx: Register: ") || !strings.Contains(got, want) {
					t.Errorf("panics with %q, want %q", got, want)
				}
			}()
			registry.Register(d)
		}()
		if got := registry.Drivers(); len(got) != 1 {
			t.Errorf("%s: registered all the same", want)
		}
	}
}

func TestOptionsAreCheckedBeforeTheDriverSeesThem(t *testing.T) {
	var registry pbx.Registry
	fail := func(cfg pbx.Config) (pbx.Authenticator, error) {
		t.Errorf("the driver was opened with %q", cfg.Options)
		return nothing{cfg}, nil
	}
	registry.Register(pbx.Driver{Name: "bare", Open: fail})
	registry.Register(pbx.Driver{Name: "fake", Open: fail, Options: []pbx.Option{
		{Name: "port", Kind: pbx.OptionPort},
		{Name: "mode", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "json"}, {Value: "xml"}}},
		{Name: "ttl", Kind: pbx.OptionDuration},
		{Name: "key", Kind: pbx.OptionSecret},
		{Name: "lines", Kind: pbx.OptionInt},
	}})
	registry.Register(pbx.Driver{Name: "strict", Open: fail, Options: []pbx.Option{
		{Name: "tenant", Kind: pbx.OptionString, Required: true, Help: "the name of your office"},
	}})
	for _, test := range []struct {
		driver, option, value, want string
	}{
		{"bare", "port", "1", `unknown option "port": this driver has none`},
		{"fake", "prot", "1", `unknown option "prot": the options are port, mode, ttl, key, lines`},
		{"fake", "Port", "", `unknown option "Port": the options are port, mode, ttl, key, lines`},
		{"fake", "port", "0", `option "port": "0" is not a port (1 to 65535)`},
		{"fake", "port", "65536", `option "port": "65536" is not a port (1 to 65535)`},
		{"fake", "port", "-1", `option "port": "-1" is not a port (1 to 65535)`},
		{"fake", "port", "80 ", `option "port": "80 " is not a port (1 to 65535)`},
		{"fake", "mode", "XML", `option "mode": "XML" is not one of json, xml`},
		{"fake", "ttl", "30", `option "ttl": "30" is not a duration (as in 90s, 30m, 4h)`},
		{"fake", "ttl", "-1m", `option "ttl": "-1m" is not a duration (as in 90s, 30m, 4h)`},
		{"fake", "ttl", "0s", `option "ttl": "0s" is not a duration (as in 90s, 30m, 4h)`},
		{"fake", "key", "hunter2", `option "key" is a secret: set it in Config.Secrets, so that it is never printed`},
		{"fake", "lines", "1.5", `option "lines": "1.5" is not a whole number (0 to 2147483647)`},
		{"fake", "lines", "2147483648", `option "lines": "2147483648" is not a whole number (0 to 2147483647)`},
		{"strict", "tenant", "", `option "tenant" is required: the name of your office`},
		{"strict", "tenant", "a\nb", `option "tenant": the value has a line break or another control character: remove it`},
		{"strict", "tenant", "a\x00", `option "tenant": the value has a line break or another control character: remove it`},
		{"strict", "tenant", strings.Repeat("x", 1001), `option "tenant": the value is longer than 1000 bytes`},
		{"fake", "mode", strings.Repeat("x", 100_000), `option "mode": the value is longer than 1000 bytes`},
		{"bare", strings.Repeat("x", 100_000), "1", `unknown option "` + strings.Repeat("x", 64) + `…": this driver has none`},
	} {
		_, err := registry.Open(test.driver, pbx.Config{Options: map[string]string{test.option: test.value}})
		wantConfigError(t, err, test.driver+": open: configuration: "+test.want)
	}
	_, err := registry.Open("strict", pbx.Config{})
	wantConfigError(t, err, `strict: open: configuration: option "tenant" is required: the name of your office`)
}

func TestTheDriverGetsCheckedOptionsWithTheDefaultsFilledIn(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{Name: "fake", Open: openNothing, Options: []pbx.Option{
		{Name: "port", Kind: pbx.OptionPort, Default: "8088"},
		{Name: "mode", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "json"}, {Value: "xml"}}, Default: "json"},
		{Name: "ttl", Kind: pbx.OptionDuration, Default: "30m", Required: true},
		{Name: "note", Kind: pbx.OptionString},
		{Name: "lines", Kind: pbx.OptionInt},
	}})
	for _, test := range []struct{ given, want map[string]string }{
		{nil, map[string]string{"port": "8088", "mode": "json", "ttl": "30m"}},
		{map[string]string{"port": "", "note": ""}, map[string]string{"port": "8088", "mode": "json", "ttl": "30m"}},
		{map[string]string{"port": "1", "mode": "xml", "ttl": "1h30m", "note": "any text, =&?"}, map[string]string{"port": "1", "mode": "xml", "ttl": "1h30m", "note": "any text, =&?"}},
		{map[string]string{"lines": "0"}, map[string]string{"port": "8088", "mode": "json", "ttl": "30m", "lines": "0"}},
		{map[string]string{"lines": "2147483647"}, map[string]string{"port": "8088", "mode": "json", "ttl": "30m", "lines": "2147483647"}},
		{map[string]string{"note": strings.Repeat("x", 1000)}, map[string]string{"port": "8088", "mode": "json", "ttl": "30m", "note": strings.Repeat("x", 1000)}},
		{map[string]string{"port": "65535"}, map[string]string{"port": "65535", "mode": "json", "ttl": "30m"}},
	} {
		before := fmt.Sprint(test.given)
		auth, err := registry.Open("fake", pbx.Config{URL: "https://pbx.example.com", Username: "api", Options: test.given})
		if err != nil {
			t.Errorf("%v: %v", test.given, err)
			continue
		}
		got := auth.(nothing).Config
		if diff := cmp.Diff(test.want, got.Options); diff != "" {
			t.Errorf("%v (-want +got)\n%s", test.given, diff)
		}
		if got.URL != "https://pbx.example.com" || got.Username != "api" {
			t.Errorf("the rest of the settings became %v", got)
		}
		got.Options["port"] = "changed by the driver"
		if after := fmt.Sprint(test.given); after != before {
			t.Errorf("the caller's options became %s", after)
		}
	}
}

func TestSecretsAreCheckedBeforeTheDriverSeesThem(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{Name: "bare", Open: openNothing})
	registry.Register(pbx.Driver{Name: "fake", Open: openNothing, Options: []pbx.Option{
		{Name: "key", Kind: pbx.OptionSecret, Required: true, Help: "the key of the API"},
		{Name: "zone", Kind: pbx.OptionString, Default: "UTC"},
	}})
	secret := pbx.NewSecret("hunter2")
	for _, test := range []struct {
		driver, setting string
		given           map[string]pbx.Secret
		want            string
	}{
		{"bare", "key", map[string]pbx.Secret{"key": secret}, `unknown option "key": this driver has none`},
		{"fake", "kye", map[string]pbx.Secret{"key": secret, "kye": secret}, `unknown option "kye": the options are key, zone`},
		{"fake", "zone", map[string]pbx.Secret{"key": secret, "zone": secret}, `option "zone" is not a secret: set it in Config.Options`},
		{"fake", "key", nil, `option "key" is required: the key of the API`},
		{"fake", "key", map[string]pbx.Secret{"key": {}}, `option "key" is required: the key of the API`},
	} {
		_, err := registry.Open(test.driver, pbx.Config{Secrets: test.given})
		wantConfigError(t, err, test.driver+": open: configuration: "+test.want)
		var failure *pbx.Error
		if errors.As(err, &failure) && failure.Setting != test.setting {
			t.Errorf("%v: setting %q, want %q", err, failure.Setting, test.setting)
		}
	}

	given := map[string]pbx.Secret{"key": pbx.NewSecret("any bytes\x00\n" + strings.Repeat("x", 2000))}
	auth, err := registry.Open("fake", pbx.Config{Secrets: given})
	if err != nil {
		t.Fatal(err)
	}
	got := auth.(nothing).Config
	if len(got.Secrets) != 1 || !got.Secrets["key"].Equal(given["key"]) || !maps.Equal(got.Options, map[string]string{"zone": "UTC"}) {
		t.Errorf("the driver got %v and the secrets %v", got, got.Secrets)
	}
	if got.Secrets["key"] = secret; given["key"].Equal(secret) {
		t.Error("the secrets of the one who opens were changed")
	}
}

func TestAFailingOpenIsPassedOn(t *testing.T) {
	var registry pbx.Registry
	want := &pbx.Error{Driver: "fake", Op: pbx.OpOpen, Kind: pbx.ErrConfig, Message: "URL is empty"}
	registry.Register(pbx.Driver{Name: "fake", Open: func(pbx.Config) (pbx.Authenticator, error) { return nil, want }})
	if auth, err := registry.Open("fake", pbx.Config{}); auth != nil || err != error(want) {
		t.Errorf("Open = %v, %v", auth, err)
	}
}

func TestADriverThatOpensNothingWithoutAnErrorIsAnError(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{Name: "fake", Open: func(pbx.Config) (pbx.Authenticator, error) { return nil, nil }})
	_, err := registry.Open("fake", pbx.Config{})
	wantConfigError(t, err, "fake: open: configuration: the driver opened nothing and returned no error: this is a fault of the driver")
}

func TestTheErrorOfALongDriverNameIsShort(t *testing.T) {
	var registry pbx.Registry
	longest := strings.Repeat("x", 64)
	_, err := registry.Open(longest, pbx.Config{})
	wantConfigError(t, err, `open: configuration: unknown driver "`+longest+`": no driver is registered (is an import missing?)`)
	_, err = registry.Open(strings.Repeat("x", 100_000), pbx.Config{})
	wantConfigError(t, err, `open: configuration: unknown driver "`+longest+`…": no driver is registered (is an import missing?)`)
}

func TestRegistriesAreUsedConcurrently(t *testing.T) {
	var registry pbx.Registry
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name := fmt.Sprintf("fake-%d", i)
			registry.Register(pbx.Driver{Name: name, Open: openNothing, Options: []pbx.Option{{Name: "port", Kind: pbx.OptionPort, Default: "1"}}})
			for range 100 {
				if _, err := registry.Open(name, pbx.Config{}); err != nil {
					t.Error(err)
				}
				if _, ok := registry.Lookup(name); !ok {
					t.Errorf("%s is gone", name)
				}
				if got := registry.Drivers(); !slices.IsSortedFunc(got, func(a, b pbx.Driver) int { return strings.Compare(a.Name, b.Name) }) {
					t.Errorf("not in order: %v", got)
				}
			}
		})
	}
	group.Wait()
	if got := len(registry.Drivers()); got != 8 {
		t.Errorf("%d drivers, want 8", got)
	}
}

// The default registry lasts as long as the process, so a test run twice must
// not register twice.
var registerDefault = sync.OnceFunc(func() {
	pbx.Register(pbx.Driver{Name: "default-fake", Title: "Fake", Open: openNothing})
})

func TestThePackageHasARegistryOfItsOwn(t *testing.T) {
	registerDefault()
	if d, ok := pbx.Lookup("default-fake"); !ok || d.Title != "Fake" {
		t.Errorf("Lookup = %v, %v", d, ok)
	}
	if !slices.ContainsFunc(pbx.Drivers(), func(d pbx.Driver) bool { return d.Name == "default-fake" }) {
		t.Error("Drivers does not have it")
	}
	if _, err := pbx.Open("default-fake", pbx.Config{}); err != nil {
		t.Error(err)
	}
	_, err := pbx.Open("no-such-driver", pbx.Config{})
	if !errors.Is(err, pbx.ErrConfig) || !strings.Contains(err.Error(), "default-fake") {
		t.Errorf("error %v", err)
	}
}

func wantConfigError(t *testing.T, err error, text string) {
	t.Helper()
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		t.Errorf("error %v (%T), want a *pbx.Error: %s", err, err, text)
		return
	}
	if failure.Kind != pbx.ErrConfig || failure.Op != pbx.OpOpen || failure.Sent {
		t.Errorf("kind %v, op %v, sent %v", failure.Kind, failure.Op, failure.Sent)
	}
	if err.Error() != text {
		t.Errorf("error %q, want %q", err, text)
	}
}
