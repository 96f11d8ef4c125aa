// Package tokencell is what sessions of several processes write about one
// account into a store: the token, sealed, who is renewing it, and which one the
// PBX refused. It holds values and rules. It has no clock and does no I/O: times
// are arguments, and they are the store's.
//
// # One attempt
//
//	Load ─► Open ─► Record.Decide
//	                  Adopt  use the token: another process was quicker
//	                  Wait   another process is at it, at most until Step.Until
//	                  Claim  Swap(Record.Claimed), then ask the PBX, then Swap(Record.Committed)
//
// A claim is part of the value that it protects, so a Swap that loses has lost
// the claim as well. A process that was stopped while it held a claim can send
// one request more, but its commit loses.
//
// Every write carries a name that is used once (Record.Writer). After an error
// the writer loads the cell and recognises its own write by that name.
package tokencell
