package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var configRules = []Rule{
	{
		ID:    "CONFIG-01",
		Says:  "Opening sends nothing.",
		Why:   "A settings form is checked by opening it, and a fleet is opened while half of it is down.",
		check: openingSendsNothing,
	},
	{
		ID:    "CONFIG-03",
		Says:  "An unknown option is ErrConfig, and the error lists the options that exist.",
		Why:   "A misspelt option that is silently ignored is found by the customer.",
		check: unknownOption,
	},
	{
		ID:    "CONFIG-04",
		Says:  "Plain http to any host but loopback is ErrConfig, unless AllowPlainHTTP is set.",
		Why:   "Anyone on the path reads the password, or a digest that is as good.",
		check: plainHTTP,
	},
	{
		ID:      "CONFIG-05",
		Says:    "The Credentials func is asked before every login. If it fails, nothing is sent, and its error can be matched.",
		Why:     "A password from a vault changes while the process runs. One that is kept has become a wrong one.",
		needs:   []precondition{credentials},
		options: roomForAll,
		check:   credentialsFunc,
	},
	{
		ID:    "CONFIG-07",
		Says:  "Fingerprint sends nothing, depends on the key, is the same for the same credentials and different for others, and is that of the credentials that a login in the same attempt sends. If the Credentials func fails, its error can be matched.",
		Why:   "A session recognises a refused password by its fingerprint. A wrong fingerprint sends the password again, or never sends the new one.",
		needs: []precondition{fingerprinter},
		check: fingerprint,
	},
	{
		ID:    "CONFIG-08",
		Says:  "Settings that lack the URL, or a part of the account that this driver takes, are ErrConfig on opening.",
		Why:   "An empty password would be a wrong one, and a few of them lock the client out.",
		check: missingSettings,
	},
	{
		ID:      "CONFIG-09",
		Says:    "A path in the URL that is not the API's own is kept, or is ErrConfig on opening. Nothing is sent outside of it.",
		Why:     "A gateway serves a PBX below a path. If the path is cut, the gateway gets the password.",
		options: func(o *pbxsim.Options) { o.Under = gatewayPath },
		check:   pathKept,
	},
	{
		ID:    "CONFIG-10",
		Says:  "If the Credentials func panics, returns no password, or does not return before the context ends, the login is an error, Sent is false, nothing is sent, and Fingerprint is an error too.",
		Why:   "It is the application's code, and asks a vault that may hang. No wrong login can have been counted.",
		needs: []precondition{credentials},
		check: badCredentialsFunc,
	},
	{
		ID:    "CONFIG-11",
		Says:  "A user name or password that ends in a line break is ErrConfig, on opening or before a login sends anything.",
		Why:   "It was read from a file or a mounted secret. The PBX would count a wrong login.",
		check: lineBreak,
	},
	{
		ID:    "CONFIG-12",
		Says:  "Traits.URL, if set, is the URL that the driver was opened with, without a slash at the end. Traits.Account, if set, differs between user names.",
		Why:   "Sessions send tokens to that URL only, count wrong logins by its host, and resolve an application's paths on it. A stored token is found by the URL and the account.",
		check: identity,
	},
	{
		ID:    "CONFIG-13",
		Says:  "Traits are the same before and after a login.",
		Why:   "They are what a driver knows before it sends anything, and a session reads them then.",
		check: traitsStay,
	},
}

func traitsStay(t *testbed) error {
	before := t.auth.Traits()
	if _, err := t.login(); err != nil {
		return err
	}
	if after := t.auth.Traits(); after != before {
		return fmt.Errorf("they are %+v, and were %+v", after, before)
	}
	return nil
}

func identity(t *testbed) error {
	for _, written := range []string{t.server.URL, t.server.URL + "/"} {
		auth, err := t.open(func(c *pbx.Config) { c.URL = written })
		if err != nil {
			return at("opened with "+written, err)
		}
		if got := auth.Traits().URL; got != "" && got != t.server.URL {
			return fmt.Errorf("opened with %s: Traits.URL is %q, want %q", written, got, t.server.URL)
		}
	}
	if t.config(nil).Username == "" {
		return nil
	}
	other, err := t.open(func(c *pbx.Config) { c.Username = "another-" + account })
	if err != nil {
		return err
	}
	if name := t.auth.Traits().Account; name != "" && name == other.Traits().Account {
		return fmt.Errorf("two user names have the same Traits.Account, %q", name)
	}
	return nil
}

// gatewayPath is below which a gateway serves the PBX.
const gatewayPath = "/api/pbx-7"

func pathKept(t *testbed) error {
	auth, err := t.open(func(c *pbx.Config) { c.URL += gatewayPath })
	if err != nil {
		return ofKind(err, pbx.ErrConfig)
	}
	_, err = auth.Login(context.Background())
	for _, r := range t.sim.Log() {
		if !strings.HasPrefix(r.Path, gatewayPath+"/") {
			return fmt.Errorf("with %s in the URL, a request goes to %s", gatewayPath, r.Path)
		}
	}
	return at("a login through a gateway", err)
}

func badCredentialsFunc(t *testbed) error {
	open := func(ask func(context.Context) (pbx.Credentials, error)) (*observedDriver, error) {
		cfg := t.config(nil)
		cfg.Username, cfg.Password, cfg.Credentials = "", pbx.Secret{}, ask
		return t.openWith(cfg)
	}
	unsent := func(err error) error {
		if n := t.transport.requests.Load(); n != 0 {
			return fmt.Errorf("%d requests are sent", n)
		}
		return errors.Join(ofKind(err), sent(err, false))
	}
	panicking, err := open(func(context.Context) (pbx.Credentials, error) { panic("the vault is broken") })
	if err != nil {
		return err
	}
	if err := unsent(noToken(panicking.Login(context.Background()))); err != nil {
		return at("a func that panics", err)
	}
	prints := fingerprinter(t) == ""
	if prints {
		if _, err := panicking.Fingerprint(context.Background(), []byte("a key of 32 bytes for this rule.")); err == nil {
			return errors.New("a func that panics: Fingerprint succeeds")
		}
	}

	forgetful, err := open(func(context.Context) (pbx.Credentials, error) {
		return pbx.Credentials{Username: t.config(nil).Username}, nil
	})
	if err != nil {
		return err
	}
	if err := unsent(noToken(forgetful.Login(context.Background()))); err != nil {
		return at("a func that returns no password", err)
	}

	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	defer release()
	defer time.AfterFunc(patience/2, release).Stop()
	hanging, err := open(func(context.Context) (pbx.Credentials, error) {
		<-released
		return pbx.Credentials{}, errors.New("the vault hangs")
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), contextEnd)
	defer cancel()
	begun := time.Now()
	err = noToken(hanging.Login(ctx))
	if took := time.Since(begun); took > contextEnd+100*time.Millisecond {
		return fmt.Errorf("a func that does not return holds the login until %s after the context's end", took-contextEnd)
	}
	if err := unsent(err); err != nil || !prints {
		return at("a func that does not return", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), contextEnd)
	defer cancel()
	begun = time.Now()
	_, err = hanging.Fingerprint(ctx, []byte("a key of 32 bytes for this rule."))
	if took := time.Since(begun); took > contextEnd+100*time.Millisecond {
		return fmt.Errorf("a func that does not return holds Fingerprint until %s after the context's end", took-contextEnd)
	}
	if err == nil {
		return errors.New("a func that does not return: Fingerprint succeeds")
	}
	return nil
}

func lineBreak(t *testbed) error {
	all := t.config(nil)
	unsent := func(what string, auth *observedDriver, err error) error {
		if err == nil {
			err = noToken(auth.Login(context.Background()))
		}
		if n := t.transport.requests.Load(); n != 0 {
			return fmt.Errorf("%s: %d requests are sent", what, n)
		}
		return at(what, errors.Join(ofKind(err, pbx.ErrConfig), sent(err, false)))
	}
	for _, end := range []string{"\n", "\r\n"} {
		auth, err := t.open(func(c *pbx.Config) { c.Password = pbx.NewSecret(password + end) })
		if err := unsent(fmt.Sprintf("a password that ends in %q", end), auth, err); err != nil {
			return err
		}
		if all.Username != "" {
			auth, err := t.open(func(c *pbx.Config) { c.Username += end })
			if err := unsent(fmt.Sprintf("a user name that ends in %q", end), auth, err); err != nil {
				return err
			}
		}
		if credentials(t) != "" {
			continue
		}
		auth, vault, err := t.withVault()
		if err != nil {
			return err
		}
		vault.put(password+end, nil)
		if err := unsent(fmt.Sprintf("a password from a func that ends in %q", end), auth, nil); err != nil {
			return err
		}
	}
	return nil
}

func openingSendsNothing(t *testbed) error {
	time.Sleep(time.Hour) // whatever it does in the background
	if n := t.transport.requests.Load(); n != 0 {
		return fmt.Errorf("%d requests are sent", n)
	}
	return nil
}

func missingSettings(t *testbed) error {
	all := t.config(nil)
	missing := map[string]pbx.Config{}
	without := func(name string, remove func(*pbx.Config)) {
		cfg := all
		remove(&cfg)
		missing[name] = cfg
	}
	without("URL", func(c *pbx.Config) { c.URL = "" })
	if all.Username != "" {
		without("Username", func(c *pbx.Config) { c.Username = "" })
	}
	if !all.Password.IsZero() {
		without("Password", func(c *pbx.Config) { c.Password = pbx.Secret{} })
	} else if len(all.Secrets) > 0 {
		without("Secrets", func(c *pbx.Config) { c.Secrets = nil })
	}
	for name, cfg := range missing {
		if _, err := t.openWith(cfg); ofKind(err, pbx.ErrConfig) != nil {
			return at("without "+name, ofKind(err, pbx.ErrConfig))
		}
	}
	return nil
}

func unknownOption(t *testbed) error {
	_, err := t.open(func(c *pbx.Config) {
		c.Options = maps.Clone(c.Options)
		if c.Options == nil {
			c.Options = map[string]string{}
		}
		c.Options["no-such-option"] = "1"
	})
	if wrong := ofKind(err, pbx.ErrConfig); wrong != nil {
		return wrong
	}
	d, _ := t.harness.lookup()
	for _, o := range d.Options {
		if !strings.Contains(err.Error(), o.Name) {
			return fmt.Errorf("the error does not name the option %q: %w", o.Name, err)
		}
	}
	return nil
}

func plainHTTP(t *testbed) error {
	for _, url := range []string{"http://pbx.example.com", "http://192.0.2.7", "http://[2001:db8::7]", "HTTP://pbx.example.com:8088"} {
		if _, err := t.open(func(c *pbx.Config) { c.URL = url }); ofKind(err, pbx.ErrConfig) != nil {
			return at(url, ofKind(err, pbx.ErrConfig))
		}
		if _, err := t.open(func(c *pbx.Config) { c.URL, c.AllowPlainHTTP = url, true }); err != nil {
			return at(url+" with AllowPlainHTTP", err)
		}
	}
	return nil
}

// vault is what a Credentials func asks.
type vault struct {
	username string

	mu       sync.Mutex // guards the fields below
	asked    int
	password string
	err      error
}

// rotated is the password after password.
const rotated = "canary-rotated-5Yt2Rm9x"

func (v *vault) put(password string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.password, v.err = password, err
}

func (v *vault) credentials(context.Context) (pbx.Credentials, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	return pbx.Credentials{Username: v.username, Password: pbx.NewSecret(v.password)}, v.err
}

// withVault opens the driver with a Credentials func instead of an account.
func (t *testbed) withVault() (*observedDriver, *vault, error) {
	t.leaks.Plant("password", rotated)
	cfg := t.config(nil)
	v := &vault{username: cfg.Username, password: password}
	cfg.Username, cfg.Password, cfg.Credentials = "", pbx.Secret{}, v.credentials
	auth, err := t.openWith(cfg)
	return auth, v, at("opening with a Credentials func", err)
}

func credentialsFunc(t *testbed) error {
	auth, vault, err := t.withVault()
	if err != nil {
		return err
	}
	for i, next := range []string{password, rotated} {
		t.sim.SetPassword(account, next)
		vault.put(next, nil)
		if _, err := auth.Login(context.Background()); err != nil {
			return fmt.Errorf("the login with password %d of the vault: %w", i+1, err)
		}
	}
	if vault.asked != 2 {
		return fmt.Errorf("the func is asked %d times for two logins", vault.asked)
	}

	before := t.transport.requests.Load()
	sealed := errors.New("the vault is sealed")
	vault.put(rotated, sealed)
	_, err = auth.Login(context.Background())
	switch {
	case err == nil:
		return errors.New("the login succeeds without credentials")
	case !errors.Is(err, sealed):
		return fmt.Errorf("the func's error cannot be matched in %w", err)
	case t.transport.requests.Load() != before:
		return errors.New("a request is sent though the func has failed")
	}
	return sent(err, false)
}

func fingerprint(t *testbed) error {
	key, otherKey := []byte("a key of 32 bytes for this rule."), []byte("another key of 32 bytes for this")
	take := func(auth *observedDriver, key []byte) (string, error) {
		before := t.transport.requests.Load()
		got, err := auth.Fingerprint(context.Background(), key)
		if t.transport.requests.Load() != before {
			return "", errors.New("a request is sent")
		}
		return string(got), err
	}
	t.leaks.Plant("password", rotated)
	changed, err := t.open(func(c *pbx.Config) { c.Password = pbx.NewSecret(rotated) })
	if err != nil {
		return err
	}
	first, err := take(t.auth, key)
	if err != nil {
		return err
	}
	again, err := take(t.auth, key)
	switch {
	case err != nil:
		return err
	case first == "" || first != again:
		return errors.New("the same credentials have two fingerprints, or an empty one")
	}
	if other, err := take(t.auth, otherKey); err != nil || other == first {
		return fmt.Errorf("under another key the fingerprint is the same (error: %v)", err)
	}
	if other, err := take(changed, key); err != nil || other == first {
		return fmt.Errorf("another password has the same fingerprint (error: %v)", err)
	}
	if t.config(nil).Username != "" {
		renamed, err := t.open(func(c *pbx.Config) { c.Username = "another-" + account })
		if err != nil {
			return err
		}
		if other, err := take(renamed, key); err != nil || other == first {
			return fmt.Errorf("another user name with the same password has the same fingerprint (error: %v)", err)
		}
	}
	if reason := credentials(t); reason != "" {
		return nil // the rest is about a Credentials func
	}

	auth, vault, err := t.withVault()
	if err != nil {
		return err
	}
	if got, err := take(auth, key); err != nil || got != first {
		return fmt.Errorf("the same credentials from a func have another fingerprint (error: %v)", err)
	}
	// One attempt, one question: the login sends what was fingerprinted.
	ctx := pbx.WithAttempt(context.Background())
	if _, err := auth.Fingerprint(ctx, key); err != nil {
		return err
	}
	vault.put(rotated, nil)
	if _, err := auth.Login(ctx); err != nil {
		return at("a login of the attempt that has asked for the fingerprint of the right password", err)
	}
	if got, err := take(auth, key); err != nil || got == first {
		return fmt.Errorf("another password from the func has the same fingerprint (error: %v)", err)
	}

	sealed := errors.New("the vault is sealed")
	vault.put(rotated, sealed)
	if _, err := take(auth, key); !errors.Is(err, sealed) {
		return fmt.Errorf("if the func fails, Fingerprint returns the error %v", err)
	}
	return nil
}
