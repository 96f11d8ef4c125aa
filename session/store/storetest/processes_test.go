//go:build unix

package storetest_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// counterDirectory is set in a process that TestProcessesOverOneDirectory starts.
const counterDirectory = "STORETEST_COUNTER_DIRECTORY"

// TestMain is a process that counts, if it is told to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(counterDirectory); dir != "" {
		count(dir)
		return
	}
	os.Exit(m.Run())
}

// count adds one to a counter for as long as it is let, and prints a line before
// and after each time.
func count(dir string) {
	s, err := store.Files(dir)
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	e, err := s.Load(ctx, "h/counter")
	for err == nil {
		value, _ := strconv.Atoi(string(e.Value))
		os.Stdout.WriteString("try\n")
		var won bool
		if e, won, err = s.Swap(ctx, "h/counter", e.Rev, []byte(strconv.Itoa(value+1)), 0); won {
			os.Stdout.WriteString("done\n")
		}
	}
	panic(err)
}

func TestProcessesOverOneDirectoryLoseNothingWhenTheyAreKilled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes, kills = 3, 12
	counter := func() int {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		e, err := s.Load(ctx, "h/counter")
		if err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(string(e.Value))
		return n
	}
	done, unfinished := 0, 0
	start := func() (*exec.Cmd, *strings.Builder) {
		out := new(strings.Builder)
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), counterDirectory+"="+dir)
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, out
	}
	end := func(cmd *exec.Cmd, out *strings.Builder) {
		cmd.Process.Kill()
		cmd.Wait()
		done += strings.Count(out.String(), "done\n")
		if strings.HasSuffix(out.String(), "try\n") {
			unfinished++
		}
	}
	type running struct {
		cmd *exec.Cmd
		out *strings.Builder
	}
	var all []running
	for range processes {
		cmd, out := start()
		all = append(all, running{cmd, out})
	}
	for n := range kills {
		before := counter()
		for deadline := time.Now().Add(10 * time.Second); counter() < before+10; {
			if time.Now().After(deadline) {
				t.Fatal("the processes stand still after a kill")
			}
		}
		r := &all[n%processes]
		end(r.cmd, r.out)
		r.cmd, r.out = start()
	}
	for _, r := range all {
		end(r.cmd, r.out)
	}
	if n := counter(); n < done || n > done+unfinished {
		t.Errorf("the counter is %d after %d finished and %d unfinished Swaps", n, done, unfinished)
	}
	t.Logf("%d finished, %d unfinished, counter %d", done, unfinished, counter())
}
