// Command quickstart shows what the library does.
//
//	go run ./examples/quickstart
//
// starts a simulated PBX of every brand on loopback, with tokens that are valid
// for three seconds, and drives each through its driver: it logs in, sends a
// request, stays logged in past the token's expiry, survives a restart of the
// PBX, shows that a wrong password is sent once however many goroutines ask, and
// logs out. It ends with status 1 if anything differs from what the library
// promises. With -driver, it shows one brand.
//
// To check a real PBX, use conformance/pbxprobe.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"text/tabwriter"
	_ "time/tzdata" // for options that name a zone, on machines without zones

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings given. It returns the exit status: 0 fine,
// 1 something differs, 2 wrong use.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(errs)
	driver := flags.String("driver", "", "`name` of the only driver to show")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(errs, "quickstart: %q is not understood: use -driver NAME, or no argument\n", flags.Arg(0))
		return 2
	}
	shown := simulators.All()
	if *driver != "" {
		shown = simulators.Of(*driver)
	}
	if len(shown) == 0 {
		var names []string
		for _, d := range pbx.Drivers() {
			names = append(names, d.Name)
		}
		fmt.Fprintf(errs, "quickstart: there is no simulator for a driver %q: there are %s\n", *driver, strings.Join(names, ", "))
		return 2
	}
	return show(ctx, out, shown)
}

// show runs all tours at once, and prints each step as it ends.
func show(ctx context.Context, out io.Writer, shown []simulators.Simulator) int {
	fmt.Fprintf(out, "Simulated PBXs on loopback. Their tokens are valid for %s.\n", tokenLifetime)
	lines := &lines{out: out}
	counts := make([]pbxsim.Counts, len(shown))
	failures := make([]error, len(shown))
	var tours sync.WaitGroup
	for i, sim := range shown {
		tours.Go(func() {
			t := &tour{sim: sim, lines: lines}
			counts[i], failures[i] = t.run(ctx), t.failed
		})
	}
	tours.Wait()

	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PBX\tLOGINS\tWRONG\tKEEP-ALIVES\tREQUESTS\tREFUSED TOKENS\tLOGOUTS\tRESULT")
	status := 0
	for i, sim := range shown {
		result := "as promised"
		if failures[i] != nil {
			result, status = "DIFFERS", 1
		}
		c := counts[i]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", sim.Name(), c.Logins, c.WrongLogins, c.KeepAlives, c.AppRequests, c.RefusedTokens, c.Logouts, result)
	}
	table.Flush()
	return status
}

// lines writes whole lines for many goroutines.
type lines struct {
	mu  sync.Mutex // guards out
	out io.Writer
}

func (l *lines) print(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.out, format+"\n", args...)
}
