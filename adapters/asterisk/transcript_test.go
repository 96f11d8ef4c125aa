package asterisk_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/conformance/golden"
)

// recorded plays exchanges of testdata/golden. Asterisk's lines end in CR LF,
// which the files do not.
func recorded(t *testing.T, names ...string) http.RoundTripper {
	t.Helper()
	var exchanges []golden.Exchange
	for _, name := range names {
		x, err := golden.Load("testdata/golden/" + name + ".http")
		if err != nil {
			t.Fatal(err)
		}
		x.Response.Body = strings.ReplaceAll(x.Response.Body, "\n", "\r\n")
		exchanges = append(exchanges, x)
	}
	replay := golden.NewReplay(exchanges...)
	t.Cleanup(func() {
		if diff := replay.Diff(); diff != "" {
			t.Error(diff)
		}
	})
	return replay
}

// replayed opens the driver as when the samples were recorded.
func replayed(t *testing.T, change func(*asterisk.Config), names ...string) *asterisk.PBX {
	t.Helper()
	cfg := asterisk.Config{Config: pbx.Config{
		URL: "http://127.0.0.1:18088", Username: user, Password: pbx.NewSecret(secret), Transport: recorded(t, names...),
	}}
	if change != nil {
		change(&cfg)
	}
	driver, err := asterisk.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

// The life of the recorded sessions, by their manager.conf.
const recordedLife = 20 * time.Second

func recordedToken() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret("4c6d75af"), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(recordedLife)}
}

func TestARecordedLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := replayed(t, nil, "login-1-challenge", "login-2-login").Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(recordedToken(), got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestARecordedPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := recordedToken()
		time.Sleep(13 * time.Second)
		got, err := replayed(t, nil, "ping").KeepAlive(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(recordedToken(), got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestARecordedLogoff(t *testing.T) {
	if err := replayed(t, nil, "logoff").Logout(t.Context(), recordedToken()); err != nil {
		t.Error(err)
	}
}

func TestRecordedRefusals(t *testing.T) {
	login := func(d *asterisk.PBX) error { _, err := d.Login(t.Context()); return err }
	ping := func(d *asterisk.PBX) error { _, err := d.KeepAlive(t.Context(), recordedToken()); return err }
	command := func(d *asterisk.PBX) error {
		_, err := act(t, d, recordedToken(), "Action=Command&Command=core+show+version")
		return err
	}
	for name, tt := range map[string]struct {
		files  []string
		change func(*asterisk.Config)
		do     func(*asterisk.PBX) error
		op     pbx.Op
		kind   error
	}{
		"a wrong secret":         {[]string{"wrong-1-challenge", "wrong-2-login"}, func(c *asterisk.Config) { c.Password = pbx.NewSecret("wrong") }, login, pbx.OpLogin, pbx.ErrInvalidCredentials},
		"a second session":       {[]string{"in-use-1-challenge", "in-use-2-login"}, func(c *asterisk.Config) { c.Username = "single" }, login, pbx.OpLogin, pbx.ErrTooManySessions},
		"another prefix":         {[]string{"not-found"}, func(c *asterisk.Config) { c.Prefix = "asterisk" }, login, pbx.OpLogin, pbx.ErrConfig},
		"a session that ended":   {[]string{"session-gone"}, nil, ping, pbx.OpKeepAlive, pbx.ErrTokenRejected},
		"a forbidden action":     {[]string{"not-permitted"}, nil, command, pbx.OpRequest, pbx.ErrForbidden},
		"the same, but it ended": {[]string{"not-permitted"}, func(c *asterisk.Config) { c.Transport = renewing{c.Transport} }, command, pbx.OpRequest, pbx.ErrTokenRejected},
	} {
		t.Run(name, func(t *testing.T) {
			got := failure(t, tt.do(replayed(t, tt.change, tt.files...)))
			if got.Kind != tt.kind || got.Op != tt.op || got.Sent != (len(tt.files) > 1 || tt.op != pbx.OpLogin) {
				t.Errorf("%v, want %v", got, tt.kind)
			}
			if got.Kind == pbx.ErrTooManySessions && got.RetryAfter != recordedLife+7*time.Second {
				t.Errorf("retry after %s, want %s and what Asterisk needs to remove a session", got.RetryAfter, recordedLife)
			}
		})
	}
}

// renewing gives another session's id in every answer, as Asterisk does when the
// one that was sent is gone.
type renewing struct{ base http.RoundTripper }

func (n renewing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := n.base.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Set-Cookie", `mansession_id="5119ea63"; Version=1; Max-Age=20`)
	}
	return resp, err
}
