package conformance

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/pbxauth/pbx"
)

// Report is the result of every rule, in the order of [Rules]. As JSON it is an
// object with the fields below.
type Report struct {
	Driver  string            `json:"driver"`
	Options map[string]string `json:"options,omitempty"` // of the Harness
	Module  string            `json:"module"`            // path and version of the suite's module
	Go      string            `json:"go"`                // version

	Passed  []string  `json:"passed"` // IDs
	Failed  []Finding `json:"failed"`
	Skipped []Finding `json:"skipped"`
}

// Finding is a rule that was not passed, and why.
type Finding struct {
	Rule   string `json:"rule"` // its ID
	Reason string `json:"reason"`
}

func newReport(h Harness) Report {
	r := Report{
		Driver: h.Driver, Module: module(), Go: runtime.Version(),
		Passed: []string{}, Failed: []Finding{}, Skipped: []Finding{}, // and not null in JSON
	}
	d, _ := h.lookup()
	for _, o := range d.Options {
		if value := h.Options[o.Name]; value != "" && o.Kind != pbx.OptionSecret {
			if r.Options == nil {
				r.Options = map[string]string{}
			}
			r.Options[o.Name] = value
		}
	}
	return r
}

func (r *Report) add(id string, got outcome) {
	switch {
	case got.skipped != "":
		r.Skipped = append(r.Skipped, Finding{id, got.skipped})
	case got.err != nil:
		r.Failed = append(r.Failed, Finding{id, got.err.Error()})
	default:
		r.Passed = append(r.Passed, id)
	}
}

// module is the path and version of this module, if the program knows them.
func module() string {
	const path = "github.com/pbxauth/pbx"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return path
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == path && m.Version != "" {
			return path + " " + m.Version
		}
	}
	return path
}

// OK reports whether no rule failed. Skipped rules were not passed either: look
// at the reasons.
func (r Report) OK() bool { return len(r.Failed) == 0 }

// String is the report as a table.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(r.Driver)
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		fmt.Fprintf(&b, " %s=%s", name, r.Options[name])
	}
	fmt.Fprintf(&b, ": %d passed, %d failed, %d skipped\n", len(r.Passed), len(r.Failed), len(r.Skipped))
	fmt.Fprintf(&b, "%s, %s\n", r.Module, r.Go)
	group := ""
	for _, rule := range rules {
		outcome, text := "", ""
		switch {
		case slices.Contains(r.Passed, rule.ID):
			outcome, text = "passed", rule.Says
		case reason(r.Failed, rule.ID) != "":
			outcome, text = "FAILED", rule.Says+"\n"+reason(r.Failed, rule.ID)
		case reason(r.Skipped, rule.ID) != "":
			outcome, text = "skipped", reason(r.Skipped, rule.ID)
		default:
			continue // of another version of the suite
		}
		if rule.Group() != group {
			group = rule.Group()
			b.WriteString("\n")
		}
		const margin = "\n                       "
		fmt.Fprintf(&b, "%-14s %-7s %s\n", rule.ID, outcome, strings.ReplaceAll(text, "\n", margin))
	}
	return b.String()
}

// WriteTo writes [Report.String].
func (r Report) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, r.String())
	return int64(n), err
}

// reason is what a list says about a rule, "" if the rule is not in it.
func reason(list []Finding, id string) string {
	for _, f := range list {
		if f.Rule == id {
			return f.Reason
		}
	}
	return ""
}
