package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// deadTokens remembers, from one run to the next, when a dead token was sent to a
// host. Most vendors do not say whether that counts as a wrong login.
type deadTokens struct {
	store  store.Store
	host   string
	window time.Duration // in which one may be sent
}

// may notes that a dead token is about to be sent, or returns why none may be.
func (d deadTokens) may(ctx context.Context) error {
	key := "pbxprobe/dead-token/" + hex.EncodeToString([]byte(cmp.Or(d.host, "-")))
	cell, err := d.store.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("a dead token that was sent cannot be remembered: %w", err)
	}
	var until time.Time
	if cell.Rev != 0 {
		if err := until.UnmarshalBinary(cell.Value); err != nil {
			return fmt.Errorf("%s cannot be read: %w", key, err)
		}
	}
	if cell.Now.Before(until) {
		return d.refuse(until)
	}
	until = cell.Now.Add(d.window)
	value, err := until.MarshalBinary()
	if err != nil {
		return err
	}
	_, won, err := d.store.Swap(ctx, key, cell.Rev, value, d.window)
	switch {
	case err != nil:
		return fmt.Errorf("a dead token that was sent cannot be remembered: %w", err)
	case !won: // another run is at it
		return d.refuse(until)
	}
	return nil
}

func (d deadTokens) refuse(until time.Time) error {
	return fmt.Errorf("done by an earlier run, and a dead token may count as a wrong login: again after %s", clock(until))
}

// clock prints a moment, rounded up, so that nobody is too early.
func clock(at time.Time) string {
	return at.Add(time.Second - 1).Truncate(time.Second).Format("2006-01-02 15:04:05 MST")
}
