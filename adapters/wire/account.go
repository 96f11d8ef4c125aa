package wire

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pbxauth/pbx"
)

// accountSource is where the account to log in with comes from. The zero value
// is none.
type accountSource struct {
	fixed pbx.Credentials
	asked *askedSource // nil: it is fixed
}

// askedSource is a Credentials func.
type askedSource struct {
	ask        func(context.Context) (pbx.Credentials, error)
	noUsername bool
	impossible func(pbx.Credentials) (setting, wrong string) // or nil

	mu   sync.Mutex        // guards lent
	lent []pbx.Credentials // what ask returned last, to be cut out of errors
}

// maxLent is how many results of a Credentials func are remembered: those of
// logins that are under way while the account changes.
const maxLent = 4

func accountOf(cfg pbx.Config, endpoint Endpoint) (none accountSource, err error) {
	fixed := pbx.Credentials{Username: cfg.Username, Password: cfg.Password}
	noUsername := endpoint.NoUsername
	switch {
	case cfg.Credentials != nil && (cfg.Username != "" || !cfg.Password.IsZero()):
		return none, wrong("Credentials", "set either Credentials or Username and Password, not both")
	case cfg.Credentials != nil:
		return accountSource{asked: &askedSource{ask: cfg.Credentials, noUsername: noUsername, impossible: endpoint.Impossible}}, nil
	case cfg.Username == "" && !noUsername:
		return none, wrong("Username", "no user name: set Username to the PBX's API account")
	case cfg.Username != "" && noUsername:
		return none, wrong("Username", "this brand has a password and no user name: leave Username empty")
	case cfg.Password.IsZero():
		return none, wrong("Password", "no password: set Password to that of the PBX's API account")
	}
	if setting, text := impossible(fixed, endpoint.Impossible); text != "" {
		return none, wrong(setting, text)
	}
	return accountSource{fixed: fixed}, nil
}

// NotUTF8 is an [Endpoint].Impossible for a brand whose login is in JSON, which
// cannot carry text that is not UTF-8: another user name or password would arrive.
func NotUTF8(account pbx.Credentials) (setting, wrong string) {
	switch {
	case !utf8.ValidString(account.Username):
		return "Username", "the user name is not UTF-8"
	case !utf8.ValidString(account.Password.Reveal()):
		return "Password", "the password is not UTF-8"
	}
	return "", ""
}

// impossible says which part of an account is certainly wrong, and why; "" if none
// is. Nobody types a line break or a NUL, but files have them. ofBrand, which may be
// nil, says what the brand makes of a text.
func impossible(account pbx.Credentials, ofBrand func(pbx.Credentials) (setting, wrong string)) (setting, wrong string) {
	parts := [...]struct{ setting, name, text string }{
		{"Username", "user name", account.Username}, {"Password", "password", account.Password.Reveal()},
	}
	for _, part := range parts {
		if strings.HasSuffix(part.text, "\n") || strings.HasSuffix(part.text, "\r") {
			return part.setting, "the " + part.name + " ends in a line break: was it read from a file? Remove the line break"
		}
	}
	if ofBrand != nil {
		if setting, wrong := ofBrand(account); wrong != "" {
			return setting, wrong
		}
	}
	for _, part := range parts {
		switch {
		case strings.ContainsAny(part.text, "\n\r"):
			return part.setting, "the " + part.name + " has more than one line: was it read from a file? Set the right line alone"
		case strings.Contains(part.text, "\x00"):
			return part.setting, "the " + part.name + " has a NUL, which nobody can type: was it read from a file in UTF-16? Remove it"
		}
	}
	return "", ""
}

// NotBasic is an [Endpoint].Impossible for a brand whose login is HTTP Basic
// authentication in UTF-8.
func NotBasic(account pbx.Credentials) (setting, wrong string) {
	if strings.Contains(account.Username, ":") {
		return "Username", "the user name has a colon, which HTTP Basic authentication cannot carry"
	}
	return NotUTF8(account)
}

// Basic returns the Authorization header of HTTP Basic authentication.
func Basic(account pbx.Credentials) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(account.Username+":"+account.Password.Reveal()))
}

// Credentials returns the account to log in with. Errors are *[pbx.Error] with
// Sent false.
func (c *Client) Credentials(ctx context.Context) (pbx.Credentials, error) {
	source := c.account.asked
	if source == nil {
		return c.account.fixed, nil
	}
	got, err := c.ask(ctx)
	if err != nil {
		return pbx.Credentials{}, err
	}
	fault := func(setting, text string) (pbx.Credentials, error) {
		return pbx.Credentials{}, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrConfig, Setting: setting,
			Message: "nothing was sent, because of what the Credentials func returned: " + text}
	}
	switch {
	case got.Username == "" && !source.noUsername:
		return fault("Credentials", "the user name is empty")
	case got.Username != "" && source.noUsername:
		return fault("Credentials", "there is a user name, and this brand has none")
	case got.Password.IsZero():
		return fault("Credentials", "the password is empty")
	}
	if setting, text := impossible(got, source.impossible); text != "" {
		return fault(setting, text)
	}
	source.remember(got)
	return got, nil
}

func (c *Client) ask(ctx context.Context) (pbx.Credentials, error) {
	got, err := pbx.AskCredentials(ctx, c, c.account.asked.ask)
	if err == nil {
		return got, nil
	}
	// Whatever the application's own func says is passed on, except for the
	// error of an http.Client: it quotes the URL, and a vault's token in it.
	if inURL := (*url.Error)(nil); errors.As(err, &inURL) {
		err = cause(err, nil, nil)
	}
	return pbx.Credentials{}, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Setting: "Credentials",
		Message: "nothing was sent, because the Credentials func failed", Err: err}
}

func (s *askedSource) remember(account pbx.Credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent = slices.DeleteFunc(s.lent, func(c pbx.Credentials) bool {
		return c.Username == account.Username && c.Password.Reveal() == account.Password.Reveal()
	})
	s.lent = append(s.lent, account)
	if len(s.lent) > maxLent {
		s.lent = slices.Delete(s.lent, 0, 1)
	}
}

// inUse are the accounts that requests under way may carry, the newest last.
func (s accountSource) inUse() []pbx.Credentials {
	switch {
	case s.asked != nil:
		s.asked.mu.Lock()
		defer s.asked.mu.Unlock()
		return slices.Clone(s.asked.lent)
	case s.fixed.Password.IsZero():
		return nil
	}
	return []pbx.Credentials{s.fixed}
}

// secrets are the passwords in use, and their MD5, which several brands send
// instead.
func (s accountSource) secrets() []pbx.Secret {
	var all []pbx.Secret
	for _, account := range s.inUse() {
		sum := md5.Sum([]byte(account.Password.Reveal()))
		all = append(all, account.Password, pbx.NewSecret(hex.EncodeToString(sum[:])))
	}
	return all
}

// blanks says what people do not see in a user name or password that was
// refused; "" if there is nothing.
func (s accountSource) blanks() string {
	accounts := s.inUse()
	if len(accounts) == 0 {
		return ""
	}
	account := accounts[len(accounts)-1]
	for _, part := range []struct{ name, text string }{{"user name", account.Username}, {"password", account.Password.Reveal()}} {
		switch {
		case strings.HasPrefix(part.text, "\ufeff"):
			return "the " + part.name + " begins with a byte order mark, which editors add to files: remove it"
		case strings.TrimSpace(part.text) != part.text:
			return "the " + part.name + " begins or ends with a blank: check that it belongs there"
		}
	}
	return ""
}

// Fingerprint implements [pbx.Fingerprinter] for a driver whose login sends
// Credentials.
func (c *Client) Fingerprint(ctx context.Context, key []byte) ([]byte, error) {
	account, err := c.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	return Fingerprint(key, account.Username, account.Password), nil
}

// Account implements [pbx.Traits].Account for a driver whose login sends
// Credentials: the user name, if it is fixed.
func (c *Client) Account() string { return c.account.fixed.Username }

// Fingerprint returns the HMAC-SHA256, under key, of a user name and its secret,
// for a driver whose login sends something else than [Client.Credentials].
func Fingerprint(key []byte, username string, secret pbx.Secret) []byte {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%d:%s%s", len(username), username, secret.Reveal())
	return mac.Sum(nil)
}
