// Command extensions lists the extensions of two simulated PBXs of different
// brands, and then asks both for what they do not have. Both report that failure
// under HTTP 200, each in its own words, and list, which is all that a program of
// yours needs, returns it as an error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// requests are in the words of the brands' manuals: for each brand one that
// lists the extensions, and one that no PBX has.
var requests = []struct{ driver, path, body string }{
	{"yeastar", "/api/v1.1.0/extensionlist/query", `{}`},
	{"yeastar", "/api/v1.1.0/unicornlist/query", `{}`},
	{"grandstream", "/api", `{"request":{"action":"listAccount","options":"extension,fullname"}}`},
	{"grandstream", "/api", `{"request":{"action":"listUnicorns"}}`},
}

func main() { run(context.Background(), os.Stdout) }

func run(ctx context.Context, out io.Writer) {
	for _, r := range requests {
		server := pbxsim.Listen(simulators.Of(r.driver)[0].New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
		cfg := pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret("secret")}
		var found strings.Builder
		if err := list(ctx, &found, r.driver, cfg, r.path, strings.NewReader(r.body)); err != nil {
			fmt.Fprintf(out, "%s: error: %v\n", r.driver, err)
		} else {
			fmt.Fprintf(out, "%s: %s\n", r.driver, &found)
		}
		server.Close()
	}
}
