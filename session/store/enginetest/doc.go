// Package enginetest starts the servers that stores are tested with: Redis,
// PostgreSQL, and a proxy with faults before them. Each listens on a free port of
// the loopback interface, keeps its files in a directory of the test, and is
// ended with the test, by its process id.
//
// A test whose server is not installed is skipped and names what is missing.
package enginetest
