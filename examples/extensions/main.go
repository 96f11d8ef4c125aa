// Command extensions lists the extensions of two simulated PBXs of different
// brands, and then asks both for what they do not have. Both report that failure
// under HTTP 200, each in its own words. Session.Do returns it as an error.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // every driver; or import single ones
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// brands have their requests in the words of their manuals: one that lists the
// extensions, and one that no PBX has.
var brands = []struct {
	driver   string
	requests [2]struct{ path, body string }
}{
	{"yeastar", [2]struct{ path, body string }{
		{"/api/v1.1.0/extensionlist/query", `{}`},
		{"/api/v1.1.0/unicornlist/query", `{}`},
	}},
	{"grandstream", [2]struct{ path, body string }{
		{"/api", `{"request":{"action":"listAccount","options":"extension,fullname"}}`},
		{"/api", `{"request":{"action":"listUnicorns"}}`},
	}},
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	for _, brand := range brands {
		server := pbxsim.Listen(simulators.Of(brand.driver)[0].New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
		defer server.Close()
		auth, err := pbx.Open(brand.driver, pbx.Config{URL: server.URL, Username: "api", Password: pbx.NewSecret("secret")})
		if err != nil {
			return err
		}
		s := session.New(auth, nil)
		defer s.Close(ctx)
		for _, request := range brand.requests {
			list, err := post(ctx, s, request.path, request.body)
			if err != nil {
				list = "error: " + err.Error()
			}
			fmt.Fprintf(out, "%s: %s\n", brand.driver, list)
		}
	}
	return nil
}

// post returns the PBX's response, or the failure that the brand reports in it.
func post(ctx context.Context, s *session.Session, path, body string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body)) // no host: the session's PBX
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := s.Do(r)
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		return "", err
	}
	list, err := io.ReadAll(resp.Body)
	return string(list), err
}
