package pbxsim_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const unknown, expired = "unknown token", "expired token"

func TestATokenExpires(t *testing.T) {
	inMemory(t, plain{fixed: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		time.Sleep(29 * time.Minute)
		want(t, s, "/request?token="+token, "ok") // does not prolong a fixed life
		time.Sleep(time.Minute - time.Nanosecond)
		want(t, s, "/request?token="+token, "ok")
		time.Sleep(time.Nanosecond)
		for _, action := range []string{"request", "keepalive", "logout"} {
			want(t, s, "/"+action+"?token="+token, expired)
		}
	})
}

func TestARequestProlongsASlidingToken(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{Lifetime: time.Minute}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		for range 100 {
			time.Sleep(59 * time.Second)
			want(t, s, "/request?token="+token, "ok")
		}
		time.Sleep(time.Minute)
		want(t, s, "/request?token="+token, expired)
	})
}

func TestAKeepAliveProlongsAnyToken(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		inMemory(t, plain{fixed: fixed}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			token := login(t, s)
			for range 7 * 24 * 2 { // a week
				time.Sleep(30*time.Minute - time.Second)
				want(t, s, "/keepalive?token="+token, "ok")
			}
		})
	}
}

func TestAnExpiredTokenIsForgottenOneDay(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		time.Sleep(24 * time.Hour)
		for range 1000 {
			login(t, s)
		}
		want(t, s, "/request?token="+token, expired)
		time.Sleep(time.Hour)
		for range 2000 {
			login(t, s)
		}
		want(t, s, "/request?token="+token, unknown)
	})
}

func TestTokensOfAnAccountAreIndependent(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		first := login(t, s)
		time.Sleep(time.Second)
		second := login(t, s)
		if diff := cmp.Diff([]string{first, second}, p.Tokens("api")); diff != "" {
			t.Errorf("Tokens (-want +got):\n%s", diff)
		}
		want(t, s, "/logout?token="+first, "ok", unknown)
		want(t, s, "/request?token="+second, "ok")
		if got := p.Tokens("nobody"); got != nil {
			t.Errorf("Tokens of no account = %q", got)
		}
	})
}

func TestSecondLoginKills(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{SecondLoginKills: true}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "secret")
		other := say(t, s, "/login?user=other&password=secret")
		first := login(t, s)
		second := login(t, s)
		want(t, s, "/request?token="+first, unknown)
		want(t, s, "/request?token="+second, "ok")
		want(t, s, "/request?token="+other, "ok")
	})
}

func TestLogoutEndsAll(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{LogoutEndsAll: true}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		first, second := login(t, s), login(t, s)
		want(t, s, "/logout?token="+first, "ok")
		want(t, s, "/request?token="+second, unknown)
	})
}

func TestControl(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		p.Expire(token)
		want(t, s, "/request?token="+token, expired)

		token = login(t, s)
		p.Revoke(token)
		want(t, s, "/request?token="+token, unknown)

		token = login(t, s)
		p.Restart()
		want(t, s, "/request?token="+token, unknown)
		if got := p.Tokens("api"); got != nil {
			t.Errorf("Tokens after a restart = %q", got)
		}

		token = login(t, s)
		p.SetPassword("api", "changed")
		want(t, s, good, wrong)
		want(t, s, "/request?token="+token, "ok")
		p.SetPassword("new", "secret")
		if got := say(t, s, "/login?user=new&password=secret"); got == wrong {
			t.Error("SetPassword made no account")
		}

		// What is not there can be ended, too.
		p.Expire("made-up")
		p.Revoke("made-up")
		p.Unlock("192.0.2.1")
	})
}

func TestAKeyIsATokenWithoutALogin(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.AddKey("key")
		p.Restart()
		time.Sleep(365 * 24 * time.Hour)
		want(t, s, "/request?token=key", "ok")
		want(t, s, "/keepalive?token=key", unknown)
		want(t, s, "/logout?token=key", unknown)
		p.Revoke("key")
		want(t, s, "/request?token=key", unknown)
	})
}

func TestNewTokenIsTheTestsToChoose(t *testing.T) {
	n := 0
	newToken := func() string {
		n++
		return fmt.Sprint("token-", n/2) // each one twice
	}
	inMemory(t, plain{}, pbxsim.Options{NewToken: newToken}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for i := range 3 {
			if got, want := login(t, s), fmt.Sprint("token-", i); got != want {
				t.Errorf("login %d: %q, want %q", i, got, want)
			}
		}
	})
}

func TestTheOptionsAreNotChanged(t *testing.T) {
	opts := &pbxsim.Options{Accounts: map[string]string{"api": "secret"}}
	p := pbxsim.New(plain{}, opts)
	p.SetPassword("api", "changed")
	if diff := cmp.Diff(map[string]string{"api": "secret"}, opts.Accounts); diff != "" {
		t.Errorf("Accounts (-want +got):\n%s", diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	p := pbxsim.New(plain{}, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}, Lockout: pbxsim.Lockout{After: -1}})
	s := pbxsim.Listen(p)
	defer s.Close()
	const callers, rounds = 8, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				token := login(t, s)
				want(t, s, bad, wrong)
				want(t, s, "/request?token="+token, "ok")
				want(t, s, "/keepalive?token="+token, "ok")
				want(t, s, "/logout?token="+token, "ok")
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			p.Log()
			p.Counts()
			p.Tokens("api")
			p.Lock("192.0.2.1")
			p.Locked("192.0.2.1")
			p.SetPassword("other", "secret")
			p.Fault(pbxsim.Fault{On: "nothing"})
			p.ClearFaults()
		}
	})
	wg.Wait()
	const n = callers * rounds
	wantCounts := pbxsim.Counts{
		Requests: 5 * n, Logins: 2 * n, KeepAlives: n, Logouts: n,
		GoodLogins: n, WrongLogins: n, AppRequests: n, Locks: rounds,
	}
	if diff := cmp.Diff(wantCounts, p.Counts()); diff != "" {
		t.Errorf("Counts (-want +got):\n%s", diff)
	}
}

// A brand with a key for each account finds out who asks by the key.
func TestALoginByPasswordFindsTheAccount(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{Lockout: pbxsim.Lockout{After: 2}}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "key of other")
		want(t, s, "/loginbypassword?password=secret", "api")
		want(t, s, "/loginbypassword?password=key+of+other", "other")
		want(t, s, "/loginbypassword?password=", wrong)
		if got := len(p.Tokens("other")); got != 1 {
			t.Errorf("%d tokens of other, want one", got)
		}
		p.SetPassword("other", "changed")
		want(t, s, "/loginbypassword?password=key+of+other", wrong)
		want(t, s, "/loginbypassword?password=secret", locked)
	})
}

func TestRespondIsAskedForRequestsWithAGoodToken(t *testing.T) {
	opts := pbxsim.Options{Respond: func(r *pbxsim.Request) *pbxsim.Reply {
		switch r.URL.Query().Get("about") {
		case "list":
			return &pbxsim.Reply{Status: 201, Body: []byte("[]")}
		case "page":
			return &pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html>")}
		}
		return nil
	}}
	inMemory(t, plain{}, opts, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		call := "/request?token=" + login(t, s)
		for about, want := range map[string][3]any{
			"list": {201, "application/json", "[]"}, "page": {200, "text/html", "<html>"}, "": {200, "text/plain; charset=utf-8", "ok"},
		} {
			resp, body, err := ask(s.Client(), s.URL+call+"&about="+about)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, [3]any{resp.StatusCode, resp.Header.Get("Content-Type"), body}); diff != "" {
				t.Errorf("%q (-want +got):\n%s", about, diff)
			}
		}
		p.Restart()
		want(t, s, call+"&about=list", unknown)
	})
}
