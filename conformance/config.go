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
		Why:   "A settings form is checked by opening it at every keystroke, and a fleet is opened while half of it is down.",
		check: openingSendsNothing,
	},
	{
		ID:    "CONFIG-02",
		Says:  "An empty URL, user name or password is ErrConfig on opening.",
		Why:   "An empty password would be a wrong one, and five of them lock the caller out.",
		check: emptySettings,
	},
	{
		ID:    "CONFIG-03",
		Says:  "An unknown option is ErrConfig, and the error lists those that there are.",
		Why:   "A misspelt option that is passed over in silence is found by the customer.",
		check: unknownOption,
	},
	{
		ID:    "CONFIG-04",
		Says:  "Plain http to any host but loopback is ErrConfig, unless AllowPlainHTTP is set.",
		Why:   "Everybody on the path reads the password, or a digest that is as good.",
		check: plainHTTP,
	},
	{
		ID:    "CONFIG-05",
		Says:  "The Credentials func is asked before every login; if it fails, nothing is sent, and its error can be matched.",
		Why:   "A password from a vault changes while the process runs; one that is kept has become a wrong one.",
		check: credentialsFunc,
	},
	{
		ID:    "CONFIG-07",
		Says:  "Fingerprint sends nothing, depends on the key, is the same for the same credentials and another for others, and is of the credentials that a login in the same attempt sends. Its error is that of the Credentials func.",
		Why:   "A session recognises a refused password by its fingerprint. A wrong fingerprint sends the password again, or never sends the new one.",
		needs: []need{fingerprinter},
		check: fingerprint,
	},
}

func openingSendsNothing(t *trial) error {
	time.Sleep(time.Hour) // whatever it does in the background
	if n := t.tap.trips.Load(); n != 0 {
		return fmt.Errorf("%d requests are sent", n)
	}
	return nil
}

func emptySettings(t *trial) error {
	for name, empty := range map[string]func(*pbx.Config){
		"URL":      func(c *pbx.Config) { c.URL = "" },
		"Username": func(c *pbx.Config) { c.Username = "" },
		"Password": func(c *pbx.Config) { c.Password = pbx.Secret{} },
	} {
		if _, err := t.open(empty); ofKind(err, pbx.ErrConfig) != nil {
			return at("an empty "+name, ofKind(err, pbx.ErrConfig))
		}
	}
	return nil
}

func unknownOption(t *trial) error {
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

func plainHTTP(t *trial) error {
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

// A vault is where the credentials of a Credentials func are.
type vault struct {
	mu       sync.Mutex // guards all below
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
	return pbx.Credentials{Username: account, Password: pbx.NewSecret(v.password)}, v.err
}

// withVault opens the driver with a Credentials func in place of an account.
func (t *trial) withVault() (*driver, *vault, error) {
	t.ear.plant("password", rotated)
	v := &vault{password: password}
	auth, err := t.open(func(c *pbx.Config) {
		c.Username, c.Password = "", pbx.Secret{}
		c.Credentials = v.credentials
	})
	return auth, v, at("opening with a Credentials func", err)
}

func credentialsFunc(t *trial) error {
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

	before := t.tap.trips.Load()
	sealed := errors.New("the vault is sealed")
	vault.put(rotated, sealed)
	_, err = auth.Login(context.Background())
	switch {
	case err == nil:
		return errors.New("the login succeeds without credentials")
	case !errors.Is(err, sealed):
		return fmt.Errorf("the func's error cannot be matched in %w", err)
	case t.tap.trips.Load() != before:
		return errors.New("a request is sent though the func has failed")
	}
	return sent(err, false)
}

func fingerprint(t *trial) error {
	auth, vault, err := t.withVault()
	if err != nil {
		return err
	}
	key := []byte("a key of 32 bytes for this rule.")
	take := func() (string, error) {
		before := t.tap.trips.Load()
		got, err := auth.Fingerprint(context.Background(), key)
		if t.tap.trips.Load() != before {
			return "", errors.New("a request is sent")
		}
		return string(got), err
	}
	first, err := take()
	if err != nil {
		return err
	}
	again, err := take()
	switch {
	case err != nil:
		return err
	case first == "" || first != again:
		return errors.New("the same credentials have two fingerprints, or an empty one")
	}
	if other, err := auth.Fingerprint(context.Background(), []byte("another key of 32 bytes for this")); err != nil || string(other) == first {
		return fmt.Errorf("under another key the fingerprint is the same (error: %v)", err)
	}
	vault.put(rotated, nil)
	changed, err := take()
	switch {
	case err != nil:
		return err
	case changed == first:
		return errors.New("another password has the same fingerprint")
	}
	vault.put(password, nil)
	if back, err := take(); err != nil || back != first {
		return fmt.Errorf("the first password again has another fingerprint (error: %v)", err)
	}

	// One attempt, one question: what was fingerprinted is what is sent.
	ctx := pbx.WithAttempt(context.Background())
	if _, err := auth.Fingerprint(ctx, key); err != nil {
		return err
	}
	vault.put(rotated, nil)
	if _, err := auth.Login(ctx); err != nil {
		return at("a login of the attempt that has asked for the fingerprint of the right password", err)
	}

	sealed := errors.New("the vault is sealed")
	vault.put(rotated, sealed)
	if _, err := auth.Fingerprint(context.Background(), key); !errors.Is(err, sealed) {
		return fmt.Errorf("while the func fails: it returns the error %v", err)
	}
	return nil
}
