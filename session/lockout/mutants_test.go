package lockout_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "break each rule in turn and check that its scenario notices: go test -run TestMutants -mutants -timeout 20m")

// mutant is a broken ledger: in file, the text old, which occurs once, is
// replaced, and the test has to fail.
type mutant struct {
	rule, file, old, new, killedBy string
}

var brokenLedgers = []mutant{
	{"the first unclear outcome of proven credentials is free", "settle.go",
		"settleAs(unclear)", "if c := h.credential(t, b.URL, b.Fingerprint); c.isProven() { remove() } else { settleAs(unclear) }", "TestAllResponsesLost"},
	{"a success clears the account everywhere", "settle.go",
		"case pbx.ResetAccount:", "default:", "TestSuccessOfTheSameAccountClearsNothingWhereNobodySays"},
	{"a memory of 24 hours in a row", "limits.go",
		"if l.Memory <= 0 {", "if l.Memory <= 0 || l.Memory == pbx.Forever {", "TestOneWrongAccountADay"},
	{"new credentials up to N - 2 beside proven ones", "limits.go",
		"return l.places(3)", "return l.places(2)", "TestOneFaultAfterAnotherBesideTwelveWrongAccounts"},
	{"several logins in flight for one fingerprint", "ask.go",
		"if n.sameFlying {", "if false {", "TestChangedPasswordIsSentOnce"},
	{"no evidence", "ask.go",
		"!l.hasEvidence(now, h.unclearSince(), g.URL)", "false", "TestFleetIsLiveSoonAfterAnOutage"},
	{"evidence from the web page", "local.go",
		"status > 0 && status < 500", "status > 0", "TestFleetIsLiveSoonAfterAnOutage"},
	{"evidence from before the fault", "local.go",
		"at(sent) >= l.lastBad", "true", "TestEvidence"},
	{"evidence never gets old", "local.go",
		"now <= u.evidence.add(evidenceLasts)", "true", "TestUsedPlaceNeedsFreshEvidence"},
	{"evidence of another URL", "local.go",
		"if l.urls[i].url == url {", "if true {", "TestEvidence"},
	{"relogin in the last place", "ask.go",
		"n.counted > waiting.Limits.several()", "n.counted > waiting.Limits.all()", "TestReloginKeepsPlacesForFaults"},
	{"relogin without a pause", "ask.go",
		"reloginInterval = 20 * time.Second", "reloginInterval = 0", "TestReloginKeepsPlacesForFaults"},
	{"no relogin", "ask.go",
		"if rank > bestRank {", "if rank > bestRank+99 {", "TestManyWrongAndNewAccountsWhereASuccessResetsTheAddress"},
	{"bookings die with their process", "settle.go",
		"b.state, b.settled, b.abandoned = unclear, at(now), true", "*b = Booking{memory: 1}", "TestKilledProcessLeavesItsBooking"},
	{"bookings in flight end with their deadline", "host.go",
		"return b.judged().add(memory)", "if b.state == inFlight { return b.deadline() }; return b.judged().add(memory)", "TestProcessKilledRightAfterTheVerdictSendsAtMostTwo"},
	{"abandoned logins of new credentials go on", "ask.go",
		"if n.abandoned >= 2", "if n.abandoned >= 9", "TestProcessKilledRightAfterTheVerdictSendsAtMostTwo"},
	{"one count for a host where the lock is the account's", "ask.go",
		"(!g.Limits.PerAccount || b.URL == g.URL && b.Account == g.Account)", "true", "TestWrongLoginsOfOneAccountDoNotHoldUpAnotherWhereTheCountIsTheAccounts"},
	{"dead tokens one at a time until one is accepted", "settle.go",
		"case g.Limits.DeadTokens == pbx.DeadTokensCount:", "case false:", "TestIdleSessionsSendOneDeadTokenPerRestart"},
	{"dead tokens are not booked", "settle.go",
		"if dead < maxDeadTokens {", "if false {", "TestDeadTokensCountEvenWhereNothingElseWentWrong"},
	{"no place is kept for a dead token", "limits.go",
		"l.DeadTokens == pbx.DeadTokensCount && l.Attempts >= 4", "false", "TestPlaces"},
	{"a refusal is forgotten after a day", "ask.go",
		"if c.isRefused() {\n\t\twhen", "if c.isRefused() && now.sub(c.refused) < 24*time.Hour {\n\t\twhen", "TestRemoveAndAddDoesNotSendARefusedPasswordAgain"},
	{"refusals are not stored", "encode.go",
		"times := [...]instant{c.proven, c.refused,", "times := [...]instant{c.proven, 0,", "TestRestartsDoNotSendARefusedPasswordAgain"},
	{"a refusal holds at every URL", "host.go",
		"key := credential{url: url, print: print}\n", "key := credential{url: url, print: print}\n\tfor _, c := range h.credentials { if c.print == print { return c } }\n", "TestRefusalIsOfOneURL"},
	{"Retry removes the booking", "settle.go",
		"c.retried = max(t, c.refused+1)", "c.retried = max(t, c.refused+1); h.bookings = slices.DeleteFunc(h.bookings, func(b Booking) bool { return b.Fingerprint == g.Fingerprint })", "TestRetryLoopStopsBeforeTheLock"},
	{"Retry as often as wanted", "settle.go",
		"if c.retried > 0 && t < c.retried.add(retryInterval) {", "if false {", "TestRetryWorksOnceInTenSeconds"},
	{"Retry without a place removes the refusal", "settle.go",
		"h.setCredential(old)", "_ = old", "TestRetryWithoutAPlaceChangesNothing"},
	{"Retry waits for pauses", "ask.go",
		"case count == 0 || c.retried >= last:", "case count == 0:", "TestRetrySkipsPauses"},
	{"what was not sent is booked", "settle.go",
		"case NotSent:\n\t\tremove()", "case NotSent:\n\t\tsettleAs(unclear)", "TestOutcomesAndBookings"},
	{"unclear logins do not count", "settle.go",
		"settleAs(unclear)", "remove()", "TestAllResponsesLost"},
	{"too many sessions is a success", "settle.go",
		"case TooManySessions:\n\t\tremove()", "case TooManySessions:\n\t\tremove()\n\t\th.success(t, l, g, b)", "TestOutcomesAndBookings"},
	{"a late verdict is not expected", "limits.go",
		"lateVerdict  = 2 * time.Minute", "lateVerdict  = 0 * time.Minute", "TestMemory"},
	{"a success removes everybody's unclear logins", "settle.go",
		"return k.URL == b.URL && k.Fingerprint == b.Fingerprint && k.booked <= b.booked", "return k.URL == b.URL && k.booked <= b.booked", "TestSuccessSaysNothingAboutOthersUnclearLogins"},
	{"a success clears other ports of the host", "host.go",
		"if b.URL != c.url {", "if false {", "TestSuccessDoesNotClearAnotherPortOfTheHost"},
	{"a success clears what may still be judged", "host.go",
		"return b.judged() <= c.at", "return true", "TestSuccessDoesNotClearWhatASlowPBXMayStillJudge"},
	{"a success clears what was refused meanwhile", "host.go",
		"return b.state != inFlight && b.settled <= c.at", "return b.state != inFlight", "TestSuccessDoesNotClearWhatWasRefusedMeanwhile"},
	{"a stated lock is ignored", "host.go",
		"return found, found.until > 0", "return found, false", "TestStatedLock"},
	{"an account's lock is the host's", "settle.go",
		"if g.Limits.PerAccount {\n\t\tk.url", "if false {\n\t\tk.url", "TestOneLockedAccountDoesNotStopTheOthers"},
	{"a lock may never end", "settle.go",
		"if after <= 0 || after > window+time.Hour {", "if after <= 0 {", "TestStatedLock"},
	{"no try where a lock looks like a wrong password", "ask.go",
		"if !limits.LooksWrong || !c.mayBeLock() || c.tried > c.proven {", "if true {", "TestAddressLockedBySomebodyElse"},
	{"tries without end where a lock looks like a wrong password", "settle.go",
		"c.tried = c.refused", "_ = c.refused", "TestWrongPasswordIsSentAgainOnceWhereALockLooksLikeIt"},
	{"two refusals are no sign of a lock", "ask.go",
		"if different < 2 {", "if true {", "TestLooksWrongTriesOneAfterAnother"},
	{"the try leaves its refusal booked", "settle.go",
		"h.clear(clearing{kind: clearedTry, url: b.URL, print: b.Fingerprint, at: b.booked}, now)", "", "TestLooksWrongTriesOneAfterAnother"},
	{"no pause after unclear logins", "ask.go",
		"pauseAfterMore = 30 * time.Second", "pauseAfterMore = 0", "TestPausesAfterUnclearLogins"},
	{"the last place is not kept for after a lock", "ask.go",
		"case lastPlace:", "case lastPlace && false:", "TestAddressLockedBySomebodyElse"},
	{"other accounts' unclear logins look like a lock of this one", "ask.go",
		"lastPlace = false // what", "// what", "TestUnclearLoginsOfOtherAccountsAreNoLockOfThisOne"},
	{"several logins in doubt", "ask.go",
		"return l.doubt == 0 && l.lastSuccess > l.lastUnclear && h.row.count == 0 && now", "return now", "TestOneLoginAtATimeUnlessOneSucceededJustNow"},
	{"several logins long after a success", "ask.go",
		" && now <= l.lastSuccess.add(10*time.Second)", "", "TestLoginsGoOneByOneTenSecondsAfterTheLastSuccess"},
	{"429 is not waited for", "local.go",
		"p.throttled++\n\tp.until = max(p.until, now.add(wait))", "p.throttled++\n\t_ = wait", "TestThrottledAccountWaitsLongerEachTime"},
	{"new credentials go before proven ones", "ask.go",
		"rank = 3", "rank = -3", "TestOrderOfThoseWhoWait"},
	{"dead tokens of others are not suspected", "settle.go",
		"return at(issued) <= s.before", "return false", "TestIdleSessionsSendOneDeadTokenPerRestart"},
	{"nothing is put back", "merge.go",
		"case k == nil && (own || b.state != inFlight):", "case false:", "TestStoreThatForgetsGetsTheHostAgain"},
	{"nothing is taken out", "merge.go",
		"return b.ID.Process == r.process && seen.find(b.ID) == nil", "return false", "TestStoreThatForgetsGetsTheHostAgain"},
	{"what was cleared is put back", "merge.go",
		"return slices.ContainsFunc(h.clearings, func(c clearing) bool { return c.covers(&b, t) })", "return false", "TestStoreThatForgetsGetsTheHostAgain"},
	{"a process does not learn of doubt from another", "ask.go",
		"return h.row.last", "return 0", "TestProcessesLearnOfDoubtFromEachOther"},
	{"checks become ever rarer", "local.go",
		"u.checked.sub(u.since)/100), slowestCheck)", "u.checked.sub(u.since)/100), 24*time.Hour)", "TestScheduleOfChecks"},
	{"checks are rare from the beginning", "local.go",
		"if u.checks <= 3 {", "if false {", "TestScheduleOfChecks"},
	{"a newer version is read as this one", "encode.go",
		"case version.Version > format:", "case version.Version > 99:", "TestStoredHostOfANewerVersionIsLeftAlone"},
	{"not judged is believed of everybody", "settle.go",
		"o.Kind == NotJudged && !c.isProven()", "c.isProven() && false", "TestNotJudgedIsBelievedOfProvenCredentialsOnly"},
	{"not judged is believed of nobody", "settle.go",
		"o.Kind == NotJudged && !c.isProven()", "o.Kind == NotJudged && (c.isProven() || true)", "TestNotJudgedIsBelievedOfProvenCredentialsOnly"},
	{"no pause after a login that was not judged", "local.go",
		"p.until = max(p.until, now.add(wait))\n}\n\n// resume", "_ = wait\n}\n\n// resume", "TestNotJudgedIsBelievedOfProvenCredentialsOnly"},
	{"Retry waits for the pause after a login that was not judged", "settle.go",
		"l.resume(g.URL, g.Account)", "", "TestRetryEndsThePauseAfterALoginThatWasNotJudged"},
	{"Retry ends a pause that the PBX asked for", "local.go",
		"p.account == account && p.postponed > 0", "p.account == account", "TestRetryEndsThePauseAfterALoginThatWasNotJudged"},
	{"a refused check is evidence", "ask.go",
		" || h.barred(now, l, c, g.URL)", "", "TestWhatIsInFrontIsGoneWhenItNoLongerRefusesChecks"},
	{"a PBX whose checks are refused is never tried again", "ask.go",
		" && now < last.add(barredPause<<min(3*(count-1), 6))", "", "TestAPBXWhoseChecksAreAlwaysRefusedIsTriedAgainEverMoreRarely"},
	{"a PBX whose checks are refused is tried every hour", "ask.go",
		"barredPause<<min(3*(count-1), 6)", "barredPause", "TestAPBXWhoseChecksAreAlwaysRefusedIsTriedAgainEverMoreRarely"},
	{"a process does not learn from another what is in front", "ask.go",
		"count, last := h.row.inFront, h.row.last", "count, last := 0, h.row.last", "TestAnotherProcessLearnsWhatIsInFront"},
	{"refused checks follow each other at once", "local.go",
		"if l.doubt == 0 && !refuses {", "if l.doubt == 0 {", "TestAnotherProcessLearnsWhatIsInFront"},
	{"Retry waits for what is in front", "ask.go",
		"c.retried < last && now < last.add(barredPause", "now < last.add(barredPause", "TestAPersonsRetryGoesThroughWhatMayBeInFront"},
	{"a clock that was set back keeps a lock", "host.go",
		"l.until = now.add(l.window)", "_ = now", "TestClocks"},
}

func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("only with -mutants: it takes minutes")
	}
	for _, m := range brokenLedgers {
		t.Run(strings.ReplaceAll(m.rule, " ", "-"), func(t *testing.T) {
			source, err := os.ReadFile(m.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%q occurs %d times in %s, want once", m.old, n, m.file)
			}
			dir := t.TempDir()
			broken := filepath.Join(dir, m.file)
			if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			original, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			overlay := filepath.Join(dir, "overlay.json")
			data, err := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(overlay, data, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-timeout", "2m", "-run", "^"+m.killedBy+"$", ".").CombinedOutput()
			switch {
			case err == nil:
				t.Errorf("%s does not notice", m.killedBy)
			case !strings.Contains(string(out), "--- FAIL: "+m.killedBy) && !strings.Contains(string(out), "panic: "):
				t.Errorf("the tests did not run: %.600s", out)
			}
		})
	}
}
