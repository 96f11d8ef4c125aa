package drivertest

import (
	"maps"

	"github.com/pbxauth/pbx/internal/thorough"
)

// longRules are the rules of package conformance in which a session lives through a
// day, a week or an outage. They take two thirds of the suite's time.
var longRules = []string{"SESSION-04", "SESSION-07", "SESSION-10", "SESSION-12", "SESSION-13"}

// Brief is a Harness's Skip with the long rules in it. It is for a reading of a
// vendor's pages that differs from another, which is played in full, in something that
// the short rules are about. With PBX_TESTS=all it changes nothing.
func Brief(skip map[string]string) map[string]string {
	if thorough.Tests() {
		return skip
	}
	all := maps.Clone(skip)
	if all == nil {
		all = map[string]string{}
	}
	for _, rule := range longRules {
		if all[rule] == "" {
			all[rule] = "it takes long, and PBX_TESTS=all is not set"
		}
	}
	return all
}
