package lockout

import (
	"testing"
	"time"
)

// A process that only looks stores what the store lacks, once.
func TestMergeSaysWhatTheStoreLacks(t *testing.T) {
	refused := Booking{ID: ID{"a", 1}, URL: "https://pbx.test", Account: "x", Fingerprint: Fingerprint{1}, booked: 1000, settled: 2000, state: refused, memory: time.Hour, timeout: time.Second}
	var known Host
	known.bookings = []Booking{refused}
	known.setCredential(credential{url: refused.URL, print: refused.Fingerprint, refused: 1000})
	flying := refused
	flying.state, flying.settled = inFlight, 0
	now := time.UnixMilli(3000)
	for name, row := range map[string]struct {
		stored  func(*Host)
		process string
		lacking bool
	}{
		"all is there":                 {func(*Host) {}, "b", false},
		"nothing is there":             {func(h *Host) { *h = Host{} }, "b", true},
		"no booking":                   {func(h *Host) { h.bookings = nil }, "b", true},
		"no refusal":                   {func(h *Host) { h.credentials = nil }, "b", true},
		"a booking without its end":    {func(h *Host) { h.bookings[0] = flying }, "b", true},
		"more than this process knows": {func(h *Host) { more := refused; more.ID.Number++; h.bookings = append(h.bookings, more) }, "b", false},
		"a booking of the future":      {func(h *Host) { h.bookings[0].settled = 9000 }, "b", true},
		"a refusal of the future":      {func(h *Host) { h.credentials[0].refused = 9000 }, "b", true},
		"an unclear row of the future": {func(h *Host) { h.row = row{count: 1, last: 9000} }, "b", true},
		"a lock without an end": {func(h *Host) {
			h.locks = []lock{{until: 1 << 50, window: time.Hour}}
		}, "b", true},
		"what this process took back": {func(h *Host) { more := refused; more.ID.Number++; h.bookings = append(h.bookings, more) }, "a", true},
	} {
		r := NewReplica(row.process)
		r.Keep(&known)
		stored := known.Clone()
		row.stored(&stored)
		if got := r.Merge(now, &stored); got != row.lacking {
			t.Errorf("%s: lacking is %v", name, got)
		}
		r.Keep(&stored)
		if r.Merge(now, &stored) {
			t.Errorf("%s: it is lacking again", name)
		}
	}
}
