package pbx_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
)

func TestACredentialsFuncThatPanicsIsAnErrorWithoutItsSecrets(t *testing.T) {
	for says, ask := range map[string]func(context.Context) (pbx.Credentials, error){
		"the Credentials func panicked: a string": func(context.Context) (pbx.Credentials, error) { panic("canary-password") },
		"the Credentials func panicked: runtime error: index out of range": func(context.Context) (pbx.Credentials, error) {
			return []pbx.Credentials{}[len("x")-1], nil
		},
	} {
		for _, ctx := range []context.Context{t.Context(), pbx.WithAttempt(t.Context())} {
			got, err := pbx.AskCredentials(ctx, t, ask)
			if err == nil || got.Username != "" || strings.Contains(err.Error(), "canary") || !strings.HasPrefix(err.Error(), says) {
				t.Errorf("%v, %v", got, err)
			}
		}
	}
}

func TestACredentialsFuncThatIgnoresItsContextIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := pbx.AskCredentials(ctx, t, func(context.Context) (pbx.Credentials, error) {
			time.Sleep(time.Hour)
			return pbx.Credentials{}, nil
		})
		if took := time.Since(begun); took != time.Second || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v after %s", err, took)
		}
		time.Sleep(time.Hour) // until the func returns
	})
}

// A fingerprint and a login may ask at the same time, and get the same account.
func TestAnAttemptHasOneAccountThoughTwoAskAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := pbx.WithAttempt(t.Context())
		var group sync.WaitGroup
		for user, after := range map[string]time.Duration{"late": 2 * time.Second, "early": time.Second} {
			group.Go(func() {
				got, err := pbx.AskCredentials(ctx, "client", func(context.Context) (pbx.Credentials, error) {
					time.Sleep(after)
					return pbx.Credentials{Username: user}, nil
				})
				if err != nil || got.Username != "early" {
					t.Errorf("the %s one got %v, %v", user, got, err)
				}
			})
		}
		group.Wait()
	})
}
