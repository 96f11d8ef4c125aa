package pbxsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestCountsDistinguishVerdicts(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		want(t, s, "/request?token="+token, "ok", "ok")
		want(t, s, "/keepalive?token="+token, "ok")
		want(t, s, "/request?token=made-up", unknown)
		want(t, s, "/logout?token="+token, "ok", unknown)
		want(t, s, bad, wrong, wrong, wrong, locked, locked)
		p.Fault(pbxsim.Fault{Status: 500})
		say(t, s, good)

		wantCounts := pbxsim.Counts{
			Requests: 13, Logins: 7, KeepAlives: 1, Logouts: 2, Faults: 1,
			GoodLogins: 1, WrongLogins: 3, LockedLogins: 2, AppRequests: 2, RefusedTokens: 2, Locks: 1,
		}
		if diff := cmp.Diff(wantCounts, p.Counts()); diff != "" {
			t.Errorf("Counts (-want +got):\n%s", diff)
		}
	})
}

func TestTheLogHasBothSidesOfEveryRequest(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		req, _ := http.NewRequest("PUT", s.URL+bad, strings.NewReader("a body"))
		req.Header.Set("X-Canary", "secret")
		resp, err := s.ClientFrom("192.0.2.7").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		p.Fault(pbxsim.Fault{Drop: pbxsim.DropAfter})
		if _, _, err := ask(s.Client(), s.URL+good); err == nil {
			t.Fatal("answered, in spite of DropAfter")
		}

		wantLog := []pbxsim.Record{{
			At:       time.Now(),
			From:     "192.0.2.7",
			Action:   pbxsim.Login,
			Method:   "PUT",
			Path:     "/login",
			RawQuery: "user=api&password=guess",
			Header:   http.Header{"X-Canary": {"secret"}},
			Body:     []byte("a body"),
			Status:   200,
			Reply:    []byte("wrong password"),
			Verdict:  pbxsim.WrongPassword,
			User:     "api",
		}, {
			At:       time.Now(),
			From:     "127.0.0.1",
			Action:   pbxsim.Login,
			Method:   "POST",
			Path:     "/login",
			RawQuery: "user=api&password=secret",
			Header:   http.Header{},
			Body:     []byte{},
			Verdict:  pbxsim.OK,
			User:     "api",
			Password: "secret",
		}}
		ordinary := cmpopts.IgnoreMapEntries(func(name string, _ []string) bool { return !strings.HasPrefix(name, "X-") })
		if diff := cmp.Diff(wantLog, p.Log(), ordinary); diff != "" {
			t.Errorf("Log (-want +got):\n%s", diff)
		}
	})
}

func TestTheLogHoldsTheLastTenThousand(t *testing.T) {
	p := pbxsim.New(plain{}, nil)
	for i := range 10_002 {
		p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", fmt.Sprint("/request?", i), nil))
	}
	log := p.Log()
	if len(log) != 10_000 || log[0].RawQuery != "2" || log[9_999].RawQuery != "10001" {
		t.Errorf("%d records, from %s to %s; want 10000, from 2 to 10001",
			len(log), log[0].RawQuery, log[len(log)-1].RawQuery)
	}
}

func TestTheLogSaysWhichPasswordWasSentAndWhen(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{Guesses: []string{"guess"}}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		start := time.Now()
		login(t, s)
		p.SetPassword("api", "changed")
		time.Sleep(time.Minute)
		say(t, s, good)
		p.Fault(pbxsim.Fault{Drop: pbxsim.DropAfter})
		ask(s.Client(), s.URL+bad)
		say(t, s, "/login?user=api&password=unheard-of")
		say(t, s, "/login?user=api&password=changed")
		say(t, s, "/request?token=made-up")

		type sent struct {
			After    time.Duration
			Password string
			Verdict  pbxsim.Verdict
		}
		var got []sent
		for _, r := range p.Logins() {
			got = append(got, sent{r.At.Sub(start), r.Password, r.Verdict})
		}
		wantLog := []sent{
			{0, "secret", pbxsim.OK},
			{time.Minute, "secret", pbxsim.WrongPassword},
			{time.Minute, "guess", pbxsim.WrongPassword},
			{time.Minute, "", pbxsim.WrongPassword},
			{time.Minute, "changed", pbxsim.Locked},
		}
		if diff := cmp.Diff(wantLog, got); diff != "" {
			t.Errorf("Logins (-want +got):\n%s", diff)
		}
	})
}

func TestTheLogHasTheFirstVerdict(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.SetPassword("other", "secret")
		token := say(t, s, "/login?user=other&password=secret")
		want(t, s, "/useandlogin?token="+token, wrong)
		if r := p.Log()[1]; r.Verdict != pbxsim.OK || r.User != "other" {
			t.Errorf("%v of %q, want ok of other", r.Verdict, r.User)
		}
	})
}
