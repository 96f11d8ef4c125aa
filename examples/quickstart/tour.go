package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// tour is a list of steps with one PBX.
type tour struct {
	sim    simulators.Simulator
	lines  *lines
	failed error // the first step that did not go as promised
}

// step runs one step, unless an earlier one has failed, and prints a line on it.
// do returns what there is to say.
func (t *tour) step(name string, do func() (string, error)) {
	if t.failed != nil {
		return
	}
	message, err := do()
	if err != nil {
		t.failed = fmt.Errorf("%s: %w", name, err)
		t.lines.print("%-17s FAILED  %-15s %v", t.sim.Name(), name, err)
		return
	}
	t.lines.print("%-17s ok      %-15s %s", t.sim.Name(), name, message)
}

// request sends the brand's harmless request with client. It returns an error
// unless the PBX's own status, not only its HTTP status, says that it succeeded.
func (t *tour) request(ctx context.Context, client *http.Client, auth pbx.Authenticator, url string) error {
	return send(ctx, client, auth, t.sim.Harmless.At(url), &pbx.Token{})
}

// isDead returns an error unless the PBX refuses token, in a request without a
// session.
func (t *tour) isDead(ctx context.Context, auth pbx.Authenticator, url string, token *pbx.Token) error {
	requester, ok := pbx.As[pbx.Requester](auth)
	if !ok {
		return errors.New("the driver sends no requests of an application")
	}
	r := t.sim.Harmless.At(url)
	if err := requester.Authorize(r, token); err != nil {
		return err
	}
	err := send(ctx, &http.Client{Transport: requester.Transport()}, auth, r, token)
	switch {
	case err == nil:
		return errors.New("the PBX still accepts the token")
	case !errors.Is(err, pbx.ErrTokenRejected):
		return err
	}
	return nil
}

func send(ctx context.Context, client *http.Client, auth pbx.Authenticator, r *http.Request, token *pbx.Token) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if requester, ok := pbx.As[pbx.Requester](auth); ok {
		return requester.Inspect(resp, body, token)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return nil
}
