// Command layers checks that the files of a package stand in layers: none needs one
// that needs it too, on whatever way. A file needs another if it names something that
// is declared there.
//
//	layers PACKAGE...
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	flag.Parse()
	all, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, flag.Args()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "layers:", err)
		os.Exit(2)
	}
	if packages.PrintErrors(all) > 0 {
		os.Exit(2)
	}
	bad := false
	for _, p := range all {
		needs := arrows(p)
		n := 0
		for _, to := range needs {
			n += len(to)
		}
		files := len(p.CompiledGoFiles)
		fmt.Printf("%s: %d files, %d of %d pairs are arrows\n", p.PkgPath, files, n, files*(files-1)/2)
		if cycle := findCycle(needs); cycle != nil {
			bad = true
			fmt.Printf("%s: a cycle: %s\n", p.PkgPath, strings.Join(cycle, " → "))
			for i, from := range cycle[:len(cycle)-1] {
				fmt.Printf("\t%s needs of %s: %s\n", from, cycle[i+1], strings.Join(slices.Sorted(maps.Keys(needs[from][cycle[i+1]])), " "))
			}
		}
	}
	if bad {
		os.Exit(1)
	}
}

// arrows returns what each file names of each other.
func arrows(p *packages.Package) map[string]map[string]map[string]bool {
	needs := map[string]map[string]map[string]bool{}
	for id, object := range p.TypesInfo.Uses {
		if object.Pkg() != p.Types {
			continue
		}
		from, to := filepath.Base(p.Fset.Position(id.Pos()).Filename), filepath.Base(p.Fset.Position(object.Pos()).Filename)
		if from == to {
			continue
		}
		if needs[from] == nil {
			needs[from] = map[string]map[string]bool{}
		}
		if needs[from][to] == nil {
			needs[from][to] = map[string]bool{}
		}
		needs[from][to][object.Name()] = true
	}
	return needs
}

// findCycle returns the files of a cycle, of which the first is the last too; nil:
// there is none.
func findCycle(needs map[string]map[string]map[string]bool) []string {
	done := map[string]bool{}
	var way []string
	var visit func(file string) []string
	visit = func(file string) []string {
		if i := slices.Index(way, file); i >= 0 {
			return append(slices.Clone(way[i:]), file)
		}
		if done[file] {
			return nil
		}
		done[file] = true
		way = append(way, file)
		for _, to := range slices.Sorted(maps.Keys(needs[file])) {
			if cycle := visit(to); cycle != nil {
				return cycle
			}
		}
		way = way[:len(way)-1]
		return nil
	}
	for _, file := range slices.Sorted(maps.Keys(needs)) {
		if cycle := visit(file); cycle != nil {
			return cycle
		}
	}
	return nil
}
