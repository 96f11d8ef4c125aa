package driverpages_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/internal/driverpages"
)

var update = flag.Bool("update", false, "write the pages")

const root = "../.."

func TestTheDriversPagesAreUpToDate(t *testing.T) {
	pages, err := driverpages.Pages(root)
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, file := range pages {
		stale, err := driverpages.Write(root, file, *update)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		} else if stale && !*update {
			t.Errorf("%s is not up to date: run go generate ./internal/driverpages", filepath.Base(file))
		}
	}
}

func TestEveryDriverHasAPage(t *testing.T) {
	for _, d := range pbx.Drivers() {
		page, err := os.ReadFile(filepath.Join(root, "docs", "drivers", d.Name+".md"))
		if err != nil {
			t.Errorf("%s has no page: %v", d.Name, err)
			continue
		}
		for _, want := range []string{"## Verified on", "<!-- generated: settings " + d.Name + " -->", "<!-- generated: traits " + d.Name} {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s's page lacks %q", d.Name, want)
			}
		}
	}
}

func TestAPartThatCannotBeMadeIsNamed(t *testing.T) {
	for _, what := range []string{"settings nobody", "traits nobody", "codes adapters/yeastar nothing", "poem"} {
		_, err := driverpages.Update(root, "<!-- generated: "+what+" -->\n<!-- end -->\n")
		if err == nil || !strings.HasPrefix(err.Error(), what+": ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
