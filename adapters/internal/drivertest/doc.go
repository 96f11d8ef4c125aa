// Package drivertest is the kit for tests of drivers and their simulators. What all
// drivers must do is checked by package conformance. The kit is for tests of what only
// one brand does: a brand's test is a table, and the kit runs it.
package drivertest

import _ "github.com/pbxauth/pbx/internal/fewgc"
