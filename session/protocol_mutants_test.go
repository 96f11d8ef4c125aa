package session

import (
	"testing"

	"github.com/pbxauth/pbx/internal/mutants"
)

// brokenProtocols are processes that make one mistake each with their store, and the
// test that has to notice.
var brokenProtocols = []mutants.Mutant{
	{"Close logs out", "session.go",
		"case l.cell != nil && !remove:", "case false:", "TestProcessesShareOneLogin"},
}

// go test ./session -run MutantsOfTheProtocol -mutants -timeout 30m
func TestMutantsOfTheProtocol(t *testing.T) { mutants.Run(t, brokenProtocols) }
