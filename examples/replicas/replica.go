package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters" // registers every driver
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
)

// asReplica is the environment variable that makes this program a replica.
const asReplica = "PBX_REPLICA"

// account is the user name at the simulated PBX.
const account = "crm"

// assignment is what a replica reads from its standard input. The replica ends
// when its standard input does.
type assignment struct {
	Name     string // as in "replica-1"
	Place    place
	Key      []byte // encrypts the tokens in the store
	Driver   string
	Options  map[string]string // of the driver
	URL      string            // of the PBX
	Settings string            // file with the account's password
}

// report is what a replica writes to its standard output after each request.
type report struct {
	State        string
	Why          string // the session is not live
	Logins       uint64 // that this process has sent
	FailedLogins uint64
	Accepted     uint64 // requests that the PBX has accepted
}

// replica is one process of the program: it keeps one session and uses it. It
// returns the exit status.
func replica(in io.Reader, out, errs io.Writer) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	var a assignment
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err == nil {
		go func() {
			io.Copy(io.Discard, lines)
			cancel()
		}()
		err = a.work(ctx, json.NewEncoder(out))
	}
	if err != nil {
		fmt.Fprintf(errs, "%s: %v\n", a.Name, err)
		return 1
	}
	return 0
}

// work keeps the session until ctx ends.
func (a *assignment) work(ctx context.Context, out *json.Encoder) error {
	opened, err := a.Place.open(ctx)
	if err != nil {
		return err
	}
	defer opened.close()
	shared, err := session.NewShared(session.SharedSettings{Store: opened, Keys: [][]byte{a.Key}, Process: a.Name})
	if err != nil {
		return err
	}
	manager := session.NewManager(&session.Options{Store: shared})
	defer func() { // leaves the token to the others
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		manager.Close(ctx)
	}()
	password, err := a.password()
	if err != nil {
		return err
	}
	auth, err := a.driver(password)
	if err != nil {
		return err
	}
	s, err := manager.Add(account, auth)
	if err != nil {
		return err
	}

	request := simulators.Of(a.Driver)[0].Harmless // what the program is for
	var accepted uint64
	for ctx.Err() == nil {
		if err := a.follow(ctx, manager, &password); err != nil {
			return err
		}
		if a.use(ctx, s, request) {
			accepted++
		}
		status, stats := s.Status(), manager.Stats()
		now := report{State: status.State.String(), Logins: stats.Logins, FailedLogins: stats.FailedLogins, Accepted: accepted}
		if status.Err != nil {
			now.Why = status.Err.Error()
		}
		if err := out.Encode(now); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

// use sends one request of the application.
func (a *assignment) use(ctx context.Context, s *session.Session, request simulators.Request) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	resp, err := s.Do(request.At(s.URL()).WithContext(ctx))
	if resp != nil {
		resp.Body.Close()
	}
	return err == nil
}

// follow gives the session the password of the settings if it has changed.
func (a *assignment) follow(ctx context.Context, manager *session.Manager, password *string) error {
	now, err := a.password()
	if err != nil || now == *password {
		return err
	}
	*password = now
	auth, err := a.driver(now)
	if err != nil {
		return err
	}
	return manager.Replace(ctx, account, auth)
}

func (a *assignment) driver(password string) (pbx.Authenticator, error) {
	return pbx.Open(a.Driver, pbx.Config{URL: a.URL, Username: account, Password: pbx.NewSecret(password), Options: a.Options})
}

// password reads the settings, which a program has in its database.
func (a *assignment) password() (string, error) {
	text, err := os.ReadFile(a.Settings)
	return string(text), err
}
