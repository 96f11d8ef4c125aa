package sseries

import (
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
)

// Options are those that all brands' drivers have, after a brand's own.
func Options(own ...pbx.Option) []pbx.Option {
	return append(own,
		pbx.Option{Name: "api_version", Label: "API version", Kind: pbx.OptionString,
			Help: "The version in the API's paths, as in v1.1.0, if it is not the usual one."},
		pbx.Option{Name: "password_form", Label: "Password is given", Kind: pbx.OptionChoice, Default: "plain",
			Choices: []pbx.Choice{{Value: "plain", Label: "as it is"}, {Value: "md5", Label: "as its MD5 digest"}},
			Help:    "Whether the password field holds the password or its MD5 digest in hexadecimal."},
		pbx.Option{Name: "event_port", Label: "Event port", Kind: pbx.OptionPort,
			Help: "The port on which you listen for event reports. Without it, a login sends " + usualPort + "."},
		pbx.Option{Name: "event_url", Label: "Event URL", Kind: pbx.OptionString,
			Help: "Where the PBX sends event reports. Without it, they go to the client's address."},
		pbx.Option{Name: "event_urltag", Label: "Event URL is", Kind: pbx.OptionChoice,
			Choices: []pbx.Choice{{Value: "0", Label: "a path on the client's address"}, {Value: "1", Label: "an absolute URL"}},
			Help:    "How the PBX reads the event URL."},
		pbx.Option{Name: "event_ipaddr", Label: "Event address", Kind: pbx.OptionString,
			Help: "The IP address that listens for event reports, if it is not the client's. Heartbeats carry it."},
		pbx.Option{Name: "event_version", Label: "Event format", Kind: pbx.OptionString,
			Help: "The format of event reports. Set 1.0.2, or 2.0.0 with API v2, to get well-formed JSON."},
		pbx.Option{Name: "token_ttl", Label: "Token lifetime", Kind: pbx.OptionDuration, Default: "30m",
			Help: "How long a token is valid without a keep-alive, as in 30m."},
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
