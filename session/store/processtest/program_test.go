//go:build unix

package processtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/pgstore"
	"github.com/pbxauth/pbx/session/store/redisstore"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

// asProgram is the environment variable that makes the test binary the program
// whose processes are tested.
const asProgram = "PBX_PROCESSTEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if err := program(os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// assignment is what a process reads from its standard input. The process ends
// when its standard input does.
type assignment struct {
	Process  string
	Store    string // a URL, or a directory
	Key      []byte
	Accounts []account
}

// account is one session of each process.
type account struct {
	Name, Driver, Variant, URL, User, Password string
	Options                                    map[string]string
}

// report is what a process writes to its standard output again and again.
type report struct {
	States                           map[string]string // by session
	Accepted                         map[string]int    // requests that the PBX accepted, by session
	Lost                             map[string]int    // requests that failed, by cause
	Logins, FailedLogins, KeepAlives uint64
}

// Times of a process.
const (
	requestEvery = time.Second // per session
	requestLasts = 5 * time.Second
	reportEvery  = 100 * time.Millisecond
)

// program keeps a session of each account and uses them all. It logs to errs.
func program(in io.Reader, out, errs io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var a assignment
	if err := json.Unmarshal(line, &a); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		io.Copy(io.Discard, lines)
		cancel()
	}()
	kept, err := openStore(ctx, a.Store)
	if err != nil {
		return err
	}
	shared, err := session.NewShared(session.SharedSettings{Store: kept, Keys: [][]byte{a.Key}, Process: a.Process})
	if err != nil {
		return err
	}
	manager := session.NewManager(&session.Options{Store: shared, Logger: zerolog.New(errs).With().Timestamp().Logger()})
	w := &worker{report: report{States: map[string]string{}, Accepted: map[string]int{}, Lost: map[string]int{}}, ran: time.Now()}
	var users sync.WaitGroup
	users.Go(func() { w.watchForStops(ctx) })
	for _, account := range a.Accounts {
		auth, err := account.open()
		if err != nil {
			return err
		}
		s, err := manager.Add(account.Name, auth)
		if err != nil {
			return err
		}
		users.Go(func() { w.use(ctx, s, account.request()) })
	}
	encoder := json.NewEncoder(out)
	for ctx.Err() == nil {
		if err := encoder.Encode(w.read(manager)); err != nil {
			return err
		}
		sleep(ctx, reportEvery)
	}
	users.Wait()
	end, stop := context.WithTimeout(context.Background(), 5*time.Second)
	defer stop()
	return manager.Close(end)
}

// quiet keeps Redis's client from writing that a server is away.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func openStore(ctx context.Context, address string) (store.Store, error) {
	switch scheme, _, _ := strings.Cut(address, "://"); scheme {
	case "redis":
		redis.SetLogger(quiet{})
		return redisstore.Open(address, redisstore.Options{})
	case "postgres":
		pool, err := pgxpool.New(ctx, address)
		if err != nil {
			return nil, err
		}
		return pgstore.Open(pool, pgstore.Options{})
	}
	return store.Files(address)
}

func (a account) open() (pbx.Authenticator, error) {
	return pbx.Open(a.Driver, pbx.Config{URL: a.URL, Username: a.User, Password: pbx.NewSecret(a.Password), Options: a.Options})
}

// request is one of the application.
func (a account) request() simulators.Request {
	for _, s := range simulators.Of(a.Driver) {
		if s.Variant == a.Variant {
			return s.Harmless
		}
	}
	panic("no simulator of " + a.Driver)
}

// worker is the application: it sends requests and counts what becomes of them.
type worker struct {
	mu     sync.Mutex // guards what follows
	report report
	ran    time.Time // when the process was last seen to run
	woke   time.Time // when it woke up after the last stop
}

// watchForStops notes when the process has not run for a second: a signal stopped it.
func (w *worker) watchForStops(ctx context.Context) {
	for ctx.Err() == nil {
		w.seen(time.Now())
		sleep(ctx, reportEvery)
	}
}

func (w *worker) seen(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.ran) > time.Second {
		w.woke = now
	}
	w.ran = now
}

// stoppedSince reports whether a request's deadline may have passed in a process that
// did not run.
func (w *worker) stoppedSince(begun time.Time) bool {
	w.seen(time.Now())
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.woke.After(begun)
}

func (w *worker) use(ctx context.Context, s *session.Session, request simulators.Request) {
	for ctx.Err() == nil {
		begun := time.Now()
		err := send(ctx, s, request)
		if ctx.Err() != nil {
			return
		}
		why := ""
		if err != nil {
			why = cause(err)
			if errors.Is(err, context.DeadlineExceeded) && w.stoppedSince(begun) {
				why = "stopped: " + why
			}
		}
		w.mu.Lock()
		if err == nil {
			w.report.Accepted[s.Name()]++
		} else if !expected(s, err) {
			w.report.Lost[why]++
		}
		w.mu.Unlock()
		sleep(ctx, requestEvery)
	}
}

func send(ctx context.Context, s *session.Session, request simulators.Request) error {
	ctx, cancel := context.WithTimeout(ctx, requestLasts)
	defer cancel()
	resp, err := s.Do(request.At(s.URL()).WithContext(ctx))
	if resp != nil {
		resp.Body.Close()
	}
	return err
}

// expected reports that a request was not sent because the password is wrong.
func expected(s *session.Session, err error) bool {
	return strings.HasPrefix(s.Name(), wrongName) && errors.Is(err, pbx.ErrInvalidCredentials)
}

// cause says in few words why a request was lost: the session's state, and the
// error without what differs between two of its kind.
func cause(err error) string {
	where := "request"
	if of, ok := errors.AsType[*session.Error](err); ok {
		where, err = of.State.String(), of.Err
	}
	failure, ok := errors.AsType[*pbx.Error](err)
	if !ok {
		return where + ": " + err.Error()
	}
	alone := *failure
	alone.Driver, alone.Err = "", nil
	return where + ": " + alone.Error()
}

func (w *worker) read(m *session.Manager) report {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, s := range m.All() {
		w.report.States[name] = s.Status().State.String()
	}
	stats := m.Stats()
	w.report.Logins, w.report.FailedLogins, w.report.KeepAlives = stats.Logins, stats.FailedLogins, stats.KeepAlives
	r := w.report
	r.States, r.Accepted, r.Lost = maps.Clone(r.States), maps.Clone(r.Accepted), maps.Clone(r.Lost)
	return r
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
