// Command replicas shows what several processes of one program cost a PBX when
// they share a store. It starts a simulated PBX and three replicas of itself,
// kills one of them, lets the PBX restart, changes the password at the PBX, and
// prints who logged in and why the others did not.
//
//	go run .                                     # the store is a directory
//	go run . -store redis://localhost:6379
//	go run . -store postgres://user:password@localhost/app
//
// Everything stays on this machine, and what it puts into a store it removes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	if os.Getenv(asReplica) != "" {
		os.Exit(replica(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program without the process around it. It returns the exit status.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	flags := flag.NewFlagSet("replicas", flag.ContinueOnError)
	flags.SetOutput(errs)
	address := flags.String("store", "files", "where the replicas share tokens: files, a redis:// URL or a postgres:// URL")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(errs, "replicas: unknown argument %q: the only option is -store\n", flags.Arg(0))
		return 2
	}
	if err := tell(ctx, *address, out); err != nil {
		fmt.Fprintln(errs, "replicas:", err)
		return 1
	}
	return 0
}
