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
		ID:    "CONFIG-05",
		Says:  "The Credentials func is asked before every login. If it fails, nothing is sent, and its error can be matched.",
		Why:   "A password from a vault changes while the process runs. One that is kept has become a wrong one.",
		needs: []precondition{credentials},
		check: credentialsFunc,
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
