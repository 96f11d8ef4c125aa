// Package reports holds what the suite says of every driver of this module, as
// text and as JSON: one file of each per driver and setting. They are written by
//
//	go generate ./conformance/reports
//
// and compared by this package's test with what the suite says today, less the
// versions, which are those of the day when they were written. A driver is added
// by a row in that test.
package reports

//go:generate go test . -update
