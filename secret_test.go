package pbx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

func TestRevealIsTheWayOut(t *testing.T) {
	for _, text := range []string{"", "hunter2", pbx.Redacted, "a\x00b\nc", "пароль"} {
		if got := pbx.NewSecret(text).Reveal(); got != text {
			t.Errorf("Reveal() = %q, want %q", got, text)
		}
	}
}

func TestTheZeroSecretIsTheEmptyOne(t *testing.T) {
	var zero pbx.Secret
	if !zero.IsZero() || !pbx.NewSecret("").IsZero() || zero.Reveal() != "" || !zero.Equal(pbx.NewSecret("")) {
		t.Error("the zero Secret is not the empty one")
	}
	if pbx.NewSecret("x").IsZero() {
		t.Error("a secret with a text is zero")
	}
	if got := fmt.Sprint(zero); got != pbx.Redacted {
		t.Errorf("prints %q: whether there is a secret is nobody's business", got)
	}
}

func TestSecretsAreEqualByTheirText(t *testing.T) {
	if !pbx.NewSecret("same").Equal(pbx.NewSecret("same")) {
		t.Error("two secrets of one text differ")
	}
	for _, other := range []string{"", "sam", "Same", "same ", "gleich"} {
		if pbx.NewSecret("same").Equal(pbx.NewSecret(other)) {
			t.Errorf("%q equals %q", "same", other)
		}
	}
}

func TestASecretPrintsAsRedacted(t *testing.T) {
	secret := pbx.NewSecret("hunter2")
	for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %U %.2s %20v") {
		for name, v := range map[string]any{"Secret": secret, "*Secret": &secret} {
			if got := fmt.Sprintf(verb, v); got != pbx.Redacted {
				t.Errorf("%s of a %s = %q, want %q", verb, name, got, pbx.Redacted)
			}
		}
	}
	got := fmt.Sprintf("%+v", struct {
		Password pbx.Secret
		All      []pbx.Secret
		ByName   map[string]*pbx.Secret
	}{secret, []pbx.Secret{secret, secret}, nil})
	if want := "{Password:[redacted] All:[[redacted] [redacted]] ByName:map[]}"; got != want {
		t.Errorf("nested: %s, want %s", got, want)
	}
}

func TestASecretMarshalsAsRedacted(t *testing.T) {
	got, err := json.Marshal(map[string]any{"password": pbx.NewSecret("hunter2"), "empty": pbx.Secret{}})
	if want := `{"empty":"[redacted]","password":"[redacted]"}`; err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestASettingsFileHoldsTheSecretItself(t *testing.T) {
	var cfg pbx.Config
	if err := json.Unmarshal([]byte(`{"URL":"https://pbx.example.com","Username":"api","Password":"p\"ä\\"}`), &cfg); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Password.Reveal(); got != `p"ä\` {
		t.Errorf("password %q", got)
	}
}

func TestARedactedSecretIsNotReadBack(t *testing.T) {
	printed, err := json.Marshal(pbx.Credentials{Username: "api", Password: pbx.NewSecret("hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	got := pbx.Credentials{Password: pbx.NewSecret("kept")}
	err = json.Unmarshal(printed, &got)
	if err == nil || !strings.Contains(err.Error(), "printed, not stored") {
		t.Errorf("error %v: it has to say that the secret was printed, not stored", err)
	}
	if got.Password.Reveal() != "kept" {
		t.Errorf("password became %q", got.Password.Reveal())
	}
}

// TestAPanicShowsNoSecret panics in a process of its own and reads what that
// process leaves behind.
func TestAPanicShowsNoSecret(t *testing.T) {
	secret := pbx.NewSecret(canary)
	panics := map[string]any{
		"secret":      secret,
		"pointer":     &secret,
		"token":       pbx.Token{Value: secret},
		"config":      pbx.Config{URL: "https://api:" + canary + "@pbx.example.com", Password: secret, Options: map[string]string{"key": canary}},
		"credentials": pbx.Credentials{Username: "api", Password: secret},
		"error":       fmt.Errorf("with %v: %w", secret, errors.ErrUnsupported),
	}
	if value, ok := panics[os.Getenv("PBX_TEST_PANIC")]; ok {
		panic(value)
	}
	for name := range panics {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAPanicShowsNoSecret$")
		cmd.Env = append(os.Environ(), "PBX_TEST_PANIC="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: ") {
			t.Errorf("%s: no panic: %v %s", name, err, out)
		}
		assertSilent(t, name, string(out))
	}
}
