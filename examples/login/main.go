// Command login logs in to a PBX and prints the state of its session.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

func main() {
	status, err := login(context.Background(), os.Getenv("PBX_LEDGER"))
	if err != nil {
		log.Fatal(err) // says what to do
	}
	fmt.Println(status)
}

// login keeps the count of wrong logins in dir, so that running the program
// again and again with a wrong password does not lock the PBX.
func login(ctx context.Context, dir string) (session.Status, error) {
	auth, err := pbx.Open(os.Getenv("PBX_DRIVER"), pbx.Config{
		URL:      os.Getenv("PBX_URL"),
		Username: os.Getenv("PBX_USER"),
		Password: pbx.NewSecret(os.Getenv("PBX_PASSWORD")),
		TLS:      pbx.TLS{PinSHA256: os.Getenv("PBX_PIN")},
	})
	if err != nil {
		return session.Status{}, err
	}
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "pbx-ledger")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return session.Status{}, err
	}
	files, err := store.Files(dir)
	if err != nil {
		return session.Status{}, err
	}
	guard, err := session.NewGuard(files)
	if err != nil {
		return session.Status{}, err
	}
	s := session.New(auth, &session.Options{Guard: guard})
	defer s.Close(context.WithoutCancel(ctx)) // logs out
	_, err = s.Token(ctx)
	return s.Status(), err
}
