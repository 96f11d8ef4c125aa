// Command login logs in to a PBX and prints the state of its session.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

func main() {
	auth := must(pbx.Open(os.Getenv("PBX_DRIVER"), pbx.Config{
		URL: os.Getenv("PBX_URL"), Username: os.Getenv("PBX_USER"), Password: pbx.NewSecret(os.Getenv("PBX_PASSWORD")),
		TLS: pbx.TLS{PinSHA256: os.Getenv("PBX_PIN")}, // of a self-signed certificate
	}))
	ledger := must(store.Files(os.Getenv("PBX_LEDGER"))) // remembers wrong logins
	s := session.New(auth, &session.Options{Guard: must(session.NewGuard(ledger))})
	defer s.Close(context.Background())  // logs out
	_, _ = s.Token(context.Background()) // waits for the login; for a request, use s.Do
	fmt.Println(s.Status())
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err) // says what to do
	}
	return v
}
