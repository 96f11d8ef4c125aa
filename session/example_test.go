package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

// simulated starts a PBX for the examples and opens it as a program would.
func simulated(password string) (pbx.Authenticator, *pbxsim.Server) {
	server := pbxsim.Listen(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	auth, err := pbx.Open("yeastar", pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret(password)})
	if err != nil {
		panic(err)
	}
	return auth, server
}

// A session's client authorizes every request with the token of the moment.
func ExampleSession_Client() {
	auth, server := simulated("secret")
	defer server.Close()
	ctx := context.Background()
	s := session.New(auth, nil)
	defer s.Close(ctx)

	resp, err := s.Client().Post(s.URL()+"/api/v1.1.0/deviceinfo/query", "application/json", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	var answer struct{ Status string }
	json.NewDecoder(resp.Body).Decode(&answer)
	fmt.Println(answer.Status, "for", resp.Request.URL.Path)
	// Output: Success for /api/v1.1.0/deviceinfo/query
}

// A wrong password is an error that says so, however often one asks, and is not
// sent again.
func ExampleSession_Token() {
	auth, server := simulated("a wrong one")
	defer server.Close()
	ctx := context.Background()
	s := session.New(auth, &session.Options{Guard: &session.Guard{}})
	defer s.Close(ctx)

	for range 3 {
		_, err := s.Token(ctx)
		fmt.Println(s.Status().State, errors.Is(err, pbx.ErrInvalidCredentials))
	}
	// Output:
	// rejected true
	// rejected true
	// rejected true
}

// zerolog writes lines of JSON; a few lines of code hand them to log/slog.
func ExampleOptions_slog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "pbx" {
				return slog.Attr{} // for the sake of the example's output
			}
			return a
		},
	}))
	auth, server := simulated("secret")
	defer server.Close()
	s := session.New(auth, &session.Options{Logger: zerolog.New(toSlog{logger})})
	s.Token(context.Background())
	s.Close(context.Background())
	// Output:
	// level=INFO msg="session state" from=connecting state=live
	// level=INFO msg="session state" from=live state=closed
}

// toSlog is a writer for zerolog.New.
type toSlog struct{ *slog.Logger }

var _ io.Writer = toSlog{}

func (s toSlog) Write(line []byte) (int, error) {
	var event map[string]any
	if err := json.Unmarshal(line, &event); err != nil {
		return 0, err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(strings.ToUpper(fmt.Sprint(event["level"])))); err != nil {
		level = slog.LevelInfo
	}
	var attrs []slog.Attr
	for _, name := range []string{"session", "pbx", "from", "state", "error"} {
		if value, ok := event[name]; ok {
			attrs = append(attrs, slog.Any(name, value))
		}
	}
	s.LogAttrs(context.Background(), level, fmt.Sprint(event["message"]), attrs...)
	return len(line), nil
}

// A token can outlive the process that got it. How it is stored is up to the
// application: as carefully as a password.
func ExampleManager_Resume() {
	auth, server := simulated("secret")
	defer server.Close()
	ctx := context.Background()
	type kept struct {
		Value, Refresh                        string
		IssuedAt, ExpiresAt, RefreshExpiresAt time.Time
	}

	// The process that ends:
	before := session.New(auth, nil)
	if _, err := before.Token(ctx); err != nil {
		fmt.Println(err)
		return
	}
	t := before.Detach(ctx)
	stored, err := json.Marshal(kept{t.Value.Reveal(), t.Refresh.Reveal(), t.IssuedAt, t.ExpiresAt, t.RefreshExpiresAt})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The process that begins:
	var k kept
	if err := json.Unmarshal(stored, &k); err != nil {
		fmt.Println(err)
		return
	}
	fleet := session.NewManager(nil)
	defer fleet.Close(ctx)
	s, err := fleet.Resume("customer-7", auth, &pbx.Token{
		Value: pbx.NewSecret(k.Value), Refresh: pbx.NewSecret(k.Refresh),
		IssuedAt: k.IssuedAt, ExpiresAt: k.ExpiresAt, RefreshExpiresAt: k.RefreshExpiresAt,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Status().State, "after", fleet.Stats().Logins, "logins")
	// Output: live after 0 logins
}
