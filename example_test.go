package pbx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/pbxauth/pbx"
)

// tiny is a driver for a PBX that exists in this file only.
type tiny struct{ cfg pbx.Config }

func (d tiny) Login(context.Context) (*pbx.Token, error) {
	if d.cfg.Username != "api" || !d.cfg.Password.Equal(pbx.NewSecret("123456")) {
		return nil, &pbx.Error{Driver: "tiny", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Message: "check the API account", Sent: true}
	}
	return &pbx.Token{Value: pbx.NewSecret("48a7d7481a53")}, nil
}

func (tiny) KeepAlive(context.Context, *pbx.Token) (*pbx.Token, error) {
	return nil, &pbx.Error{Driver: "tiny", Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported}
}

func (tiny) Logout(context.Context, *pbx.Token) error { return nil }

// brands is a registry with one brand. A program that imports
// github.com/pbxauth/pbx/adapters has many in the default one, and calls
// pbx.Open.
func brands() *pbx.Registry {
	var r pbx.Registry
	r.Register(pbx.Driver{
		Name:  "tiny",
		Title: "Tiny PBX",
		Options: []pbx.Option{
			{Name: "event_port", Label: "Event port", Kind: pbx.OptionPort, Default: "8260", Help: "The port on which you listen for event reports."},
			{Name: "format", Kind: pbx.OptionChoice, Choices: []pbx.Choice{{Value: "json", Label: "JSON"}, {Value: "xml", Label: "XML"}}, Default: "json", Help: "The format of responses."},
		},
		Open: func(cfg pbx.Config) (pbx.Authenticator, error) { return tiny{cfg}, nil },
	})
	return &r
}

func ExampleOpen() {
	auth, err := brands().Open("tiny", pbx.Config{
		URL:      "https://pbx.example.com",
		Username: "api",
		Password: pbx.NewSecret("123456"),
	})
	if err != nil {
		fmt.Println(err) // says which setting to change
		return
	}
	token, err := auth.Login(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("the token prints as", token.Value, "and is", token.Value.Reveal())
	// Output:
	// the token prints as [redacted] and is 48a7d7481a53
}

// Open sends nothing, so a settings form is checked by opening it.
func ExampleOpen_settings() {
	_, err := brands().Open("tinny", pbx.Config{})
	fmt.Println(err)
	_, err = brands().Open("tiny", pbx.Config{Options: map[string]string{"event_port": "http"}})
	fmt.Println(err)
	// Output:
	// open: configuration: unknown driver "tinny": registered are tiny (is an import missing?)
	// tiny: open: configuration: option "event_port": "http" is not a port (1 to 65535)
}

// A settings file is decoded into a Config. An unknown field is an error here, so that
// nobody believes in a misspelt pin.
func ExampleConfig_json() {
	const file = `{"driver": "tiny", "pbx": {
		"url": "https://pbx.example.com", "username": "api", "password": "123456",
		"tls": {"pinsha256": "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
		"options": {"format": "xml"}
	}}`
	var settings struct {
		Driver string
		PBX    pbx.Config
	}
	decoder := json.NewDecoder(strings.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&settings); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := brands().Open(settings.Driver, settings.PBX); err != nil {
		fmt.Println(err) // says which setting to change
		return
	}
	fmt.Println(settings.PBX)
	// Output:
	// pbx.Config{URL: "https://pbx.example.com", Username: "api", Options: ["format"]}
}

// The kind of a failure says what to do about it.
func ExampleError() {
	auth, err := brands().Open("tiny", pbx.Config{Username: "api", Password: pbx.NewSecret("guess")})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = auth.Login(context.Background())
	switch {
	case errors.Is(err, pbx.ErrInvalidCredentials):
		fmt.Println("ask for the password, and do not try this one again:", err)
	case errors.Is(err, pbx.ErrUnavailable):
		fmt.Println("try again later:", err)
	}
	// Output:
	// ask for the password, and do not try this one again: tiny: login: invalid credentials: check the API account
}

// A driver describes its settings as data: draw a form of them. What a person enters
// into an input of kind secret belongs into Config.Secrets, all else into
// Config.Options.
func ExampleDriver() {
	for _, driver := range brands().Drivers() {
		fmt.Println(driver.Title)
		if !driver.NoUsername {
			fmt.Println("-", driver.UserLabel)
		}
		fmt.Println("-", driver.PasswordLabel)
		for _, option := range driver.Options {
			fmt.Printf("- %s (%s, default %s)", option.Label, option.Kind, option.Default)
			for _, choice := range option.Choices {
				fmt.Printf(" [%s]", choice.Label)
			}
			fmt.Println(" " + option.Help)
		}
	}
	// Output:
	// Tiny PBX
	// - User name
	// - Password
	// - Event port (port, default 8260) The port on which you listen for event reports.
	// - format (choice, default json) [JSON] [XML] The format of responses.
}

// An error of Open names the setting at fault, so that a form can show the message
// beside the input.
func ExampleError_setting() {
	_, err := brands().Open("tiny", pbx.Config{Options: map[string]string{"format": "yaml"}})
	var failure *pbx.Error
	if errors.As(err, &failure) {
		fmt.Printf("%s: %s\n", failure.Setting, failure.Message)
	}
	// Output: format: option "format": "yaml" is not one of json, xml
}

func ExampleSecret() {
	account := struct {
		User     string
		Password pbx.Secret
	}{"api", pbx.NewSecret("123456")}
	fmt.Printf("%+v\n", account)
	// Output: {User:api Password:[redacted]}
}
