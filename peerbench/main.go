// Command peerbench measures a session of this module beside what Go programs
// hold a token with otherwise, in one run on one machine, and prints a table in
// Markdown. README.md says how to read it, and what it printed.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

func main() {
	panicIfTold()
	fleet := flag.Int("fleet", 100_000, "for how many sessions the memory is measured")
	flag.Parse()
	write(os.Stdout, sizes{fleet: *fleet, rounds: 100, polling: time.Second})
}

// sizes are how much is done for the table.
type sizes struct {
	fleet   int
	rounds  int
	polling time.Duration
}

// write measures everything and writes the table, with ours as the unit where
// figures are times or bytes.
func write(w io.Writer, s sizes) {
	fmt.Fprintf(w, "%s, %s, %s/%s, %d cores\n\n", time.Now().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	names := []string{"what"}
	for _, p := range peers {
		names = append(names, p.name)
	}
	row := func(cells ...string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }
	row(names...)
	fmt.Fprintln(w, strings.Repeat("|---", len(names))+"|")

	one, all := currentToken(s.rounds, 1), currentToken(s.rounds, runtime.GOMAXPROCS(0))
	row(append([]string{"current token, one core"}, relative(one, "ns")...)...)
	row(append([]string{"current token, all cores"}, relative(all, "ns")...)...)
	speedUp := make([]string, len(peers))
	for i := range peers {
		speedUp[i] = fmt.Sprintf("%.2f ×", one[i]/all[i])
	}
	row(append([]string{"as fast on all cores as on one"}, speedUp...)...)
	row(append([]string{"memory per session"}, relative(memory(s.fleet), "B")...)...)

	for _, scenario := range []struct {
		name   string
		figure func(open opener) string
	}{
		{"100 goroutines at once, wrong password: logins sent", func(open opener) string { return fmt.Sprint(wrongPassword(open, 0)) }},
		{fmt.Sprintf("100 goroutines, wrong password, every 20 ms for %s: logins sent", s.polling), func(open opener) string { return fmt.Sprint(wrongPassword(open, s.polling)) }},
		{"a deadline of 20 ms during a login of 500 ms: waited", func(open opener) string { return fmt.Sprintf("%d ms", deadline(open).Milliseconds()) }},
		{"ten holders report one dead token: logins sent", func(open opener) string {
			if logins, ok := deadToken(open); ok {
				return fmt.Sprint(logins)
			}
			return "no API for it"
		}},
	} {
		cells := []string{scenario.name}
		for _, p := range peers {
			if p.open == nil {
				cells = append(cells, "–")
				continue
			}
			cells = append(cells, scenario.figure(p.open))
		}
		row(cells...)
	}
	cells := []string{"the login panics"}
	for _, p := range peers {
		cells = append(cells, panicking(p))
	}
	row(cells...)
	if floor := len(peers) - 1; runtime.GOMAXPROCS(0) > 1 && all[floor] > 0.7*one[floor] {
		fmt.Fprintln(w, "\nEven the floor gained little from the other cores: something else uses them, and what is said about all cores says nothing. Run it again.")
	}
}

// relative writes figures with the first of them, ours, as the unit.
func relative(figures []float64, unit string) []string {
	cells := make([]string, len(figures))
	for i, figure := range figures {
		switch {
		case figure == 0:
			cells[i] = "–"
		case i == 0:
			cells[i] = fmt.Sprintf("%.4g %s", figure, unit)
		default:
			cells[i] = fmt.Sprintf("%.4g %s (%.2f ×)", figure, unit, figure/figures[0])
		}
	}
	return cells
}
