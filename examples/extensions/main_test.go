package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestTheExtensionsAreListedAndABrandsFailureIsAnError(t *testing.T) {
	var out bytes.Buffer
	run(t.Context(), &out)
	lines := strings.Split(out.String(), "\n")
	for i, want := range [][]string{
		{`yeastar: {"status":"Success"`, `"Reception"`, `"1001"`},
		{"yeastar: error: yeastar: request: ", "(code "},
		{`grandstream: {"response":`, `"Reception"`, `"1001"`},
		{"grandstream: error: grandstream: request: ", "(code "},
	} {
		for _, part := range want {
			if i >= len(lines) || !strings.Contains(lines[i], part) {
				t.Errorf("line %d does not have %q:\n%s", i+1, part, &out)
			}
		}
	}
}

func TestWhatAProgramNeedsForThatIsShort(t *testing.T) {
	source, err := os.ReadFile("list.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(string(source)) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "//") {
			lines++
		}
	}
	if lines > 30 {
		t.Errorf("list.go has %d lines of code", lines)
	}
}
