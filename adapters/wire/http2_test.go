package wire_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/internal/resetting"
)

// Over HTTP/2, which the settings' Transport may speak, net/http sends a request again that
// the server has ended by a reset.
func TestALoginIsSentOnceOverHTTP2(t *testing.T) {
	home, got, transport := resetting.Serve(t)
	cfg := settings(home)
	cfg.Transport = transport
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		for _, body := range []string{"", `{"username":"api"}`} {
			got.Store(0)
			req := login
			req.Method, req.Body = method, []byte(body)
			_, err := open(t, cfg).Do(t.Context(), req)
			wantFailure(t, err, pbx.ErrUnavailable, true, "no response from "+strings.TrimPrefix(home, "http://"))
			if n := got.Load(); n != 1 {
				t.Errorf("%s %s was sent %d times: %v", method, body, n, err)
			}
		}
	}
}
