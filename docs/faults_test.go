// Package docs has the tests of the documents beside it.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)[A-Z]\w*)\(`)
	rule     = regexp.MustCompile(`(?m)^### ([A-Z]+-\d\d)$`)
	named    = regexp.MustCompile("`([^`]+)`")
)

// guards are the names of all tests, in nested modules too, and of all rules of the
// conformance suite.
func guards(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	collect := func(file string, of *regexp.Regexp) error {
		text, err := os.ReadFile(file)
		for _, found := range of.FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
		return err
	}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		return collect(path, declared)
	})
	if err == nil {
		err = collect("../conformance/RULES.md", rule)
	}
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEveryFaultIsGuardedByATestThatExists(t *testing.T) {
	exist := guards(t)
	text, err := os.ReadFile("faults.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what went wrong ") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 3 {
			t.Errorf("%d cells: %s", len(cells), line)
			continue
		}
		by := named.FindAllStringSubmatch(cells[2], -1)
		if len(by) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, name := range by {
			if !exist[name[1]] {
				t.Errorf("there is no %s", name[1])
			}
		}
	}
	if rows < 70 {
		t.Errorf("%d rows", rows)
	}
}
