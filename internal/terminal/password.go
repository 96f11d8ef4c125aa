// Package terminal asks people for secrets, for this module's commands.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pbxauth/pbx"
	"golang.org/x/term"
)

// Password asks for one on the terminal, without echo. When ctx ends it returns at
// once, with the terminal as it was.
func Password(ctx context.Context) (pbx.Secret, error) {
	stdin := int(os.Stdin.Fd())
	before, err := term.GetState(stdin)
	if err != nil {
		return pbx.Secret{}, errors.New("there is no password: set PBX_PASSWORD, or run this in a terminal")
	}
	fmt.Fprint(os.Stderr, "Password: ")
	defer fmt.Fprintln(os.Stderr)
	type answer struct {
		typed []byte
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		typed, err := term.ReadPassword(stdin)
		answered <- answer{typed, err}
	}()
	select {
	case <-ctx.Done(): // the read goes on: only the end of the process ends it
		term.Restore(stdin, before)
		return pbx.Secret{}, errors.New("interrupted; nothing was sent")
	case a := <-answered:
		if a.err != nil {
			return pbx.Secret{}, errors.New("the password could not be read from the terminal")
		}
		return pbx.NewSecret(string(a.typed)), nil
	}
}
