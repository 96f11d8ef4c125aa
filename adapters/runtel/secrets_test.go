package runtel_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/internal/leak"
)

// What goes over the wire in secret, with signs that encodings spell anew.
const (
	canaryPassword = `zebra-pass<&>"\/пароль+ word`
	canaryToken    = `J.canary-token/+=~<&>"\W`
	canaryKey      = `K.canary-key/+=~<&>"\Z`
)

// A driver can only know again what it has: in the response to a login, the
// password and the new token; in any other, the token or the key that was sent.
func TestNoSecretShowsWhateverThePlatformRepeats(t *testing.T) {
	quoted, _ := json.Marshal(canaryToken)
	issued := `"token":` + string(quoted)
	secrets := drivertest.Secrets{
		Planted: map[string]string{"password": canaryPassword, "token": canaryToken, "key": canaryKey},
		Request: func(base string) *http.Request {
			return drivertest.NewRequest(t, "POST", base+"/api/", "application/json", `{"action":"get","obj":"User","action_id":"1","params":{}}`)
		},
		Logged: "/api/",
		Responses: map[string]drivertest.Response{
			"success, more":   {Body: `{"action_id":"{id}","code":200,"notifies":["ECHO"],"body":{` + issued + `,"user_name":"ECHO","ECHO":["ECHO",{"x":"ECHO"}],"exp":"ECHO","tz":"ECHO"}}`},
			"another id":      {Body: `{"action_id":"ECHO","code":200,"body":{` + issued + `}}`},
			"a code of text":  {Body: `{"action_id":"{id}","code":"ECHO","body":{` + issued + `}}`},
			"refused":         {Body: `{"action_id":"{id}","code":401,"notifies":["ECHO",{"text":"the password ECHO is wrong"}],"body":{` + issued + `}}`},
			"far right":       {Body: `{"action_id":"{id}","code":403,"notifies":{"ECHO":[["` + strings.Repeat(" ", 190) + `ECHO"]]},"body":{` + issued + `}}`},
			"no body":         {Body: `{"action_id":"{id}","code":200,"notifies":["ECHO"],"body":null}`},
			"a page of a 401": {Status: 401, Body: "<html><head><title>ECHO</title></head><body>ECHO</body></html>"},
		},
	}
	for name, keyed := range map[string]bool{"account": false, "key": true} {
		t.Run(name, func(t *testing.T) {
			secrets.Token = &pbx.Token{Value: pbx.NewSecret(canaryToken)}
			if keyed {
				secrets.Token = &pbx.Token{Value: pbx.NewSecret(canaryKey)}
			}
			secrets.Open = func(c pbx.Config) (drivertest.Driver, []any, error) {
				cfg := runtel.Config{Config: c, Key: pbx.NewSecret(canaryKey)}
				if !keyed {
					cfg.Username, cfg.Password, cfg.Key = user, pbx.NewSecret(canaryPassword), pbx.Secret{}
				}
				cfg.Transport = numbering{c.Transport}
				cfg.Classify = func(f runtel.Failure) error { panic(fmt.Sprint(canaryPassword, canaryToken, canaryKey, f)) }
				driver, err := runtel.New(cfg)
				return driver, []any{cfg, &cfg}, err
			}
			secrets.Test(t)
		})
	}
}

// numbering fills in {id}, the action_id of the request.
type numbering struct{ base http.RoundTripper }

func (numbering) Format(fmt.State, rune) {} // what it holds is the test's

func (n numbering) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(sent)))
	var envelope struct {
		ID string `json:"action_id"`
	}
	if err := json.Unmarshal(sent, &envelope); err != nil {
		return nil, err
	}
	resp, err := n.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	text := strings.ReplaceAll(string(body), "{id}", envelope.ID)
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return resp, err
}

func TestWhatAFailureShowsToClassifyHasNoSecret(t *testing.T) {
	leaks := canaries()
	for _, secret := range []string{canaryPassword, canaryToken} {
		quoted, _ := json.Marshal(leaks.Echo(secret))
		p := &platform{body: `{"action_id":"{id}","code":401,"notifies":[` + string(quoted) + `]}`}
		cfg := p.at(runtel.Config{Config: pbx.Config{Username: user, Password: pbx.NewSecret(canaryPassword)}})
		cfg.Classify = func(f runtel.Failure) error {
			leaks.Print("a Failure", f)
			return nil
		}
		driver := open(t, cfg)
		if secret == canaryPassword {
			driver.Login(t.Context())
		} else {
			driver.Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(canaryToken)})
		}
	}
	if leaks.Size() == 0 {
		t.Error("Classify was not asked")
	}
	for _, found := range leaks.Leaks() {
		t.Error(found)
	}
}

func canaries() *leak.Detector {
	leaks := new(leak.Detector)
	leaks.Plant("password", canaryPassword)
	leaks.Plant("the password's beginning", "zebra-pass")
	leaks.Plant("token", canaryToken)
	leaks.Plant("key", canaryKey)
	return leaks
}

func TestASecretInTheSettingsDoesNotShow(t *testing.T) {
	leaks := canaries()
	for _, cfg := range []runtel.Config{
		{Key: pbx.NewSecret(canaryKey + " ")},
		{Key: pbx.NewSecret(canaryKey), Config: pbx.Config{URL: "https://office.example", Password: pbx.NewSecret(canaryPassword)}},
		{Config: pbx.Config{URL: "https://a:zebra-pass@office.example", Username: user, Password: pbx.NewSecret(canaryPassword)}},
		{Config: pbx.Config{Options: map[string]string{"key": canaryKey}}},
	} {
		_, err := runtel.New(cfg)
		if err == nil {
			t.Errorf("%v: opened", cfg)
		}
		leaks.Print("New", err)
		leaks.Text("Config", fmt.Sprintf("%v %+v %#v %s %q", cfg, cfg, cfg, cfg, cfg))
	}
	for _, options := range []map[string]string{{"key": canaryKey}, {"key": canaryKey, "token_ttl": "1h"}, {"canary": canaryKey}} {
		auth, err := pbx.Open("runtel", pbx.Config{URL: "https://office.example", Username: user, Password: pbx.NewSecret(canaryPassword), Options: options})
		if err == nil {
			t.Errorf("%v: opened", auth)
		}
		leaks.Print("Open", err)
	}
	for _, found := range leaks.Leaks() {
		t.Error(found)
	}
}

func TestAPBXPrintsAsItsAddress(t *testing.T) {
	p := open(t, (&platform{}).at(runtel.Config{}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got, want := fmt.Sprintf(verb, p), "runtel at https://office.example"; got != want {
			t.Errorf("%s: %s, want %s", verb, got, want)
		}
	}
}
