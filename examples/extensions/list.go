package main

import (
	"context"
	"io"
	"net/http"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // every driver; or import single ones
	"github.com/pbxauth/pbx/session"
)

// list sends a request of the brand's own to a PBX of any brand, and copies the
// response. A failure that the brand reports, often under HTTP 200, is an error.
func list(ctx context.Context, out io.Writer, driver string, cfg pbx.Config, path string, body io.Reader) error {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		return err
	}
	s := session.New(auth, nil)
	defer s.Close(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, body) // the session adds the host
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := s.Do(r)
	if resp != nil {
		defer resp.Body.Close()
	}
	if err == nil {
		_, err = io.Copy(out, resp.Body)
	}
	return err
}
