package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/pbxauth/pbx"
)

// version is that of the module, and Go's.
func version() string {
	text := "pbxprobe (devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		text = "pbxprobe " + info.Main.Version
	}
	return text + ", " + runtime.Version()
}

// list prints the drivers and their options.
func list(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush()
	for _, d := range pbx.Drivers() {
		fmt.Fprintf(table, "%s\t%s\n", d.Name, d.Title)
		for _, o := range d.Options {
			kind := string(o.Kind)
			var choices []string
			for _, c := range o.Choices {
				choices = append(choices, c.Value)
			}
			if choices != nil {
				kind = strings.Join(choices, "|")
			}
			var notes []string
			if o.Required {
				notes = append(notes, "required")
			}
			if o.Default != "" {
				notes = append(notes, "default "+o.Default)
			}
			fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", o.Name, kind, strings.Join(notes, ", "), o.Help)
		}
	}
}
