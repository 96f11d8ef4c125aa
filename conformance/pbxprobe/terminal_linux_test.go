package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudo is a terminal, and the end at which a person types.
func pseudo(t *testing.T) (person *os.File, screen *screen, terminal *realTerminal) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { person.Close() })
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var number int
	var failed error
	raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	tty, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	screen = newScreen()
	go screen.show(person)
	return person, screen, &realTerminal{tty, tty}
}

// screen is what a terminal shows.
type screen struct {
	mu      sync.Mutex // guards text
	text    bytes.Buffer
	changed chan struct{}
}

func newScreen() *screen { return &screen{changed: make(chan struct{}, 1)} }

func (s *screen) show(from *os.File) {
	for {
		piece := make([]byte, 1000)
		n, err := from.Read(piece)
		s.mu.Lock()
		s.text.Write(piece[:n])
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screen) shows() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// wait waits until the screen shows a text.
func (s *screen) wait(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !strings.Contains(s.shows(), text) {
		select {
		case <-s.changed:
		case <-deadline:
			t.Errorf("the screen shows %q, want %q", s.shows(), text)
			return
		}
	}
}

// echoes reports whether the terminal shows what is typed.
func echoes(t *testing.T, terminal *realTerminal) bool {
	t.Helper()
	settings, err := unix.IoctlGetTermios(int(terminal.in.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
		return false
	}
	return settings.Lflag&unix.ECHO != 0
}

func TestAPasswordIsReadWithoutEcho(t *testing.T) {
	person, screen, terminal := pseudo(t)
	var typing sync.WaitGroup
	defer typing.Wait()
	typing.Go(func() {
		screen.wait(t, "Password: ")
		for echoes(t, terminal) {
			time.Sleep(time.Millisecond)
		}
		person.WriteString("canary password \n")
	})
	got, err := terminal.Password(t.Context())
	if err != nil || got.Reveal() != "canary password " {
		t.Errorf("%q, %v", got.Reveal(), err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal is left without echo")
	}
	if strings.Contains(screen.shows(), "canary") {
		t.Errorf("the screen shows %q", screen.shows())
	}
}

func TestAnInterruptGivesTheTerminalBack(t *testing.T) {
	_, screen, terminal := pseudo(t)
	ctx, interrupt := context.WithCancel(t.Context())
	var typing sync.WaitGroup
	defer typing.Wait()
	typing.Go(func() {
		screen.wait(t, "Password: ")
		for echoes(t, terminal) {
			time.Sleep(time.Millisecond)
		}
		interrupt()
	})
	if _, err := terminal.Password(ctx); !errors.Is(err, errInterrupted) {
		t.Errorf("%v", err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal is left without echo")
	}
}

func TestOnlyYesConfirms(t *testing.T) {
	for typed, want := range map[string]bool{"yes": true, "YES ": true, "y": false, "": false, "no": false, "yes please": false} {
		person, screen, terminal := pseudo(t)
		var typing sync.WaitGroup
		typing.Go(func() {
			screen.wait(t, "Unlock it? (yes or no) ")
			person.WriteString(typed + "\n")
		})
		if got, err := terminal.Confirm(t.Context(), "Unlock it?"); got != want || err != nil {
			t.Errorf("%q: %v, %v", typed, got, err)
		}
		typing.Wait()
	}
}

func TestWithoutATerminalNobodyIsAsked(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out.WriteString("yes\n")
	out.Close()
	var shown bytes.Buffer
	terminal := &realTerminal{in, &shown}
	if _, err := terminal.Password(t.Context()); err == nil || !strings.Contains(err.Error(), "set PBX_PASSWORD") {
		t.Errorf("Password: %v", err)
	}
	if yes, err := terminal.Confirm(t.Context(), "Unlock it?"); err == nil || yes || !strings.Contains(err.Error(), "run this in a terminal") {
		t.Errorf("Confirm: %v, %v", yes, err)
	}
	if shown.Len() != 0 {
		t.Errorf("the screen shows %q", shown.String())
	}
}
