//go:build linux

package realservers

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// table collects what servers' own logs say, for the tables of README.md.
var table struct {
	sync.Mutex
	results []result
}

// result is one cell: what a scenario came to, for all or for one brand.
type result struct {
	scenario string
	brand    string // empty: the scenario has one result
	held     bool
	counts   string
}

// report adds what a server's own log says to the table of -table.
func report(t *testing.T, format string, args ...any) {
	t.Helper()
	counts := fmt.Sprintf(format, args...)
	t.Log(counts)
	scenario, brand := strings.TrimPrefix(t.Name(), "Test"), ""
	for _, b := range brands() {
		if parent, ok := strings.CutSuffix(scenario, "/"+b.Driver); ok {
			scenario, brand = parent, b.Driver
		}
	}
	t.Cleanup(func() {
		table.Lock()
		defer table.Unlock()
		table.results = append(table.results, result{words(scenario), brand, !t.Failed(), counts})
	})
}

var (
	wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	article = regexp.MustCompile(`\bA([A-Z])`)
)

// words turns a test's name into words.
func words(name string) string {
	name = wordEnd.ReplaceAllString(name, "$1 $2")
	name = article.ReplaceAllString(name, "A $1")
	return strings.NewReplacer("_", " ", "/", ": ").Replace(name)
}

// printTables writes the results in Markdown.
func printTables(w io.Writer) {
	table.Lock()
	defer table.Unlock()
	slices.SortFunc(table.results, func(a, b result) int { return strings.Compare(a.scenario+a.brand, b.scenario+b.brand) })
	fmt.Fprint(w, "\n| scenario | holds | the server's own log |\n|---|---|---|\n")
	matrix := map[string]map[string]result{}
	for _, r := range table.results {
		if r.brand == "" {
			fmt.Fprintf(w, "| %s | %s | %s |\n", r.scenario, yes(r.held), r.counts)
			continue
		}
		if matrix[r.scenario] == nil {
			matrix[r.scenario] = map[string]result{}
		}
		matrix[r.scenario][r.brand] = r
	}
	fmt.Fprint(w, "\n| nginx |")
	for _, b := range brands() {
		fmt.Fprintf(w, " %s |", b.Driver)
	}
	fmt.Fprint(w, "\n|---|", strings.Repeat("---|", len(brands())), "\n")
	for _, scenario := range slices.Sorted(maps.Keys(matrix)) {
		fmt.Fprintf(w, "| %s |", scenario)
		for _, b := range brands() {
			if r, ok := matrix[scenario][b.Driver]; ok {
				fmt.Fprintf(w, " %s: %s |", yes(r.held), r.counts)
			} else {
				fmt.Fprint(w, " – |")
			}
		}
		fmt.Fprintln(w)
	}
}

func yes(held bool) string {
	if held {
		return "yes"
	}
	return "**no**"
}
