// Package processtest runs sessions in several real processes over real servers,
// and kills, stops and cuts off both: what the simulation of package session
// cannot show.
//
// The test binary starts itself as the processes of a program. They share a store
// in Redis, in PostgreSQL or in a directory, and keep sessions at simulated PBXs
// of all brands, which are in the test's own process and count what arrives.
//
//	go test .                                    # about a minute
//	go test -long 30m -run Faults -timeout 40m . # faults at random
//	go test -run xxx -bench . .                  # a start with 10,000 tokens in the store
//
// A test whose server is not installed is skipped and names what is missing.
package processtest
