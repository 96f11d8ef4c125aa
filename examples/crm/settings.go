package main

import (
	"maps"
	"net/url"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
)

// Settings is a customer's PBX as people entered it.
type Settings struct {
	ID       int64
	Name     string
	Driver   string
	URL      string
	Username string
	Password pbx.Secret
	Options  map[string]string
	Secrets  map[string]pbx.Secret
	Pin      string // of the PBX's key, where its certificate is self-signed

	SecretsSet   time.Time // when a password or another secret was typed
	PinSet       time.Time // when Pin was trusted
	Disconnected time.Time // when a person disconnected it; zero: it is to be connected

	Rev int64 // grows with every change

	Damaged bool // the saved row was changed outside this program, and its secrets do not open
}

// key is the PBX's name in the Fleet. It stays when a person renames the PBX.
func (s Settings) key() string { return strconv.FormatInt(s.ID, 10) }

// config is what the driver is opened with.
func (s Settings) config() pbx.Config {
	return pbx.Config{
		URL:      s.URL,
		Username: s.Username,
		Password: s.Password,
		Options:  maps.Clone(s.Options),
		Secrets:  maps.Clone(s.Secrets),
		TLS:      pbx.TLS{PinSHA256: s.Pin},
	}
}

// connectsLike reports whether both log in to the same PBX in the same way, so
// that a session can stay as it is.
func (s Settings) connectsLike(o Settings) bool {
	return s.Driver == o.Driver && s.URL == o.URL && s.Username == o.Username && s.Pin == o.Pin && s.Password.Equal(o.Password) &&
		maps.Equal(s.Options, o.Options) && maps.EqualFunc(s.Secrets, o.Secrets, pbx.Secret.Equal)
}

// host is what people call the PBX's address: its host and port.
func (s Settings) host() string {
	if u, err := url.Parse(s.URL); err == nil && u.Host != "" {
		return u.Host
	}
	return s.URL
}
