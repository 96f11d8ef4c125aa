package pbxsim_test

import (
	"testing"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const wrong, locked = "wrong password", "locked"

func TestTheLastWrongLoginLocksTheCaller(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		want(t, s, good, locked)
		until, ok := p.Locked("127.0.0.1")
		if !ok || time.Until(until) != 10*time.Minute {
			t.Errorf("Locked = in %v, %v; want in 10m, true", time.Until(until), ok)
		}
	})
}

func TestALockEndsOnTimeWhateverIsTriedMeanwhile(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		for range 9 {
			time.Sleep(time.Minute)
			want(t, s, bad, locked)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		want(t, s, good, locked)
		time.Sleep(time.Nanosecond)
		if _, ok := p.Locked("127.0.0.1"); ok {
			t.Error("still locked after 10m")
		}
		want(t, s, bad, wrong, wrong) // the count began anew
		login(t, s)
	})
}

func TestALockHoldsForItsCallerOnly(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong, locked)
		if got := sayFrom(t, s, "192.0.2.7", bad); got != wrong {
			t.Errorf("from another address: %q, want %q", got, wrong)
		}
		if got := sayFrom(t, s, "2001:db8::7", bad); got != wrong {
			t.Errorf("from an IPv6 address: %q, want %q", got, wrong)
		}
	})
}

func TestALockedCallersTokensStillWork(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		want(t, s, bad, wrong, wrong, wrong, locked)
		want(t, s, "/call?token="+token, "ok")
		want(t, s, "/keepalive?token="+token, "ok")
		want(t, s, "/logout?token="+token, "ok")
	})
}

func TestWrongLoginsAreForgottenAfterALockoutsTime(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong)
		time.Sleep(5 * time.Minute)
		want(t, s, bad, wrong)
		time.Sleep(5 * time.Minute)
		want(t, s, bad, wrong) // the first no longer counts
		login(t, s)
	})
}

func TestAGoodLoginResetsTheCount(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 5 {
			want(t, s, bad, wrong, wrong)
			login(t, s)
		}
	})
}

func TestSuccessKeepsCount(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{SuccessKeepsCount: true}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong)
		login(t, s)
		want(t, s, bad, wrong, locked)
	})
}

func TestAnUnknownUserCountsLikeAWrongPassword(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, "/login?user=nobody&password=", wrong, wrong, wrong)
		want(t, s, good, locked)
	})
}

func TestWrongTokenCounts(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, "/call?token=made-up", "unknown token", "unknown token", "unknown token")
		login(t, s)
	})
	inMemory(t, plain{}, pbxsim.Options{WrongTokenCounts: true}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := login(t, s)
		p.Expire(token)
		want(t, s, "/call?token="+token, "expired token") // was a good one: does not count
		want(t, s, "/call?token=made-up", "unknown token", "unknown token")
		login(t, s)
		want(t, s, "/call?token=made-up", "unknown token", "unknown token", "unknown token")
		want(t, s, good, locked)
	})
}

func TestLockoutOptions(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{LockoutAfter: 1, LockoutFor: time.Hour}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, locked)
		time.Sleep(59 * time.Minute)
		want(t, s, good, locked)
		time.Sleep(time.Minute)
		login(t, s)
	})
	inMemory(t, plain{}, pbxsim.Options{LockoutAfter: -1}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for range 100 {
			want(t, s, bad, wrong)
		}
		login(t, s)
	})
}

func TestLockAndUnlock(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Lock("127.0.0.1")
		want(t, s, good, locked)
		p.Unlock("127.0.0.1")
		login(t, s)
		want(t, s, bad, wrong, wrong)
		p.Unlock("127.0.0.1") // forgets the wrong ones, too
		want(t, s, bad, wrong, wrong)
		login(t, s)
	})
}

func TestALockSurvivesARestart(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		want(t, s, bad, wrong, wrong, wrong)
		p.Restart()
		want(t, s, good, locked)
	})
}
