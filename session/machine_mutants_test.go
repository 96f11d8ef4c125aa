package session

import (
	"testing"

	"github.com/pbxauth/pbx/internal/mutants"
)

// brokenMachines are machines with one mistake each, and the sentence with which
// TestEveryReachableState has to fail.
var brokenMachines = []mutants.Mutant{
	{"a refusal in a request is not remembered", "machine.go", "	if m.print != (fingerprint{}) || !m.rules.prints {\n		m.refuse(m.print)", "	if m.print != (fingerprint{}) || !m.rules.prints {",
		"a refused password is not sent again"},
	{"only the newest refusal is remembered", "machine.go", "kept := r.refused[max(0, len(r.refused)-mostRefused+1):]", "kept := r.refused[:0]",
		"a refused password is not sent again"},
	{"a stored token ends the rejection", "machine.go", "	if op == pbx.OpLogin {\n		m.badRefreshes = 0", "	if true {\n		m.badRefreshes = 0",
		"a refused password is not sent again"},
	{"a look that fails is followed by a login", "machine.go", "case e.err == nil && !m.isRefused(e.print):", "case e.err != nil || !m.isRefused(e.print):",
		"a login is sent with the credentials that were looked at"},
	{"answers have no tickets", "machine.go", "p.stale = m.phase != asking || m.waiting || e.ticket != m.ticket", "p.stale = m.phase != asking || m.waiting",
		"a result with an old ticket changes nothing"},
	{"results have no tickets", "machine.go", "p.stale = m.phase != calling || e.ticket != m.ticket", "p.stale = m.phase != calling",
		"a result with an old ticket changes nothing"},
	{"an operation is started while one is under way", "machine.go", "	default:\n		return\n	}\n	op, at := m.due(now)", "	}\n	op, at := m.due(now)",
		"at most one thing is under way"},
	{"a question has no ticket of its own", "machine.go", "	m.ticket++\n	p.ask,", "	p.ask,",
		"every question has a ticket of its own"},
	{"who leaves the line stays in it", "machine.go", "		p.withdraw, p.ticket = true, m.ticket\n", "",
		"who no longer waits leaves the line"},
	{"a call out of the line is lost", "machine.go", "		m.waiting, m.next = true, a.until\n", "		m.phase, m.next = resting, a.until\n",
		"who no longer waits leaves the line"},
	{"a rejected session does not look", "machine.go", "	return now.Add(spread(credentialLook, chance))\n}\n\n// pinged", "	return time.Time{}\n}\n\n// pinged",
		"no session is forgotten"},
	{"a failure plans nothing", "machine.go", "	m.rest(now.Add(max(wait, pause)))", "	m.rest(time.Time{})",
		"no session is forgotten"},
	{"a renewal brings a refused token back", "machine.go", "if err == nil && op == pbx.OpKeepAlive && m.deadOld && m.old != nil && e.token.Value.Equal(m.old.Value) {", "if false {",
		"an invalidated token is never published again"},
	{"a stored token comes back after its refusal", "machine.go", "m.phase == calling && m.op != opPeek || m.old != nil && m.old.Value.Equal(t.Value) || sound(", "m.phase == calling && m.op != opPeek || sound(",
		"an invalidated token is never published again"},
	{"a ping that finds the token dead is not believed", "machine.go", "	case errors.Is(e.err, pbx.ErrTokenRejected):\n		m.rest(now)", "	case errors.Is(e.err, pbx.ErrInvalidCredentials):\n		m.rest(now)",
		"an invalidated token is never published again"},
	{"a ping is not asked for", "machine.go", "	if (e.ambiguous || trusts) && m.rules.pings && !m.noPing {", "	if false {",
		"an ambiguous refusal is decided by a ping"},
	{"what may be no refusal at all ends a token", "machine.go", "	if e.unclear || trusts {", "	if false {",
		"an ambiguous refusal is decided by a ping"},
	{"a response revives an expired lease", "machine.go", "	if !m.living(now) { // else a response that comes late could revive it\n		p.renewed = m.lease != nil && m.state != Rejected // too late\n		m.lease, m.pingDue = nil, false\n	}\n", "",
		"only Live, Renewing and Rejected hold a living token"},
	{"a failed renewal is unavailable though its token lives", "machine.go", "		m.become(now, Renewing, err, \"the renewal failed\", p)", "		m.become(now, Unavailable, err, \"the renewal failed\", p)",
		"only Live, Renewing and Rejected hold a living token"},
	{"a report about an earlier token counts", "machine.go", "func (m *machine) invalidate(now time.Time, e event, chance float64, p *plan) {\n	if !m.living(now) || m.lease.generation != e.generation {", "func (m *machine) invalidate(now time.Time, e event, chance float64, p *plan) {\n	if !m.living(now) {",
		"a report about an expired token changes no plan"},
	{"a report about an expired token counts", "machine.go", "		if e.lost && e.generation > m.dead {", "		if m.phase == resting {\n			m.rest(now)\n		}\n		if e.lost && e.generation > m.dead {",
		"a report about an expired token changes no plan"},
	{"a closed session goes on", "machine.go", "	m.phase, m.op = ended, \"\"\n	m.ticket++\n}\n\n// finishLast", "	m.op = \"\"\n	m.ticket++\n}\n\n// finishLast",
		"nothing happens after the end"},
	{"a closed session keeps its token", "machine.go", "	m.lease, m.next = nil, time.Time{}\n	m.become(now, Closed", "	m.next = time.Time{}\n	m.become(now, Closed",
		"nothing happens after the end"},
	{"retries have no pace", "machine.go", "now.Sub(m.memory.retried) < retryPause:", "now.Sub(m.memory.retried) < 0:",
		"a retry works at most once in ten seconds"},
	{"a replaced driver's token is left alive", "machine.go", "	if m.living(now) {\n		p.logout = m.lease.token\n	}\n	fresh := machine{", "	fresh := machine{",
		"a replaced driver's token is logged out"},
	{"a look at the store is taken for a claim", "machine.go", "	p.want, m.claimed = op, p.take\n", "	p.want, m.claimed = op, true\n",
		"with a store, nothing logs in without the claim"},
	{"a login that is not claimed is booked", "machine.go", "	p.unclaimed = (op == pbx.OpLogin || op == pbx.OpKeepAlive) && m.rules.shares && !m.claimed\n", "",
		"with a store, nothing logs in without the claim"},
	{"what needs no claim becomes a login", "machine.go", "	case e.claim.verdict == unshared && op != pbx.OpKeepAlive:", "	case false:",
		"with a store, nothing logs in without the claim"},
	{"a suspect token is kept", "machine.go", "	if !m.living(now) || m.lease.token.IssuedAt.After(e.before) {", "	if true {",
		"a suspect token is given up"},
	{"an account's one token is given up for an earlier refusal", "machine.go", "if m.rules.one && m.living(now)", "if false",
		"an account's one token that came after the refusal is kept"},
	{"an account's one token is never suspect", "machine.go", "m.living(now) && !m.lease.base.Before(e.read) {", "m.living(now) {",
		"a suspect token is given up"},
	{"a refused token is never reported", "machine.go", "	m.dead, p.dead = m.generation, &deadToken{m.lease.token, now, m.print}\n", "	m.dead = m.generation\n",
		"a refused token is reported"},
	{"a lock keeps its holder after its end", "machine.go", "m.state, m.err, m.holder = state, err, LockedByNobody", "m.state, m.err = state, err",
		"only a locked session names who holds the lock"},
}

// go test ./session -run MutantsOfTheMachine -mutants -timeout 30m
func TestMutantsOfTheMachine(t *testing.T) {
	mutants.RunOne(t, "TestEveryReachableState", brokenMachines)
}

func TestEachMistakeHasItsPlace(t *testing.T) {
	mutants.Check(t, brokenMachines)
	mutants.Check(t, brokenProtocols)
}
