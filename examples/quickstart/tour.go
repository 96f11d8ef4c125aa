package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/pbxauth/pbx"
)

// tour is a list of steps with one PBX, and the account of them.
type tour struct {
	out    io.Writer
	failed error // the first step that did not go as promised
}

// step runs one step, unless an earlier one has failed, and prints a line on it.
// do returns what there is to tell.
func (t *tour) step(name string, do func() (string, error)) {
	if t.failed != nil {
		return
	}
	told, err := do()
	if err != nil {
		t.failed = fmt.Errorf("%s: %w", name, err)
		fmt.Fprintf(t.out, "  FAILED  %-15s %v\n", name, err)
		return
	}
	fmt.Fprintf(t.out, "  ok      %-15s %s\n", name, told)
}

// call sends a request with client and returns an error unless the PBX's own
// words, not just its HTTP status, say that it went well.
func call(ctx context.Context, client *http.Client, auth pbx.Authenticator, r *http.Request) error {
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
		return requester.Inspect(resp, body, &pbx.Token{})
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return nil
}

// isDead makes sure that the PBX refuses token, by a call without a session.
func isDead(ctx context.Context, auth pbx.Authenticator, r *http.Request, token *pbx.Token) error {
	if err := requester(auth).Authorize(r, token); err != nil {
		return err
	}
	err := call(ctx, &http.Client{Transport: requester(auth).Transport()}, auth, r)
	switch {
	case err == nil:
		return errors.New("the PBX still takes the token")
	case !errors.Is(err, pbx.ErrTokenRejected):
		return err
	}
	return nil
}

func requester(auth pbx.Authenticator) pbx.Requester {
	r, _ := pbx.As[pbx.Requester](auth)
	return r
}
