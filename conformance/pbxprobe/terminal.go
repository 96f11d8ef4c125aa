package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pbxauth/pbx"
	"golang.org/x/term"
)

// realTerminal is where a person types.
type realTerminal struct {
	in  *os.File
	out io.Writer
}

// standard is standard input, with prompts on standard error.
func standard() *realTerminal { return &realTerminal{os.Stdin, os.Stderr} }

var errInterrupted = errors.New("interrupted: nothing was sent")

// Password asks for a password, without echo. When ctx ends it returns at once,
// and the terminal is as it was.
func (t *realTerminal) Password(ctx context.Context) (pbx.Secret, error) {
	fd := int(t.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return pbx.Secret{}, errors.New("there is no password: set PBX_PASSWORD, or run this in a terminal")
	}
	fmt.Fprint(t.out, "Password: ")
	defer fmt.Fprintln(t.out)
	typed, err := read(ctx, func() ([]byte, error) { return term.ReadPassword(fd) })
	switch {
	case errors.Is(err, errInterrupted):
		term.Restore(fd, before)
		return pbx.Secret{}, err
	case err != nil:
		return pbx.Secret{}, errors.New("the password could not be read from the terminal")
	}
	return pbx.NewSecret(string(typed)), nil
}

// Confirm asks a question, and reports whether the reply is yes.
func (t *realTerminal) Confirm(ctx context.Context, question string) (bool, error) {
	if !term.IsTerminal(int(t.in.Fd())) {
		return false, errors.New("a person has to confirm it: run this in a terminal")
	}
	fmt.Fprint(t.out, question, " (yes or no) ")
	reply, err := read(ctx, func() ([]byte, error) { return bufio.NewReader(t.in).ReadBytes('\n') })
	if err != nil {
		fmt.Fprintln(t.out)
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(string(reply)), "yes"), nil
}

// read returns what do reads, or errInterrupted when ctx ends. Then do goes on:
// only the end of the process ends it.
func read(ctx context.Context, do func() ([]byte, error)) ([]byte, error) {
	type result struct {
		typed []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		typed, err := do()
		done <- result{typed, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errInterrupted
	case r := <-done:
		return r.typed, r.err
	}
}
