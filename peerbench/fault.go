package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// wrongPassword lets 100 goroutines ask, every 20 ms for so long, while the PBX
// refuses the password, and returns how many logins it saw. It takes 5 ms to
// refuse one.
func wrongPassword(open opener, polling time.Duration) int {
	var logins atomic.Int64
	ask, done := open(func(context.Context) (string, error) {
		logins.Add(1)
		time.Sleep(5 * time.Millisecond)
		return "", errWrongPassword
	})
	defer done()
	end := time.Now().Add(polling)
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			for {
				if _, _, err := ask(context.Background()); !errors.Is(err, errWrongPassword) {
					panic(fmt.Sprintf("the client got %v", err))
				}
				if time.Until(end) <= 0 {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	callers.Wait()
	return int(logins.Load())
}

// deadline returns how long a client waits whose context ends after 20 ms and
// who comes 50 ms after somebody else has caused a login of 500 ms.
func deadline(open opener) time.Duration {
	ask, done := open(func(context.Context) (string, error) {
		time.Sleep(500 * time.Millisecond)
		return succeed(context.Background())
	})
	defer done()
	var somebody sync.WaitGroup
	defer somebody.Wait()
	somebody.Go(func() { ask(context.Background()) })
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	start := time.Now()
	ask(ctx)
	return time.Since(start)
}

// deadToken lets ten holders of one token find out, 20 ms after each other, that
// the PBX no longer takes it. Each reports that and asks for another. It returns
// the logins that this causes; false for a peer without a way to report.
func deadToken(open opener) (logins int, ok bool) {
	var serial atomic.Int64
	ask, done := open(func(context.Context) (string, error) {
		time.Sleep(5 * time.Millisecond)
		return fmt.Sprintf("token-%d", serial.Add(1)), nil
	})
	defer done()
	var reports [10]func()
	for i := range reports {
		_, refused, err := ask(context.Background())
		if err != nil {
			panic(err)
		}
		if refused == nil {
			return 0, false
		}
		reports[i] = refused
	}
	var holders sync.WaitGroup
	for i, refused := range reports {
		holders.Go(func() {
			time.Sleep(time.Duration(i) * 20 * time.Millisecond)
			refused()
			if _, _, err := ask(context.Background()); err != nil {
				panic(err)
			}
		})
	}
	holders.Wait()
	return int(serial.Load()) - 1, true
}

// panicVariable names the peer whose login is to panic, in a process of its own.
const panicVariable = "PEERBENCH_PANIC"

// panicking starts that process and says what became of it.
func panicking(p peer) string {
	if p.open == nil {
		return "–"
	}
	self, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), panicVariable+"="+p.name)
	out, err := child.Output()
	if err != nil {
		return "the process dies"
	}
	return strings.TrimSpace(string(out))
}

// panicIfTold is that process: one client, which recovers as a web server does for
// its handlers, and another holder, which must go on.
func panicIfTold() {
	name := os.Getenv(panicVariable)
	if name == "" {
		return
	}
	for _, p := range peers {
		if p.name != name {
			continue
		}
		bad, _ := p.open(func(context.Context) (string, error) { panic("a driver's mistake") })
		good, _ := p.open(succeed)
		outcome := caught(func() { bad(context.Background()) })
		time.Sleep(100 * time.Millisecond) // for a panic elsewhere
		if _, _, err := good(context.Background()); err != nil {
			outcome = "the others fail too"
		}
		fmt.Println(outcome)
	}
	os.Exit(0)
}

func caught(f func()) (outcome string) {
	defer func() {
		if recover() != nil {
			outcome = "the application panics"
		}
	}()
	f()
	return "an error"
}
