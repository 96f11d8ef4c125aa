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

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
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

// Several processes share tokens and the budget of wrong logins through a store.
// A process that starts adopts the tokens that are there.
func ExampleNewShared() {
	auth, server := simulated("secret")
	defer server.Close()
	ctx := context.Background()
	shared, err := session.NewShared(session.SharedSettings{
		Store: &store.Memory{}, // between processes: store.Files, redisstore or pgstore
		Keys:  [][]byte{[]byte("32 random bytes, as a secret has")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	before := session.NewManager(&session.Options{Store: shared})
	s, err := before.Add("customer-7", auth)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Token(ctx); err != nil {
		fmt.Println(err)
		return
	}
	before.Close(ctx) // leaves the token

	after := session.NewManager(&session.Options{Store: shared})
	defer after.Close(ctx)
	s, err = after.Add("customer-7", auth)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Token(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Status().State, "after", after.Stats().Logins, "logins")
	// Output: live after 0 logins
}
