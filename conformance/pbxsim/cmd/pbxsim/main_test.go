package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
)

// output collects what a run prints, for several goroutines.
type output struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func noEnv(string) (string, bool) { return "", false }

// started runs the command until the end of the test, and returns what it prints
// and the address of its control API.
func started(t *testing.T, args ...string) (*output, string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var out output
	ended := make(chan int)
	go func() { ended <- run(ctx, append(args, "-control", "127.0.0.1:0"), &out, &out, noEnv) }()
	t.Cleanup(func() {
		stop()
		if status := <-ended; status != 0 {
			t.Errorf("status %d: %s", status, out.String())
		}
	})
	address := regexp.MustCompile(`control API +(\S+)`)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if m := address.FindStringSubmatch(out.String()); m != nil {
			return &out, m[1]
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("no control API: %s", out.String())
	return nil, ""
}

func post(t *testing.T, address string, form url.Values) (int, string) {
	t.Helper()
	resp, err := http.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestAPBXOfOneBrandIsStartedUsedAndBroken(t *testing.T) {
	out, api := started(t, "-driver", "yeastar", "-listen", "127.0.0.1:0", "-lock-after", "3")
	m := regexp.MustCompile(`yeastar-s-v1 +(http://\S+)`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("prints %s", out.String())
	}
	login := func(password string) error {
		auth, err := pbx.Open("yeastar", pbx.Config{URL: m[1], Username: "api", Password: pbx.NewSecret(password)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = auth.Login(t.Context())
		return err
	}
	if err := login("secret"); err != nil {
		t.Fatal(err)
	}
	if status, text := post(t, api+"/yeastar-s-v1/down", url.Values{"mode": {"502"}}); status != 200 {
		t.Fatal(text)
	}
	if err := login("secret"); err == nil {
		t.Error("a login succeeds while the PBX is down")
	}
	post(t, api+"/yeastar-s-v1/up", nil)
	post(t, api+"/yeastar-s-v1/password", url.Values{"user": {"api"}, "password": {"changed"}})
	if err := login("changed"); err != nil {
		t.Error(err)
	}
	post(t, api+"/yeastar-s-v1/lock", nil)
	if err := login("changed"); err == nil {
		t.Error("a login succeeds under a lock")
	}
	post(t, api+"/yeastar-s-v1/unlock", nil)
	if err := login("changed"); err != nil {
		t.Error(err)
	}
	resp, err := http.Get(api + "/yeastar-s-v1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got seen
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Counts.GoodLogins != 3 || got.Counts.LockedLogins != 1 || got.Locked {
		t.Errorf("seen %+v", got)
	}
	deadline := time.Now().Add(20 * time.Second)
	for strings.Count(out.String(), "login") < 5 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	for _, secret := range []string{"secret", "changed", "5ebe2294ecd0e0f08eab7690d2a6ee69"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the log shows a secret: %s", out.String())
		}
	}
}

func TestOneOfEachKindHasAnAddressOfItsOwn(t *testing.T) {
	out, api := started(t)
	found := regexp.MustCompile(`(?m)^(\S+) +http://([\d.]+):(\d+)`).FindAllStringSubmatch(out.String(), -1)
	hosts := map[string]bool{}
	for _, m := range found {
		hosts[m[2]] = true
	}
	if len(found) < 10 {
		t.Fatalf("%d PBXs: %s", len(found), out.String())
	}
	if !strings.Contains(out.String(), "count their wrong logins together") && len(hosts) != len(found) {
		t.Errorf("%d addresses for %d PBXs", len(hosts), len(found))
	}
	for path, want := range map[string]string{
		"/yeaster-s-v1/restart": `did you mean "yeastar-s-v1"?`,
		"/runtel/restrt":        `did you mean "restart"?`,
		"/runtel/down":          `mode "" is not one of 200,`,
		"/runtel/password":      "send user and password",
		"/runtel/slow":          "send delay",
	} {
		if status, text := post(t, api+path, nil); status < 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %q", path, status, text, want)
		}
	}
}

// Two of these programs run side by side.
func TestAPBXWithoutAnAddressTakesAFreePort(t *testing.T) {
	first, _ := started(t, "-driver", "runtel")
	second, _ := started(t, "-driver", "runtel")
	url := regexp.MustCompile(`http://[\d.]+:\d+`)
	if a, b := url.FindString(first.String()), url.FindString(second.String()); a == "" || b == "" || a == b {
		t.Errorf("they are at %q and %q", a, b)
	}
}

func TestAWebPageCannotUseTheControlAPI(t *testing.T) {
	_, api := started(t, "-driver", "runtel", "-listen", "127.0.0.1:0")
	r, err := http.NewRequest(http.MethodPost, api+"/runtel/restart", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://example.com")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestHTTPSPrintsThePin(t *testing.T) {
	out, _ := started(t, "-driver", "yeastar-p", "-listen", "127.0.0.1:0", "-tls")
	m := regexp.MustCompile(`yeastar-p +(https://\S+)  pin (sha256/\S+)`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("prints %s", out.String())
	}
	auth, err := pbx.Open("yeastar-p", pbx.Config{URL: m[1], Username: "api", Password: pbx.NewSecret("secret"), TLS: pbx.TLS{PinSHA256: m[2]}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Login(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAConfigurationFileDescribesSeveral(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pbxs.json")
	err := os.WriteFile(file, []byte(`[
	{"name": "office", "driver": "yeastar", "variant": "s-v2", "listen": "127.0.0.1:0", "accounts": {"crm": "one"}, "lifetime": "3s"},
	{"name": "shop", "driver": "asterisk", "listen": "127.0.0.1:0", "lockout": {"after": 5, "memory": "sliding", "window": "10m", "response": "mute", "covers": "everything", "weight": 2}}
]`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := started(t, "-config", file)
	for _, want := range []string{"office ", "shop "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("prints %s", out.String())
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "pbxs.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		config string
		args   []string
		status int
		want   string
	}{
		{args: []string{"-driver", "yeaster"}, status: 2, want: `no simulator for the driver "yeaster": did you mean "yeastar"?`},
		{args: []string{"-driver", "yeastar", "-variant", "s-v9"}, status: 2, want: `no variant "s-v9": did you mean "s-v1"?`},
		{args: []string{"yeastar"}, status: 2, want: `"yeastar" is not understood`},
		{args: []string{"-driver", "runtel", "-listen", "0.0.0.0:0"}, status: 1, want: "can be reached from outside"},
		{args: []string{"-driver", "runtel", "-listen", "8088"}, status: 1, want: `"8088" is not like 127.0.0.1:8088`},
		{args: []string{"-driver", "runtel", "-control", ":8088"}, status: 1, want: "can be reached from outside"},
		{args: []string{"-config", filepath.Join(dir, "none")}, status: 2, want: "no such file"},
		{config: "[\n{\"driver\": \"yeastar\",\n \"lifetme\": \"3s\"}]", status: 2, want: `pbxs.json:3: "lifetme" is not a setting: did you mean "lifetime"?`},
		{config: "[\n{\"driver\": \"yeastar\",\n \"lifetime\": \"soon\"}]", status: 2, want: `"soon" is not a duration`},
		{config: "[\n{\"driver\": 5}]", status: 2, want: `pbxs.json:2: "driver" must be a string`},
		{config: "[\n{\"driver\": \"yeastar\"\n", status: 2, want: "pbxs.json:"},
		{config: "[]", status: 2, want: "the list holds no PBX"},
		{config: "[] []", status: 2, want: "more after the list"},
		{config: `[{"driver": "yeastar", "lockout": {"memory": "long"}}]`, status: 2, want: `pbxs.json:1: yeastar: lockout: memory "long" is not one of clock, forever, sliding`},
		{config: "[{\"driver\": \"wazo\"},\n\n {\"driver\":\n\"yeaster\"}]", status: 2, want: `pbxs.json:3: there is no simulator for the driver "yeaster": did you mean "yeastar"?`},
		{config: "[\n{\"driver\": \"yeastar\", \"variant\": \"s-v9\"}]", status: 2, want: `pbxs.json:2: the driver "yeastar" has no variant "s-v9": did you mean "s-v1"?`},
		{config: "[{\"driver\": \"yeastar\"},\n{\"driver\": \"yeastar\"}]", status: 2, want: `pbxs.json:2: two PBXs are called "yeastar-s-v1"`},
	} {
		args := tt.args
		if tt.config != "" {
			args = []string{"-config", file(tt.config)}
		}
		var out, errs output
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if status := run(ctx, args, &out, &errs, noEnv); status != tt.status || !strings.Contains(errs.String(), tt.want) || strings.Count(errs.String(), "\n") > 1 {
			t.Errorf("%q %s: status %d, %q, want %q", tt.args, tt.config, status, errs.String(), tt.want)
		}
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	out, _ := started(t, "-driver", "runtel", "-listen", "127.0.0.1:0")
	m := regexp.MustCompile(`runtel +http://(\S+)`).FindStringSubmatch(out.String())
	var errs output
	if status := run(t.Context(), []string{"-driver", "runtel", "-listen", m[1]}, io.Discard, &errs, noEnv); status != 1 || !strings.Contains(errs.String(), "choose another address with -listen") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}
