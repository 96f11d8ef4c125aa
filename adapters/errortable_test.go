package adapters_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	_ "github.com/pbxauth/pbx/internal/fewgc"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
)

// The account of the table's PBXs.
const (
	tableUser     = "api"
	tablePassword = "secret"
)

// response is one form in which an error arrives.
type response struct {
	status      int
	challenge   bool   // with WWW-Authenticate
	contentType string // "": the brand's; "none": no such header
	gzip        bool
}

func (r response) String() string {
	text := fmt.Sprint("HTTP ", r.status)
	if r.challenge {
		text += " with WWW-Authenticate"
	}
	if r.contentType != "" {
		text += " as " + r.contentType
	}
	if r.gzip {
		text += ", compressed"
	}
	return text
}

// TestNoErrorUnderAnyHTTPStatusMisleadsASession: a proxy, or another firmware, may
// give an error another status. In no row does a good session wait for a person,
// does a dead token go unnoticed, or does a wrong password go out twice. The exceptions
// are errors that may mean a wrong password, and a permission that only a person can
// give where the page leaves open whether the password was judged. With -v, it prints
// what the session does.
func TestNoErrorUnderAnyHTTPStatusMisleadsASession(t *testing.T) {
	var responses []response
	for _, status := range []int{200, 400, 401, 403, 404, 500, 502} {
		responses = append(responses, response{status: status}, response{status: status, challenge: true})
	}
	errorTable(t, func(documentedError) []response { return responses })
}

// TestNoErrorUnderAnyContentTypeMisleadsASession is the same for types, and for a
// compressed response to an application that unpacks it itself.
func TestNoErrorUnderAnyContentTypeMisleadsASession(t *testing.T) {
	errorTable(t, func(e documentedError) []response {
		status := max(e.status, 200)
		responses := []response{{status: status, gzip: true}, {status: status, gzip: true, contentType: "application/octet-stream"}}
		for _, contentType := range []string{"application/json", "text/html", "text/plain", "application/octet-stream", "audio/wav", "none"} {
			responses = append(responses, response{status: status, contentType: contentType})
		}
		return responses
	})
}

// tableRow is one error at one place, in one form.
type tableRow struct {
	simulators.Simulator
	documentedError
	response
}

func errorTable(t *testing.T, forms func(documentedError) []response) {
	var rows atomic.Int64
	t.Cleanup(func() { t.Logf("%d rows", rows.Load()) })
	for _, s := range simulators.All() {
		errors, _ := errorsOf(s)
		if errors == nil {
			t.Errorf("no documented errors of %s", s.Name())
		}
		t.Run(s.Name(), func(t *testing.T) {
			t.Parallel()
			var printed strings.Builder
			n := 0
			turn, turns := sharing(s)
			for i, e := range errors {
				for j, form := range forms(e) {
					if (i+j)%turns != turn && !thorough.Tests() {
						continue
					}
					row := tableRow{s, e, form}
					for _, place := range []struct {
						name string
						try  func(*tableSession) (did, fault string)
					}{{"login", row.onLogin}, {"keep-alive", row.onKeepAlive}, {"request", row.onRequest}} {
						if n++; n%everyRow != 0 {
							continue
						}
						did, fault := row.try(t, place.try)
						if did == "" {
							continue // the brand has no keep-alive
						}
						rows.Add(1)
						line := fmt.Sprintf("%-10s %-34s %-40s %s", place.name, row.name, row.response, did)
						if fault != "" {
							t.Errorf("%s: %s", line, fault)
						}
						fmt.Fprintln(&printed, line)
					}
				}
			}
			t.Log("\n" + printed.String())
		})
	}
}

// sharing is which of how many simulators of one driver and one table of errors it is.
// By default, they take turns: each row is played at one of them, and with
// PBX_TESTS=all at each.
func sharing(s simulators.Simulator) (turn, turns int) {
	if documentedErrors[s.Name()] != nil {
		return 0, 1
	}
	all := simulators.Of(s.Driver)
	return slices.IndexFunc(all, func(o simulators.Simulator) bool { return o.Name() == s.Name() }), len(all)
}

// tableSession is a session at a simulated PBX.
type tableSession struct {
	*session.Session
	sim    *pbxsim.PBX
	auth   pbx.Authenticator
	server *pbxsim.Server
	guard  *session.Guard
}

// try runs one row in virtual time, with a session that has a token.
func (r tableRow) try(t *testing.T, try func(*tableSession) (did, fault string)) (did, fault string) {
	synctest.Test(t, func(t *testing.T) {
		sim := r.New(&pbxsim.Options{Accounts: map[string]string{tableUser: tablePassword}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		auth, err := pbx.Open(r.Driver, pbx.Config{
			URL: server.URL, Username: tableUser, Password: pbx.NewSecret(tablePassword), Options: r.Options,
			Transport: server.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := &tableSession{sim: sim, auth: auth, server: server, guard: new(session.Guard)}
		s.begin()
		defer func() { s.Close(context.Background()) }()
		if !s.good() {
			t.Fatalf("%s: no login: %v", r.Name(), s.Status())
		}
		did, fault = try(s)
	})
	return did, fault
}

// begin starts a session. One that was started before has proven the password.
func (s *tableSession) begin() {
	if s.Session != nil {
		s.Close(context.Background())
	}
	s.Session = session.New(s.auth, &session.Options{Guard: s.guard})
}

// fault is the row's error, for so many requests of an action.
func (r tableRow) fault(on pbxsim.Action, times int) pbxsim.Fault {
	f := pbxsim.Fault{On: on, Times: times, Status: r.response.status, Body: []byte(r.body), Edit: r.edit, Gzip: r.gzip, Header: http.Header{}}
	if r.challenge {
		f.Header.Set("Www-Authenticate", `Basic realm="proxy"`)
	}
	switch r.contentType {
	case "":
		f.Header.Set("Content-Type", "application/json")
	case "none":
		f.Header["Content-Type"] = nil
	default:
		f.Header.Set("Content-Type", r.contentType)
	}
	return f
}

// good reports whether the session has a token that the PBX accepts.
func (s *tableSession) good() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	token, err := s.Token(ctx)
	return err == nil && s.alive(token)
}

func (s *tableSession) alive(token *pbx.Token) bool {
	for _, value := range s.sim.Tokens(tableUser) {
		if value == token.Value.Reveal() {
			return true
		}
	}
	return false
}

// recovers waits for a good token, and returns how long that took.
func (s *tableSession) recovers(most time.Duration) (time.Duration, bool) {
	for start := time.Now(); ; time.Sleep(30 * time.Second) {
		if s.good() {
			return time.Since(start), true
		}
		if time.Since(start) > most {
			return time.Since(start), false
		}
	}
}

// onLogin: a password that has worked. It is wrong now, if the error says so.
// Otherwise the error comes once.
func (r tableRow) onLogin(s *tableSession) (did, fault string) {
	s.Close(context.Background())
	time.Sleep(7 * time.Hour) // a refusal soon after a success may be a lockout
	before := s.sim.Counts().Logins
	times, wrong := 1, r.isWrong(r.response)
	if wrong {
		times = -1
	}
	s.sim.Fault(r.fault(pbxsim.Login, times))
	s.begin()
	took, ok := s.recovers(time.Hour)
	sent, status := s.sim.Counts().Logins-before, s.Status()
	did = fmt.Sprintf("%d logins, %s", sent, status.State)
	if ok {
		did = fmt.Sprintf("%d logins, good %s after", sent, took.Round(time.Second))
	}
	rejected := status.State == session.Rejected
	did += ", waits for a person: " + map[bool]string{false: "never", true: "yes"}[s.waitsForAPerson()]
	_, noVerdict := errorsOf(r.Simulator)
	switch {
	case sent == 0:
		fault = "the row shows nothing"
	case wrong && (sent != 1 || !rejected):
		fault = fmt.Sprintf("a wrong password is sent %d times: %v", sent, status)
	case wrong, rejected && sent == 1 && r.looksWrong(r.Driver, r.response),
		rejected && sent == 1 && r.means == notPermitted && !slices.Contains(noVerdict, r.name):
	case !ok:
		fault = fmt.Sprintf("a good session waits for a person: %v", status)
	}
	return did, fault
}

func (r tableRow) onKeepAlive(s *tableSession) (did, fault string) {
	if describer, ok := pbx.As[pbx.Describer](s.auth); ok && describer.Traits().KeepAlive == pbx.KeepAliveNone {
		return "", ""
	}
	dead := (r.means == deadToken || r.means == refusedKeep) && r.recognisable(r.response)
	if dead {
		s.sim.Restart()
	}
	s.sim.Fault(r.fault(pbxsim.KeepAlive, 1))
	for start := time.Now(); s.sim.Counts().KeepAlives == 0; time.Sleep(10 * time.Second) {
		if time.Since(start) > 24*time.Hour {
			return "no keep-alive", "no keep-alive is sent in a day"
		}
	}
	took, ok := s.recovers(15 * time.Minute)
	did = fmt.Sprintf("good %s after, %d logins", took.Round(time.Second), s.sim.Counts().Logins)
	switch {
	case s.Status().State == session.Rejected:
		fault = fmt.Sprintf("a good session waits for a person: %v", s.Status())
	case !ok:
		fault = fmt.Sprintf("no good token: %v", s.Status())
	}
	return did, fault
}

func (r tableRow) onRequest(s *tableSession) (did, fault string) {
	dead := r.means == deadToken && r.recognisable(r.response)
	if dead {
		s.sim.Restart()
	}
	s.sim.Fault(r.fault(pbxsim.AppRequest, 1))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request := r.Harmless.At(s.server.URL).WithContext(ctx)
	if r.gzip {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	outcome := ""
	if resp, err := s.Client().Do(request); err != nil {
		outcome = "an error"
	} else {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		outcome = fmt.Sprint("HTTP ", resp.StatusCode)
	}
	if s.sim.Counts().Faults == 0 {
		return "no request", "the request did not meet the fault"
	}
	took, ok := s.recovers(2 * time.Minute)
	did = fmt.Sprintf("%s, good %s after, %d logins", outcome, took.Round(time.Second), s.sim.Counts().Logins)
	switch {
	case !ok && dead:
		fault = fmt.Sprintf("a dead token goes unnoticed: %v", s.Status())
	case !ok:
		fault = fmt.Sprintf("a good session is lost: %v", s.Status())
	}
	return did, fault
}
