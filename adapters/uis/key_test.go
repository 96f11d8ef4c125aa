package uis_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

func TestAKeyIsATokenWithoutAnEnd(t *testing.T) {
	for method, requests := range map[string]int{"": 0, "list.calls": 1} {
		simulate(t, uissim.Options{}, withKey(method), func(t *testing.T, s simulation) {
			s.AddKey(key)
			got := s.Login(t)
			want := &pbx.Token{Value: pbx.NewSecret(key), IssuedAt: time.Now()}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			kept, err := s.Driver.KeepAlive(t.Context(), got)
			if diff := cmp.Diff(want, kept); diff != "" || err != nil {
				t.Errorf("%v, -want +got:\n%s", err, diff)
			}
			if err := s.Driver.Logout(t.Context(), got); err != nil {
				t.Error(err)
			}
			traits := s.Driver.Traits()
			if traits.Unproven != (method == "") {
				t.Errorf("with the method %q: unproven is %t", method, traits.Unproven)
			}
			if traits.Lifetime != 0 || traits.KeepAlive != pbx.KeepAliveNone || traits.Logout != pbx.LogoutNone {
				t.Errorf("%+v", traits)
			}
			if counts := s.Counts(); counts.Logins != 0 || counts.Requests != requests {
				t.Errorf("with the method %q: %d logins, %d requests, want %d", method, counts.Logins, counts.Requests, requests)
			}
		})
	}
}

func TestARefusedKeyIsFinal(t *testing.T) {
	for _, mnemonic := range []string{"access_token_invalid", "access_token_expired", "access_token_blocked"} {
		simulate(t, uissim.Options{DeadToken: mnemonic}, withKey("list.calls"), func(t *testing.T, s simulation) {
			_, err := s.Driver.Login(t.Context())
			if got := failure(t, err); got.Kind != pbx.ErrInvalidCredentials || got.Op != pbx.OpLogin || got.Setting != "key" || got.Code != mnemonic || !got.Sent ||
				!strings.Contains(got.Message, "make another one") || strings.Contains(err.Error(), key[:8]) {
				t.Errorf("%v, setting %q", err, got.Setting)
			}
			s.AddKey(key)
			token := s.Login(t)
			s.Revoke(key)
			if err := request(t, s, token, listCalls); !errors.Is(err, pbx.ErrInvalidCredentials) || errors.Is(err, pbx.ErrTokenRejected) {
				t.Errorf("a request: %v", err)
			}
		})
	}
}

// A key that the harmless method says nothing about is believed.
func TestAKeyIsNotRefusedForTheMethod(t *testing.T) {
	for mnemonic, want := range map[string]error{
		"method_not_found": nil, "forbidden": nil, "component_disabled": nil, "required_parameter_missed": nil, "unexpected_parameters": nil,
		"ip_not_whitelisted": pbx.ErrForbidden, "account_inactive": pbx.ErrForbidden, "internal_error": pbx.ErrUnavailable, "limit_exceeded": pbx.ErrUnavailable,
	} {
		body := `{"error":{"code":-32099,"data":{"mnemonic":"` + mnemonic + `"}}}`
		got, err := on(t, drivertest.Bodies(body), withKey("list.calls")).Login(t.Context())
		if !errors.Is(err, want) || (err == nil) != (want == nil) || (got == nil) != (want != nil) {
			t.Errorf("%s: %v, %v", mnemonic, got, err)
		}
		if want == nil {
			err := on(t, drivertest.Bodies(body)).Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)})
			if got := failure(t, err); got.Kind != pbx.ErrNotSupported || got.Setting != "ping_method" {
				t.Errorf("Ping, %s: %v", mnemonic, err)
			}
		}
	}
}

func TestASessionWithAKeyNeverExpires(t *testing.T) {
	simulate(t, uissim.Options{}, withKey("list.calls"), func(t *testing.T, s simulation) {
		s.AddKey(key)
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		call := func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			resp, err := postThrough(ctx, kept, s.Server.URL)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		for range 60 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(24 * time.Hour)
		}
		s.Revoke(key)
		call() // gets the platform's refusal
		for range 10 {
			if err := call(); !errors.Is(err, pbx.ErrInvalidCredentials) {
				t.Errorf("a revoked key: %v", err)
			}
			time.Sleep(time.Hour)
		}
		want := pbxsim.Counts{Requests: 62, AppRequests: 61, RefusedTokens: 1}
		if diff := cmp.Diff(want, s.Counts()); diff != "" {
			t.Errorf("the platform saw (-want +got):\n%s", diff)
		}
	})
}
