package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
	"github.com/redis/go-redis/v9"
)

const secret = "canary-4b1d"

func TestOpenRefusesABadURLWithoutShowingIt(t *testing.T) {
	const rest = " cannot be read: use redis://user:password@host:port/database, with special characters escaped"
	for url, want := range map[string]string{
		"":                                   "redisstore: the URL" + rest,
		secret:                               "redisstore: the URL" + rest,
		"http://:" + secret + "@host":        "redisstore: the URL" + rest,
		"redis://:" + secret + "#x@host":     "redisstore: the URL (redis:…)" + rest,
		"redis://:" + secret + "%zz@host":    "redisstore: the URL (redis:…)" + rest,
		"rediss://:" + secret + "@host/one":  "redisstore: the URL (rediss:…)" + rest,
		"redis://host/1?pool_size=" + secret: "redisstore: the URL (redis:…)" + rest,
	} {
		if _, err := Open(url, Options{}); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", url, err, want)
		}
	}
}

func TestOpenObeysContexts(t *testing.T) {
	s, err := Open("redis://localhost", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !s.client.(*redis.Client).Options().ContextTimeoutEnabled {
		t.Error("the client does not obey contexts")
	}
}

func TestPrintingAStoreShowsNoPassword(t *testing.T) {
	s, err := Open("redis://user:"+secret+"@localhost", Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, s); strings.Contains(got, secret) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestNewRefusesAClientThatCannotKeepThePromises(t *testing.T) {
	obeys := &redis.Options{ContextTimeoutEnabled: true}
	for _, c := range []struct {
		name, err string
		client    redis.UniversalClient
	}{
		{"obeys no context", "redisstore: the client does not obey contexts: set ContextTimeoutEnabled in its options", redis.NewClient(&redis.Options{})},
		{"cluster that obeys no context", "redisstore: the client does not obey contexts: set ContextTimeoutEnabled in its options", redis.NewClusterClient(&redis.ClusterOptions{})},
		{"ring", "redisstore: a Ring moves cells to other servers when one fails: use a Cluster or a single server", redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true})},
		{"none", "redisstore: client of type <nil>: use a *redis.Client or a *redis.ClusterClient", nil},
		{"wrapped", "redisstore: client of type struct { redis.UniversalClient }: use a *redis.Client or a *redis.ClusterClient", struct{ redis.UniversalClient }{}},
	} {
		if _, err := New(c.client, Options{}); err == nil || err.Error() != c.err {
			t.Errorf("%s: %v, want %s", c.name, err, c.err)
		}
	}
	client := redis.NewClient(obeys)
	defer client.Close()
	s, err := New(client, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := client.Ping(context.Background()).Err(); errors.Is(err, redis.ErrClosed) {
		t.Error("Close of the store closes the application's client")
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	for _, c := range []struct {
		o   Options
		err string
	}{
		{Options{Prefix: "PBX:"}, `redisstore: Prefix "PBX:": use up to 64 of a-z, 0-9 and ._:-`},
		{Options{Prefix: "{pbx}"}, `redisstore: Prefix "{pbx}": use up to 64 of a-z, 0-9 and ._:-`},
		{Options{Prefix: strings.Repeat("p", 65)}, `redisstore: Prefix "` + strings.Repeat("p", 65) + `": use up to 64 of a-z, 0-9 and ._:-`},
		{Options{Replicas: -1}, "redisstore: Replicas is -1: use 0 or the number of replicas that have to respond"},
	} {
		if _, err := Open("redis://localhost", c.o); err == nil || err.Error() != c.err {
			t.Errorf("%+v: %v, want %s", c.o, err, c.err)
		}
	}
}

func TestAServerThatEvictsIsRecognized(t *testing.T) {
	for _, c := range []struct{ limit, policy, says string }{
		{"0", "allkeys-lru", ""}, // without a limit nothing is dropped
		{"1073741824", "noeviction", ""},
		{"1073741824", "volatile-ttl", "the server evicts (maxmemory-policy volatile-ttl)"},
		{"", "volatile-ttl", "does not say"},
		{"1", "", "does not say"},
	} {
		info := "# Memory\r\nused_memory:1\r\n"
		if c.limit != "" {
			info += "maxmemory:" + c.limit + "\r\n"
		}
		if c.policy != "" {
			info += "maxmemory_policy:" + c.policy + "\r\n"
		}
		err := evicts(info)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("maxmemory %q, policy %q: %v", c.limit, c.policy, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(int64(1), "1795665041658009", "v", "1795665041658010", 4)
	f.Add(int64(-1), "", "", "", 1)
	f.Add(int64(0), "0", "", "x", 4)
	f.Add(int64(0), "v2:17", "v", "1", 4)
	f.Fuzz(func(t *testing.T, status int64, rev, value, now string, n int) {
		s := &Store{}
		values := []any{status, rev, value, now}
		r, err := s.parse("k", values[:max(0, min(n, 4))])
		if err == nil && (r.entry.Rev == 0 && r.entry.Value != nil || r.entry.Now.IsZero()) {
			t.Errorf("%v is read as %+v", values, r)
		}
		if status == -1 && n > 0 && !errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%v is not unreadable: %v", values, err)
		}
		// A server of another kind may send other types.
		if _, err := s.parse("k", []any{rev, status, nil, now}); err == nil {
			t.Error("other types are accepted")
		}
	})
}

// A server may accept connections and respond to nothing.
func TestAWatchOfASilentServerEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	s, err := Open("redis://"+l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func(string) { t.Error("something is heard") }) }()
	conn := <-accepted
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); err != nil { // of the client's greeting
		t.Fatal(err)
	}
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(time.Second):
		t.Error("Watch still runs a second after its context")
	}
}
