package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheExtensionsAreListedAndABrandsFailureIsAnError(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
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
