package pbx_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"log"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

// canary is a secret that must not be seen anywhere.
const canary = "canary-7Q"

// assertSilent fails if text holds the canary in any spelling that fmt or an
// encoder could give it.
func assertSilent(t *testing.T, how, text string) {
	t.Helper()
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	spellings := []string{
		canary, hex.EncodeToString([]byte(canary)), fmt.Sprintf("% x", canary), decimal,
		strings.ReplaceAll(decimal, " ", ","), base64.StdEncoding.EncodeToString([]byte(canary)), strings.Trim(fmt.Sprintf("%U", []rune(canary)), "[]"),
	}
	for _, spelling := range spellings {
		if strings.Contains(strings.ToLower(text), strings.ToLower(spelling)) {
			t.Errorf("%s shows the canary as %q: %s", how, spelling, text)
		}
	}
}

// printed yields v in all the ways in which a program might print it.
func printed(v any) iter.Seq2[string, string] {
	return func(yield func(how, text string) bool) {
		for _, verb := range strings.Fields("v +v #v s +s #s q +q #q x X #x d +d T t p c U #U b o O e E f F g G w z 40v -40s .3s 08d") {
			if !yield("%"+verb, fmt.Sprintf("%"+verb, v)) {
				return
			}
		}
		if !yield("Sprint", fmt.Sprint(v, v)) || !yield("Errorf", fmt.Errorf("%v: %w", v, errors.New("x")).Error()) {
			return
		}
		for how, print := range printers {
			var out bytes.Buffer
			if err := print(&out, v); err != nil {
				fmt.Fprintf(&out, "%v %+v %#v", err, err, err)
			}
			if !yield(how, out.String()) {
				return
			}
		}
	}
}

var printers = map[string]func(*bytes.Buffer, any) error{
	"json": func(out *bytes.Buffer, v any) error { return json.NewEncoder(out).Encode(v) },
	"json as key": func(out *bytes.Buffer, v any) error {
		return json.NewEncoder(out).Encode(map[string]any{"k": []any{v}})
	},
	"xml":       func(out *bytes.Buffer, v any) error { return xml.NewEncoder(out).Encode(v) },
	"gob":       func(out *bytes.Buffer, v any) error { return gob.NewEncoder(out).Encode(v) },
	"log":       func(out *bytes.Buffer, v any) error { log.New(out, "", 0).Println(v); return nil },
	"slog text": func(out *bytes.Buffer, v any) error { return logged(slog.NewTextHandler(out, nil), v) },
	"slog json": func(out *bytes.Buffer, v any) error { return logged(slog.NewJSONHandler(out, nil), v) },
	"zerolog": func(out *bytes.Buffer, v any) error {
		logger := zerolog.New(out)
		line := logger.Info().Interface("interface", v).Any("any", v)
		if s, ok := v.(fmt.Stringer); ok {
			line.Stringer("stringer", s)
		}
		if err, ok := v.(error); ok {
			line.Err(err).AnErr("error2", err)
		}
		line.Msgf("%v", v)
		return nil
	},
	"zerolog console": func(out *bytes.Buffer, v any) error {
		logger := zerolog.New(zerolog.ConsoleWriter{Out: out})
		logger.Info().Any("any", v).Send()
		return nil
	},
}

func logged(h slog.Handler, v any) error {
	slog.New(h).With("with", v).WithGroup("group").Info(fmt.Sprint(v), "attr", v, slog.Group("g", "in", v))
	return nil
}

// TestNoSecretIsEverPrinted plants the canary wherever this package takes a
// secret, and wherever a program could put a Secret, and prints it all.
func TestNoSecretIsEverPrinted(t *testing.T) {
	secret := pbx.NewSecret(canary)
	credentials := pbx.Credentials{Username: "api", Password: secret}
	token := pbx.Token{Value: secret, Refresh: secret, IssuedAt: time.Now(), Details: json.RawMessage(`{"role":1}`)}
	config := pbx.Config{
		URL: "https://api:" + canary + "@pbx.example.com/?token=" + canary, Username: "api", Password: secret,
		Options:     map[string]string{"key": canary},
		Credentials: func(context.Context) (pbx.Credentials, error) { return credentials, nil },
	}
	type unexported struct {
		secret  pbx.Secret
		pointer *pbx.Secret
		list    []pbx.Secret
		byName  map[string]pbx.Secret
		hidden  any
		token   pbx.Token
		account pbx.Credentials
	}
	type embedded struct {
		pbx.Secret
		Name string
	}
	planted := map[string]any{
		"secret":      secret,
		"pointer":     &secret,
		"slice":       []pbx.Secret{secret, secret},
		"pointers":    []*pbx.Secret{&secret},
		"array":       [1]pbx.Secret{secret},
		"map":         map[string]pbx.Secret{"password": secret},
		"key":         map[pbx.Secret]int{secret: 1},
		"interface":   []any{secret, &secret},
		"exported":    struct{ Password pbx.Secret }{secret},
		"unexported":  unexported{secret, &secret, []pbx.Secret{secret}, map[string]pbx.Secret{"k": secret}, secret, token, credentials},
		"unexported*": &unexported{secret, &secret, []pbx.Secret{secret}, map[string]pbx.Secret{"k": secret}, &secret, token, credentials},
		"embedded":    embedded{secret, "api"},
		"embedded*":   &embedded{secret, "api"},
		"credentials": credentials, "credentials*": &credentials,
		"token": token, "token*": &token, "tokens": []*pbx.Token{&token},
		"config": config, "config*": &config, "configs": []pbx.Config{config},
		"config in a struct": struct{ Config pbx.Config }{config},
	}
	for name, v := range planted {
		for how, text := range printed(v) {
			// fmt asks no Formatter for these two. A Secret has nothing to show
			// then, a Config has the strings in its URL and Options.
			if (how == "%p" || how == "%w") && strings.HasPrefix(name, "config") {
				continue
			}
			assertSilent(t, name+", "+how, text)
		}
	}
}

// TestNoErrorOfTheRegistryQuotesASecret plants the canary in settings that are
// wrong.
func TestNoErrorOfTheRegistryQuotesASecret(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{Name: "fake", Open: openNothing, Options: []pbx.Option{
		{Name: "key", Kind: pbx.OptionSecret},
	}})
	config := pbx.Config{URL: "https://pbx.example.com/?token=" + canary, Username: "api", Password: pbx.NewSecret(canary)}
	for driver, options := range map[string][]map[string]string{
		"unknown": {nil},
		"fake":    {{"port": canary}, {"choice": canary}, {"ttl": canary}, {"nonsense": canary}},
	} {
		for _, config.Options = range options {
			_, err := registry.Open(driver, config)
			if err == nil {
				t.Errorf("%s opens with %q", driver, config.Options)
			}
			for how, text := range printed(err) {
				assertSilent(t, how, text)
			}
		}
	}
}
