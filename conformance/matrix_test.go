package conformance

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/pbxauth/pbx/internal/fewgc"
)

var (
	update = flag.Bool("update", false, "write RULES.md anew")
	matrix = flag.Bool("matrix", false, "try every broken driver with every rule, and print which fail it")
)

// unbroken maps the rules without a mutant to the reason.
var unbroken = map[string]string{
	"CONFIG-03": "the registry keeps it: no driver of one can get it wrong",
}

// Every mutant must be failed by its own rule, for the right reason. Which others
// fail it too is for the reader of the matrix.
func TestABrokenDriverIsFailedByItsRule(t *testing.T) {
	rows := make([]string, len(mutants))
	if *matrix {
		t.Cleanup(func() { t.Log("\n" + legend() + strings.Join(rows, "")) })
	}
	t.Run("mutants", func(t *testing.T) {
		for i, m := range mutants {
			t.Run(m.rule+" "+m.does, func(t *testing.T) {
				t.Parallel()
				var row strings.Builder
				group := ""
				for _, r := range rules {
					if r.Group() != group {
						group = r.Group()
						row.WriteByte(' ')
					}
					if !*matrix && r.ID != m.rule {
						row.WriteByte('?')
						continue
					}
					got := r.try(t, m.harness)
					switch {
					case got.skipped != "" && r.ID == m.rule:
						t.Errorf("the rule is skipped: %s", got.skipped)
					case got.skipped != "":
						row.WriteByte('-')
					case got.err == nil && r.ID == m.rule:
						t.Error("the rule is passed")
					case got.err == nil:
						row.WriteByte('.')
					case r.ID != m.rule:
						row.WriteByte('x')
					default:
						row.WriteByte('X')
						if !strings.Contains(got.err.Error(), m.says) {
							t.Errorf("the rule fails for another reason: %v\nwant %q", got.err, m.says)
						}
					}
				}
				rows[i] = fmt.Sprintf("%s  %-14s %s\n", row.String(), m.rule, m.does)
			})
		}
	})
}

// legend explains the columns of the matrix: the rules in their groups.
func legend() string {
	var b strings.Builder
	b.WriteString("A row is a broken driver, a column a rule, in the order of RULES.md: X fails the rule that\n" +
		"it was made for, x fails this one too, . passes it, - is skipped, ? was not tried.\n\n")
	groups := slices.Collect(maps.Keys(numbers()))
	slices.SortFunc(groups, func(a, b string) int { return numbers()[a].first - numbers()[b].first })
	for _, g := range groups {
		fmt.Fprintf(&b, " %s-01…%02d", g, numbers()[g].count)
	}
	b.WriteString("\n\n")
	return b.String()
}

type numbering struct{ first, count int }

func numbers() map[string]numbering {
	n := map[string]numbering{}
	for i, r := range rules {
		g, ok := n[r.Group()]
		if !ok {
			g.first = i
		}
		g.count++
		n[r.Group()] = g
	}
	return n
}

func TestEveryRuleCanBeFailed(t *testing.T) {
	broken := maps.Clone(unbroken)
	for _, m := range mutants {
		if unbroken[m.rule] != "" {
			t.Errorf("%s is broken after all: take it from the list", m.rule)
		}
		broken[m.rule] = m.does
	}
	for _, r := range Rules() {
		if broken[r.ID] == "" {
			t.Errorf("no mutant is failed by %s", r.ID)
		}
	}
}

func TestTheCatalogueIsThatOfTheCode(t *testing.T) {
	want := catalogue()
	if *update {
		if err := os.WriteFile("RULES.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, strings.ReplaceAll(string(got), "\r\n", "\n")); diff != "" {
		t.Errorf("RULES.md is not up to date: run go generate ./conformance\n(-want +got)\n%s", diff)
	}
}

func catalogue() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!-- Generated from the code by go generate ./conformance. Do not edit. -->

# The %d rules

Each has an ID whose meaning never changes, and is proven by drivers that were
broken on purpose: this rule fails them.
`, len(rules))
	group := ""
	for _, r := range rules {
		if r.Group() != group {
			group = r.Group()
			fmt.Fprintf(&b, "\n## %s\n", group)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n*Why:* %s\n\n", r.ID, r.Says, r.Why)
		if reason := unbroken[r.ID]; reason != "" {
			fmt.Fprintf(&b, "*No broken driver:* %s.\n", reason)
			continue
		}
		var broken []string
		for _, m := range mutants {
			if m.rule == r.ID {
				broken = append(broken, m.does)
			}
		}
		fmt.Fprintf(&b, "*Fails one that* %s.\n", strings.Join(broken, "; one that "))
	}
	return b.String()
}
