package asterisk_test

import (
	"net/http"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// The user of the simulated Asterisk, and of the real one.
const (
	user   = "crm"
	secret = "s3cret pässword"
)

// simulation is an Asterisk in virtual time, and the driver opened on it.
type simulation = drivertest.Simulation[*asterisk.PBX]

// simulate runs f in a synctest bubble. change may be nil, and otherwise changes
// what the driver is opened with.
func simulate(t *testing.T, settings asterisksim.Options, opts pbxsim.Options, change func(*asterisk.Config), f func(t *testing.T, s simulation)) {
	t.Helper()
	opts.Accounts = map[string]string{user: secret, "other": "x"}
	drivertest.Simulate(t, func() *pbxsim.PBX {
		return asterisksim.New(&settings, &opts)
	}, func(cfg pbx.Config) (*asterisk.PBX, error) {
		cfg.Username, cfg.Password = user, pbx.NewSecret(secret)
		typed := asterisk.Config{Config: cfg}
		if change != nil {
			change(&typed)
		}
		return asterisk.New(typed)
	}, f)
}

// act sends an action of the application's own with token, and returns what the
// driver says to the answer.
func act(t *testing.T, driver *asterisk.PBX, token *pbx.Token, form string) (string, error) {
	t.Helper()
	r := drivertest.NewRequest(t, http.MethodPost, driver.Traits().URL+"/rawman", "application/x-www-form-urlencoded", form)
	resp, body := drivertest.RoundTrip(t, driver, r, token)
	return string(body), driver.Inspect(resp, body, token)
}

// withCookie is a PBX whose responses set a session's cookie if they set none: that
// of any Asterisk, with the id that was sent.
type withCookie struct{ *drivertest.PBX }

func (w withCookie) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.PBX.RoundTrip(r)
	if err == nil && resp.Header.Get("Set-Cookie") == "" {
		id := "1c6c9072"
		if c, err := r.Cookie("mansession_id"); err == nil {
			id = c.Value
		}
		resp.Header.Set("Set-Cookie", `mansession_id="`+id+`"; Version=1; Max-Age=60`)
	}
	return resp, err
}

const (
	challenged = "Response: Success\r\nChallenge: 325310457\r\n\r\n"
	accepted   = "Response: Success\r\nMessage: Authentication accepted\r\n\r\n"
)

func refused(message string) string { return "Response: Error\r\nMessage: " + message + "\r\n\r\n" }

// on opens the driver on a PBX that is nothing but a RoundTripper.
func on(t testing.TB, rt http.RoundTripper) *asterisk.PBX {
	t.Helper()
	driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{
		URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(secret), Transport: rt,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// failure returns err as what every error of a driver is.
func failure(t testing.TB, err error) *pbx.Error {
	t.Helper()
	return drivertest.Failure(t, asterisk.Name, err)
}
