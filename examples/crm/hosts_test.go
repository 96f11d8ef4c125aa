package main

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
)

// heldBack makes a host at which one wrong login is as many as the budget allows:
// Asterisk with three attempts. The second account has the right password.
func heldBack(r *running) (sim *simulator, wrong, waiting Settings) {
	r.t.Helper()
	sim = r.simulate("asterisk", false, pbxsim.Options{})
	wrong = r.connect(sim, "Quarry Hill Spa", func(s *Settings) { s.Username, s.Password = "spa", secretOf("wrong") })
	r.waitFor(wrong, "Rejected")
	waiting = r.connect(sim, "Quarry Hill Events", nil)
	r.waitFor(waiting, "Held back")
	return sim, wrong, waiting
}

func TestAHostThatHoldsLoginsBackIsForgivenOnlyWithATickedBox(t *testing.T) {
	r := start(t, "")
	sim, wrong, waiting := heldBack(r)
	name := hostname(sim.URL)
	_, page := r.get("/")
	contains(t, html.UnescapeString(page), name+": logins held back by our budget until ", `<i class="used"></i><i class="kept"></i>`,
		"1 of 1 wrong login used; the PBX locks at 3. Sent by Quarry Hill Spa. Waiting: Quarry Hill Events.", "1 wrong login went to this host, and the PBX locks at 3.",
		`href="/#host-`+name+`"`, `id="host-`+name+`"`)

	path := "/host/" + name + "/forgive"
	_, page = r.get(path)
	contains(t, html.UnescapeString(page), "Forgive "+name+"?", "it may lock our address, and Quarry Hill Events stays offline.", "The PBX does not lock our address.", `name="sure"`, " required")
	status, page := r.post(path, url.Values{})
	if status != http.StatusUnprocessableEntity {
		t.Errorf("without the ticked box the status is %d", status)
	}
	contains(t, page, "Not forgiven: tick the box first.")
	r.waitFor(waiting, "Held back")
	if c := sim.pbx.Counts(); c.Logins != 1 {
		t.Errorf("%d logins were sent", c.Logins)
	}

	_, page = r.post(path, url.Values{"sure": {"1"}})
	contains(t, page, name+" is forgiven.")
	r.waitFor(waiting, "Live")
	r.waitFor(wrong, "Rejected")
	if c := sim.pbx.Counts(); c.WrongLogins != 1 || c.GoodLogins != 1 {
		t.Errorf("%d wrong logins, %d good ones", c.WrongLogins, c.GoodLogins)
	}
	if _, page = r.get("/"); strings.Contains(page, `class="hosts"`) {
		t.Error("the host is still in trouble")
	}
	if status, _ = r.get(path); status != http.StatusNotFound {
		t.Errorf("the host can be forgiven again: status %d", status)
	}
}

func TestAHostThatThePBXLockedIsForgivenAfterItIsUnlocked(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("grandstream", false, pbxsim.Options{})
	if err := sim.lock(true); err != nil {
		t.Fatal(err)
	}
	saved := r.connect(sim, "Kestrel Insurance", nil)
	r.waitFor(saved, "Locked")
	name := hostname(sim.URL)
	_, page := r.get("/")
	contains(t, page, name+": locked by the PBX until ", "or sooner if you unlock our address in the PBX. Waiting: Kestrel Insurance.")
	_, page = r.get("/host/" + name + "/forgive")
	contains(t, page, "The PBX said that our address is locked until ", "the PBX may lock it for longer, and Kestrel Insurance stays offline.", "I have unlocked the address in the PBX.")
	if err := sim.lock(false); err != nil {
		t.Fatal(err)
	}
	r.post("/host/"+name+"/forgive", url.Values{"sure": {"1"}})
	r.waitFor(saved, "Live")
}

func TestPipsAreThePlacesOfTheBudget(t *testing.T) {
	for _, row := range []struct {
		attempts, used int
		proven         bool
		want           string
	}{
		{5, 2, true, "used used kept kept"},
		{5, 1, true, "used free kept kept"},
		{5, 1, false, "used free free kept"},
		{3, 1, true, "used kept"},
		{2, 1, false, "used"},
		{5, 0, true, "free free kept kept"},
		{3, 4, true, "used used used used"}, // some of them may be dead tokens
	} {
		got := strings.Join(pipsOf(row.used, lockout.Resolve(pbx.Lockout{Attempts: row.attempts}, 0), row.proven), " ")
		if got != row.want {
			t.Errorf("%d of %d, proven %v: %s, want %s", row.used, row.attempts, row.proven, got, row.want)
		}
	}
}

// Where a dead token may count as a wrong login, one more place is kept.
func TestDeadTokensThatCountKeepOneMorePlace(t *testing.T) {
	for counted, want := range map[pbx.DeadTokens]int{pbx.DeadTokensIgnored: 2, pbx.DeadTokensCount: 1} {
		if got := places(lockout.Resolve(pbx.Lockout{Attempts: 5, DeadTokens: counted}, 0), true); got != want {
			t.Errorf("%v: %d places, want %d", counted, got, want)
		}
	}
}

func TestAHostsRowNamesTheSendersAndTheSessionsThatWait(t *testing.T) {
	const url = "http://pbx.example"
	traits := pbx.Traits{URL: url, Lockout: pbx.Lockout{Attempts: 5, Memory: pbx.Forever}}
	neighbours := map[string]neighbour{}
	for key, name := range map[string]string{"1": "Sales", "2": "Support", "3": "Warehouse"} {
		of := traits
		of.Account = strings.ToLower(name)
		neighbours[key] = neighbour{name, of}
	}
	status := session.HostStatus{Host: "pbx.example"}
	status.Proven = 1
	status.Bookings = []lockout.Use{{URL: url, Account: "support", What: "refused"}, {URL: url, Account: "somebody", What: "refused"}}
	status.Waiting = []session.Waiting{{Session: "3", Reason: lockout.NoPlace}, {Session: "test ABC", Reason: lockout.NoPlace}, {Session: "2", Reason: lockout.PasswordRefused}}

	got, ok := hostOf(status, neighbours, noon)
	want := host{Name: "pbx.example", Group: needsYou, Icon: "held", Waiting: []string{"Warehouse"}, Locked: "address", Pips: []string{"used", "used", "kept", "kept"},
		Fact:   "pbx.example: logins held back by our budget until you act",
		Detail: "2 of 2 wrong logins used; the PBX locks at 5. Sent by Support, account “somebody”. Waiting: Warehouse."}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("%v (-want +got)\n%s", ok, diff)
	}

	status.LockedUntil, status.LockedFor = noon.Add(time.Hour), "support"
	if got, _ = hostOf(status, neighbours, noon); got.Fact != "pbx.example: account “support” locked by the PBX until 13:00" || got.Group != waits || len(got.Pips) != 0 {
		t.Errorf("%+v", got)
	}

	status = session.HostStatus{Host: "pbx.example", Waiting: []session.Waiting{{Session: "1", Reason: lockout.MayBeLocked, Until: noon.Add(time.Hour)}}}
	if got, _ = hostOf(status, neighbours, noon); got.Fact != "pbx.example: may be locked by the PBX until 13:00" || got.Group != waits || len(got.Pips) != 0 {
		t.Errorf("%+v", got)
	}

	status = session.HostStatus{Host: "pbx.example", Waiting: []session.Waiting{{Session: "1", Reason: lockout.NoEvidence}}}
	if _, ok := hostOf(status, neighbours, noon); ok {
		t.Error("a host that does not respond holds nothing back")
	}
}

func TestForgiveNamesWhatIsLockedAndWhoWaits(t *testing.T) {
	for _, row := range []struct {
		host host
		text string
		tick string
	}{
		{host{Lock: "The PBX said that our address is locked until 14:51.", Locked: "address", Waiting: []string{"Kestrel Insurance"}},
			"The PBX said that our address is locked until 14:51. After you forgive it, the next login goes out at once. If the address is still locked, the PBX may lock it for longer, and Kestrel Insurance stays offline.",
			"I have unlocked the address in the PBX."},
		{host{Lock: "The PBX said that account “crm” is locked until 14:51.", Locked: "account"},
			"The PBX said that account “crm” is locked until 14:51. After you forgive it, the next login goes out at once. If the account is still locked, the PBX may lock it for longer.",
			"I have unlocked the account in the PBX."},
		{host{Waiting: []string{"Sales", "Support"}},
			"Our budget holds logins back, so that the PBX does not lock our address. After you forgive it, the wrong logins are forgotten here, and the next login goes out at once. If the PBX still counts them, it may lock our address, and these stay offline: Sales, Support.",
			"The PBX does not lock our address."},
	} {
		if q := forgiving(row.host); q.Text != row.text || q.Tick != row.tick {
			t.Errorf("got %q, %q", q.Text, q.Tick)
		}
	}
}

// The bar shows a single PBX among many, on the narrowest phone too.
func TestEachSegmentOfTheFleetsBarIsAtLeastSixPixels(t *testing.T) {
	of := map[int64]group{}
	for i, g := range groups {
		of[int64(i)] = g
	}
	for i := range int64(996) {
		of[100+i] = loggedIn
	}
	for _, s := range fleetOf(of).Segments {
		var share float64
		if _, err := fmt.Sscanf(s.Width, "%f%%", &share); err != nil || share/100*(320-2*16)-3 < 6 {
			t.Errorf("%s is %s wide (%v)", s.Group, s.Width, err)
		}
	}
}

func TestALoginThatWaitsItsTurnSaysSo(t *testing.T) {
	r := start(t, "")
	sim := r.simulate("asterisk", false, pbxsim.Options{})
	r.waitFor(r.connect(sim, "Front desk", nil), "Live")
	sim.respondSlowly(true)
	for _, name := range []string{"Spa", "Events"} {
		r.connect(sim, name, func(s *Settings) { s.Username = name })
	}
	var page string
	eventually(t, func() bool {
		_, page = r.get("/")
		return strings.Contains(page, "Waits its turn: logins go to this host one after the other.")
	}, func() string { return "no row says that it waits its turn:\n" + page })
}
