package sseries

import (
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
)

// Options are those that all brands' drivers have, after a brand's own.
func Options(own ...pbx.Option) []pbx.Option {
	return append(own,
		pbx.Option{Name: "api_version", Kind: pbx.OptionString, Help: "version in the API's paths, as in v1.1.0, where it is another than usual"},
		pbx.Option{Name: "password_form", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "plain", Label: "as typed"}, {Value: "md5", Label: "as its MD5 digest"}}, Default: "plain", Help: "md5 if the password is given as its MD5 digest, in hexadecimal"},
		pbx.Option{Name: "event_port", Kind: pbx.OptionPort, Help: "port on which you listen for event reports (a login sends " + usualPort + " without it)"},
		pbx.Option{Name: "event_url", Kind: pbx.OptionString, Help: "where event reports go; without it, to the caller's IP"},
		pbx.Option{Name: "event_urltag", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "0", Label: "a path on this machine's address"}, {Value: "1", Label: "an absolute URL"}}, Help: "event_url is 0: a path on the caller's IP, 1: absolute"},
		pbx.Option{Name: "event_ipaddr", Kind: pbx.OptionString, Help: "IP address that listens for event reports, where it is not the caller's; goes into heartbeats"},
		pbx.Option{Name: "event_version", Kind: pbx.OptionString, Help: "format of event reports; 1.0.2, or 2.0.0 with API v2, is well-formed JSON"},
		pbx.Option{Name: "token_ttl", Kind: pbx.OptionDuration, Default: "30m", Help: "life of a token that nothing prolongs, as in 30m"},
	)
}

// Read makes Settings of checked options. They are not left in its Config.
func Read(cfg pbx.Config) Settings {
	o := cfg.Options
	cfg.Options = nil
	s := Settings{
		Config:        cfg,
		APIVersion:    o["api_version"],
		PasswordIsMD5: o["password_form"] == "md5",
		Events:        Events{URL: o["event_url"], URLTag: o["event_urltag"], IPAddr: o["event_ipaddr"], Version: o["event_version"]},
	}
	s.Events.Port, _ = strconv.Atoi(o["event_port"]) // checked by the registry; absent is 0
	s.TokenTTL, _ = time.ParseDuration(o["token_ttl"])
	return s
}
