//go:build unix

package enginetest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/enginetest"
	"github.com/pbxauth/pbx/session/store/redisstore"
	"github.com/pbxauth/pbx/session/store/storetest"
	"github.com/redis/go-redis/v9"
)

// lasting is a log that is written before the server responds.
var lasting = []string{"--appendonly", "yes", "--appendfsync", "always"}

func openRedis(t testing.TB, url string, o redisstore.Options) *redisstore.Store {
	t.Helper()
	s, err := redisstore.Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// redisFaults are those of a server that clients talk to without a proxy.
func redisFaults(r *enginetest.Redis) storetest.Faults {
	return storetest.Faults{
		Stop: r.Kill, Start: r.Start, Hang: r.Pause, Resume: r.Resume,
		Forget: func(t testing.TB) {
			if err := r.Admin.FlushAll(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		},
		Damage: func(t testing.TB, key string) {
			if err := r.Admin.Set(t.Context(), "pbx:"+key, "not a hash", 0).Err(); err != nil {
				t.Error(err)
			}
			t.Cleanup(func() { r.Admin.Del(context.Background(), "pbx:"+key) })
		},
	}
}

// disturb resets connections through the proxy again and again.
func disturb(p *enginetest.Proxy) func(t testing.TB) func() {
	return func(t testing.TB) func() {
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			defer p.Clear(t)
			for {
				for _, stream := range []string{"downstream", "upstream"} {
					p.Add(t, "reset_peer", stream, `{"timeout": 1}`)
					select {
					case <-time.After(10 * time.Millisecond):
					case <-stop:
						return
					}
					p.Clear(t)
					select {
					case <-time.After(30 * time.Millisecond):
					case <-stop:
						return
					}
				}
			}
		}()
		return func() { close(stop); <-stopped }
	}
}

// quiet keeps the client from writing to the standard error that a server which
// was killed is away.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	os.Exit(m.Run())
}

func TestRedis(t *testing.T) {
	t.Parallel()
	r := enginetest.StartRedis(t, lasting...)
	storetest.Run(t, func(t testing.TB) store.Store { return openRedis(t, r.URL(), redisstore.Options{}) }, redisFaults(r))
	if left := r.Admin.Keys(t.Context(), "*:storetest/*").Val(); len(left) > 0 {
		for _, key := range left {
			if ttl := r.Admin.PTTL(t.Context(), key).Val(); ttl <= 0 {
				t.Errorf("%s is left behind and does not expire", key)
			}
		}
	}
}

func TestRedisThatRestartsEmpty(t *testing.T) {
	t.Parallel()
	r := enginetest.StartRedis(t)
	storetest.Run(t, func(t testing.TB) store.Store { return openRedis(t, r.URL(), redisstore.Options{}) },
		storetest.Faults{Stop: r.Kill, Start: r.Start})
}

func TestRedisCluster(t *testing.T) {
	t.Parallel()
	nodes := enginetest.StartRedisCluster(t)
	all := func(do func(r *enginetest.Redis)) func(testing.TB) {
		return func(testing.TB) {
			for _, r := range nodes {
				do(r)
			}
		}
	}
	var addrs []string
	for _, r := range nodes {
		addrs = append(addrs, r.Addr())
	}
	storetest.Run(t, func(t testing.TB) store.Store {
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true})
		t.Cleanup(func() { client.Close() })
		s, err := redisstore.New(client, redisstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}, storetest.Faults{
		Hang:   all(func(r *enginetest.Redis) { r.Pause(t) }),
		Resume: all(func(r *enginetest.Redis) { r.Resume(t) }),
		Forget: all(func(r *enginetest.Redis) { r.Admin.FlushAll(context.Background()) }),
	})
}

func TestInAClusterABookingWaitsForTheReplicasOfItsOwnMaster(t *testing.T) {
	t.Parallel()
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{enginetest.StartRedisCluster(t)[0].Addr()}, ContextTimeoutEnabled: true})
	defer client.Close()
	s, err := redisstore.New(client, redisstore.Options{Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	for n := range 6 { // on all three masters, none of which has a replica
		key := fmt.Sprintf("h/pbx%d", n)
		short, stop := context.WithTimeout(ctx, 3*time.Second)
		_, _, err := s.Swap(short, key, 0, []byte("booked"), 0)
		stop()
		if err == nil || !strings.Contains(err.Error(), "0 of 1 replicas hold it") {
			t.Errorf("%s: %v", key, err)
		}
		if e, err := s.Load(ctx, key); err != nil || string(e.Value) != "booked" {
			t.Errorf("%s: %q, %v", key, e.Value, err)
		}
	}
}

func TestRedisBehindASlowNetworkThatSplitsPackets(t *testing.T) {
	t.Parallel()
	r := enginetest.StartRedis(t, lasting...)
	p := enginetest.StartProxy(t, r.Addr())
	for _, stream := range []string{"upstream", "downstream"} {
		p.Add(t, "latency", stream, `{"latency": 1, "jitter": 1}`)
		p.Add(t, "slicer", stream, `{"average_size": 200, "size_variation": 150, "delay": 10}`)
	}
	storetest.Run(t, func(t testing.TB) store.Store { return openRedis(t, "redis://"+p.Addr(), redisstore.Options{}) },
		storetest.Faults{Stop: p.Cut, Start: p.Restore, Disturb: disturb(p)})
}

func TestRedisWithAReplicaThatHoldsEachBooking(t *testing.T) {
	t.Parallel()
	master := enginetest.StartRedis(t, lasting...)
	replica := enginetest.StartRedis(t, "--replicaof", "127.0.0.1 "+strings.TrimPrefix(master.Addr(), "127.0.0.1:"))
	s := openRedis(t, master.URL(), redisstore.Options{Replicas: 1})
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()

	// The replica needs a moment to connect. Until then, a booking is refused.
	var rev uint64
	for {
		e, won, err := s.Swap(ctx, "h/pbx", rev, []byte("booked"), 0)
		if err == nil && won {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
		if err == nil {
			rev = e.Rev
		}
	}
	if got := replica.Admin.HGet(ctx, "pbx:h/pbx", "v").Val(); got != "booked" {
		t.Errorf("the replica holds %q when Swap returns", got)
	}

	// A replica is never read: it may be behind.
	old := openRedis(t, replica.URL(), redisstore.Options{})
	if e, err := old.Load(ctx, "h/pbx"); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Load from a replica returns %q, %v", e.Value, err)
	}
	if _, _, err := old.Swap(ctx, "h/pbx", 0, []byte("x"), 0); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Errorf("Swap on a replica: %v", err)
	}

	replica.Pause(t)
	defer replica.Resume(t)
	e, err := s.Load(ctx, "h/pbx")
	if err != nil {
		t.Fatal(err)
	}
	const says = "redisstore: h/pbx: 0 of 1 replicas hold it after 1s: check the replication"
	if _, won, err := s.Swap(ctx, "h/pbx", e.Rev, []byte("booked again"), 0); won || err == nil || err.Error() != says {
		t.Errorf("won %v, %v, want %s", won, err, says)
	}
	// Other cells do not wait.
	if _, won, err := s.Swap(ctx, "s/session", 0, []byte("token"), 0); !won || err != nil {
		t.Errorf("won %v, %v", won, err)
	}
}

func TestARemovedCellInRedisLeavesItsRevisionBehind(t *testing.T) {
	t.Parallel()
	r := enginetest.StartRedis(t)
	s := openRedis(t, r.URL(), redisstore.Options{})
	const ahead = 4_000_000_000_000_000 // of the server's clock, which was set back since
	r.Admin.HSet(t.Context(), "pbx:k", "r", ahead, "v", "1")
	e, won, err := s.Swap(t.Context(), "k", ahead, []byte("2"), 0)
	if err != nil || !won || e.Rev != ahead+1 {
		t.Fatalf("won %v at %d, %v", won, e.Rev, err)
	}
	if _, won, err = s.Swap(t.Context(), "k", e.Rev, nil, 0); !won || err != nil {
		t.Fatal(won, err)
	}
	e, won, err = s.Swap(t.Context(), "k", 0, []byte("3"), 0)
	if err != nil || !won || e.Rev != ahead+2 {
		t.Errorf("won %v at %d, %v", won, e.Rev, err)
	}
}

func TestErrorsOfRedisAreItsOwnWordsWithoutThePassword(t *testing.T) {
	t.Parallel()
	const secret = "canary-7f3a"
	guarded := enginetest.StartRedis(t, "--requirepass", "right")
	full := enginetest.StartRedis(t, "--maxmemory", "1")
	evicting := enginetest.StartRedis(t, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
	down := enginetest.StartRedis(t, "--cluster-enabled", "yes") // no slots
	nobody := enginetest.StartRedis(t)
	nobody.Kill(t)
	restricted := enginetest.StartRedis(t)
	if err := restricted.Admin.Do(t.Context(), "acl", "setuser", "app", "on", ">"+secret, "~*", "&*", "+@all", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(nil)
	t.Cleanup(web.Close)
	foreign := enginetest.StartRedis(t)
	foreign.Admin.HSet(t.Context(), "pbx:k", "r", "v2:17", "v", "x")

	url := func(scheme, user string, r *enginetest.Redis) string {
		return scheme + "://" + user + ":" + secret + "@" + r.Addr()
	}
	for _, c := range []struct{ name, url, says string }{
		{"wrong password", url("redis", "", guarded), "WRONGPASS"},
		{"no password", guarded.URL(), "NOAUTH Authentication required"},
		{"certificate of an unknown authority", "rediss://:" + secret + "@" + web.Listener.Addr().String(), "tls: failed to verify certificate"},
		{"out of memory", full.URL(), "OOM command not allowed when used memory > 'maxmemory'"},
		{"evicts", evicting.URL(), "the server evicts (maxmemory-policy allkeys-lru): set it to noeviction, or set AllowEviction"},
		{"cluster down", down.URL(), "CLUSTERDOWN"},
		{"nobody there", nobody.URL(), "connection refused"},
		{"INFO not permitted", url("redis", "app", restricted), "NOPERM"},
		{"written by a newer version", foreign.URL(), "unreadable cell: pbx:k holds what this version did not write: delete it to begin anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openRedis(t, c.url, redisstore.Options{})
			_, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0)
			if won || err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "redisstore: k: ") {
				t.Errorf("won %v, %v, want %s", won, err, c.says)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v", err)
			}
		})
	}
	allowed := openRedis(t, evicting.URL(), redisstore.Options{AllowEviction: true})
	if _, won, err := allowed.Swap(t.Context(), "k", 0, []byte("v"), 0); !won || err != nil {
		t.Errorf("with AllowEviction: won %v, %v", won, err)
	}
}

func TestAFailoverToAServerThatEvictsIsNoticed(t *testing.T) {
	t.Parallel()
	first := enginetest.StartRedis(t)
	second := enginetest.StartRedis(t, "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
	proxy := enginetest.StartProxy(t, first.Addr())
	s := openRedis(t, "redis://"+proxy.Addr(), redisstore.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	connections := 0
	s.Watch(ctx, func(string) {
		connections++
		_, err := s.Load(ctx, "k")
		switch {
		case connections == 1 && err == nil:
			proxy.Cut(t)
			proxy.Redirect(second.Addr())
			proxy.Restore(t)
			return
		case connections == 1, err == nil || !strings.Contains(err.Error(), "the server evicts"):
			t.Errorf("connection %d: %v", connections, err)
		}
		cancel()
	})
	if connections != 2 {
		t.Errorf("%d connections", connections)
	}
}

func TestPrefixesKeepStoresApart(t *testing.T) {
	t.Parallel()
	r := enginetest.StartRedis(t)
	one := openRedis(t, r.URL(), redisstore.Options{Prefix: "one:"})
	two := openRedis(t, r.URL(), redisstore.Options{Prefix: "two:"})
	if _, won, err := one.Swap(t.Context(), "k", 0, []byte("v"), 0); !won || err != nil {
		t.Fatal(won, err)
	}
	if e, err := two.Load(t.Context(), "k"); err != nil || e.Rev != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}
