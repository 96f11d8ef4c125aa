package leak_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pbxauth/pbx/internal/leak"
)

const secret = `pa"ss'w/ö+rd <b>&\ %end`

// found returns the leaks of a Detector that has seen text only.
func found(text string) []string {
	var d leak.Detector
	d.Plant("password", secret)
	d.Text("an error", text)
	return d.Leaks()
}

func TestASecretIsFoundInEverySpelling(t *testing.T) {
	asJSON, _ := json.Marshal(secret)
	digest := md5.Sum([]byte(secret))
	decimal := fmt.Sprint([]byte(secret))
	for name, text := range map[string]string{
		"plain":            secret,
		"upper case":       strings.ToUpper(secret),
		"JSON":             string(asJSON),
		"PHP's JSON":       strings.NewReplacer(`"`, `\"`, `\`, `\\`, "/", `\/`).Replace(secret),
		"%q":               fmt.Sprintf("%q", secret),
		"%+q":              fmt.Sprintf("%+q", secret),
		"query":            url.QueryEscape(secret),
		"lower-case query": strings.ToLower(url.QueryEscape(secret)),
		"blanks as %20":    strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
		"path":             url.PathEscape(secret),
		"HTML":             html.EscapeString(secret),
		"HTML names":       strings.NewReplacer(`"`, "&quot;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&apos;").Replace(secret),
		"addslashes":       strings.NewReplacer(`\`, `\\`, `'`, `\'`, `"`, `\"`).Replace(secret),
		"%x":               fmt.Sprintf("%x", secret),
		"% X":              fmt.Sprintf("% X", secret),
		"bytes":            decimal,
		"Go's bytes":       strings.ReplaceAll(decimal, " ", ","),
		"%U":               fmt.Sprintf("%U", []rune(secret)),
		"base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
		"URL's base64":     base64.URLEncoding.EncodeToString([]byte(secret)),
		"Basic, 1 before":  base64.StdEncoding.EncodeToString([]byte("api:" + secret)),
		"Basic, 2 before":  base64.StdEncoding.EncodeToString([]byte("user:" + secret)),
		"MD5":              hex.EncodeToString(digest[:]),
		"cut":              secret[:15],
	} {
		if got := found("before " + text + " after"); len(got) != 1 || !strings.HasPrefix(got[0], "the password shows in an error: ") {
			t.Errorf("%s: %s: found %q", name, text, got)
		}
	}
	for _, text := range []string{"", "pass", secret[:6], "wrong password", strings.Repeat("x", 1<<16)} {
		if got := found(text); got != nil {
			t.Errorf("%.20q holds no secret, found %q", text, got)
		}
	}
}

type wrapping struct{ inner error }

func (w wrapping) Error() string { return "opaque" }
func (w wrapping) Unwrap() error { return w.inner }

type silent struct{ field string }

func (silent) String() string { return "nothing" }

func TestPrintLooksIntoErrorsAndFields(t *testing.T) {
	for name, v := range map[string]any{
		"an error":          errors.New(secret),
		"what one wraps":    wrapping{errors.New(secret)},
		"what several wrap": errors.Join(errors.New("x"), wrapping{errors.New(secret)}),
		"a field":           struct{ Password string }{secret},
		"an unexported one": silent{secret}, // %#v shows it
		"a pointer's field": &struct{ Password string }{secret},
		"bytes":             []byte(secret),
		"a map's key":       map[string]int{secret: 1},
	} {
		var d leak.Detector
		d.Plant("password", secret)
		d.Print("a value", v)
		if got := d.Leaks(); len(got) != 1 {
			t.Errorf("%s: found %q", name, got)
		}
	}
	var d leak.Detector
	d.Plant("password", secret)
	d.Print("a value", nil)
	d.Print("a value", errors.New("nothing"))
	if got := d.Leaks(); got != nil {
		t.Errorf("found %q", got)
	}
}

func TestAnEchoIsInEverySpelling(t *testing.T) {
	var d leak.Detector
	d.Plant("password", secret)
	d.Plant("token", "token-of-the-next-login")
	echo := d.Echo("POST /login password=" + url.QueryEscape(secret))
	for _, text := range append(leak.Spellings(secret), strings.ToUpper(secret)) {
		digest := md5.Sum([]byte(secret))
		if strings.Contains(echo, text) == (text == hex.EncodeToString(digest[:])) { // which was not sent
			t.Errorf("%q is echoed or not, and should not or should, in %q", text, echo)
		}
	}
	if strings.Contains(echo, "token-of-the-next-login") {
		t.Errorf("%q has a secret that was not sent", echo)
	}
	for _, exchange := range []string{"", "POST /login password=other"} {
		if got := d.Echo(exchange); got != "" {
			t.Errorf("%q echoes %q", exchange, got)
		}
	}
}

// A PBX may repeat a digest or an encoding that it was sent, in any spelling.
func TestAnEchoHasTheDigestsThatWereSent(t *testing.T) {
	digest := md5.Sum([]byte(secret))
	for name, sent := range map[string]string{
		"MD5":    hex.EncodeToString(digest[:]),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		var d leak.Detector
		d.Plant("password", secret)
		with, without := d.Echo(sent), d.Echo(secret)
		ofSent := md5.Sum([]byte(sent))
		for _, text := range []string{sent, strings.ToUpper(sent), url.QueryEscape(sent), fmt.Sprintf("%x", sent)} {
			if !strings.Contains(with, text) {
				t.Errorf("%s: %q is not in %q", name, text, with)
			}
		}
		if strings.Contains(without, fmt.Sprintf("%x", sent)) || strings.Contains(with, hex.EncodeToString(ofSent[:])) {
			t.Errorf("%s: %q or %q echoes what was not sent", name, with, without)
		}
	}
}

func TestASecretThatIsPlantedLaterIsFound(t *testing.T) {
	var d leak.Detector
	fmt.Fprint(&d, `{"token":"first-to`)
	fmt.Fprint(&d, `ken-abc"}`) // a line may come in pieces
	d.Text("a body", "second-token-xyz")
	d.Plant("token", "first-token-abc")
	d.Plant("other", "second-token-xyz")
	d.Plant("none", "third-token-never-shown")
	d.Plant("empty", "")
	if got := d.Leaks(); len(got) != 2 || !strings.Contains(got[0], "other shows in a body") || !strings.Contains(got[1], "token shows in the log") {
		t.Errorf("found %q", got)
	}
	if got := d.Among("x FIRST-TOKEN-ABC and second-token-xyz"); strings.Join(got, " ") != "first-token-abc second-token-xyz" {
		t.Errorf("among them are %q", got)
	}
	if want := len(`{"token":"first-token-abc"}` + "second-token-xyz"); d.Size() != want || d.Logged() != `{"token":"first-token-abc"}` {
		t.Errorf("%d bytes, want %d; logged %s", d.Size(), want, d.Logged())
	}
}

func TestShortSecretsAreFoundWhole(t *testing.T) {
	var d leak.Detector
	d.Plant("pin", "x7")
	d.Text("an error", "the pin is X7.")
	if got := d.Leaks(); len(got) != 1 {
		t.Errorf("found %q", got)
	}
}

func TestADetectorIsSafeForConcurrentUse(t *testing.T) {
	var d leak.Detector
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			d.Plant("token", fmt.Sprint("token-number-", i))
			d.Print("a value", fmt.Sprint("token-number-", i))
			fmt.Fprintln(&d, i)
			d.Leaks()
		})
	}
	wg.Wait()
	if len(d.Leaks()) == 0 {
		t.Error("found nothing")
	}
}
