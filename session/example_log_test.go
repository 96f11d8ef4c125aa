package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// steady leaves out what changes from run to run.
func steady(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == "pbx" {
		return slog.Attr{}
	}
	return a
}

// A program that logs with log/slog hands its logger over in one line.
func ExampleOptions_slog() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}))
	server := pbxsim.ListenMemory(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
	defer server.Close()
	auth, err := pbx.Open("yeastar", pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := session.New(auth, &session.Options{Logger: pbx.SlogLogger(logger)})
	if _, err := s.Token(context.Background()); err != nil {
		fmt.Println(err)
	}
	s.Close(context.Background())
	// Unordered output:
	// level=INFO msg="session state" from=connecting state=live reason="logged in"
	// level=INFO msg="session state" from=live state=closed reason=closed
}
