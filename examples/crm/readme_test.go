package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	declared = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	subtest  = regexp.MustCompile(`(?m)^\t\t\{"([^"]+)", \w+`)
	testName = regexp.MustCompile("`(Test[^`]+)`")
	pictured = regexp.MustCompile(`\]\((screenshots/[^)]+)\)`)
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryQuestionNamesATestOrAPictureThatExists(t *testing.T) {
	exist := map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range declared.FindAllStringSubmatch(string(text), -1) {
			exist[found[1]] = true
		}
		if file == "browser_test.go" {
			for _, found := range subtest.FindAllStringSubmatch(string(text), -1) {
				exist["TestBrowser/"+found[1]] = true
			}
		}
	}
	_, questions, _ := strings.Cut(readme(t), "## Twenty-five questions\n")
	n := 0
	for row := range strings.Lines(questions) {
		if !strings.HasPrefix(row, "| ") || strings.HasPrefix(row, "| | question") {
			continue
		}
		n++
		if !strings.HasPrefix(row, fmt.Sprintf("| %d | ", n)) || strings.Count(row, "|") != 4 {
			t.Errorf("row %d: %s", n, row)
		}
		tests, pictures := testName.FindAllStringSubmatch(row, -1), pictured.FindAllStringSubmatch(row, -1)
		if len(tests)+len(pictures) == 0 {
			t.Errorf("neither a test nor a picture: %s", row)
		}
		for _, name := range tests {
			if !exist[name[1]] {
				t.Errorf("there is no %s", name[1])
			}
		}
		for _, picture := range pictures {
			if _, err := os.Stat(picture[1]); err != nil {
				t.Error(err)
			}
		}
	}
	if n != 25 {
		t.Errorf("%d questions", n)
	}
}

func TestTheREADMECountsTheLinesToCopy(t *testing.T) {
	for _, row := range []struct{ file, says string }{
		{"fleet.go", "It has %d lines"},
		{"store.go", "add [store.go](store.go), %d lines"},
	} {
		code, err := os.ReadFile(row.file)
		if err != nil {
			t.Fatal(err)
		}
		says := fmt.Sprintf(row.says, strings.Count(string(code), "\n"))
		if !strings.Contains(strings.Join(strings.Fields(readme(t)), " "), says) {
			t.Errorf("README.md does not say of %s %q", row.file, says)
		}
	}
}
