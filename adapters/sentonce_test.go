package adapters_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/session"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// net/http sends a request again when a kept connection breaks, if a header says that
// it is idempotent, and its body can be had again. The PBX may have read it.
func TestARequestThatSaysItIsIdempotentIsNotSentAgainByTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, err := uis.New(uis.Config{
			Config: pbx.Config{URL: "https://callapi.uiscom.ru", Transport: drivertest.Unsent{T: t}},
			Key:    pbx.NewSecret("K-0123456789abcdef"),
		})
		if err != nil {
			t.Fatal(err)
		}
		kept := session.New(driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
			r, _ := http.NewRequest(http.MethodPost, "https://callapi.uiscom.ru/v4.0", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{}}`))
			r.Header.Set(name, "call-1")
			sent := 0
			resp, err := kept.Transport(roundTrip(func(r *http.Request) (*http.Response, error) {
				sent++
				if r.GetBody != nil || r.Header.Get(name) != "" {
					t.Errorf("%s: net/http may send it twice: %v", name, r.Header)
				}
				if got := r.Header[strings.ToLower(name)]; len(got) != 1 || got[0] != "call-1" {
					t.Errorf("%s does not arrive: %v", name, r.Header)
				}
				body, _ := io.ReadAll(r.Body)
				if !strings.Contains(string(body), "K-0123456789abcdef") {
					t.Errorf("%s: the body is %s", name, body)
				}
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"result":{}}`)), Request: r}, nil
			})).RoundTrip(r)
			if err != nil || sent != 1 {
				t.Errorf("%s: %v after %d requests", name, err, sent)
				continue
			}
			resp.Body.Close()
		}
	})
}
