//go:build unix

package enginetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Redis is a redis-server.
type Redis struct {
	Server
	Admin *redis.Client // not of the store under test

	data string // directory
}

// StartRedis starts a redis-server with these settings besides its own, for
// example "--appendonly", "yes".
func StartRedis(t testing.TB, settings ...string) *Redis {
	t.Helper()
	path := program(t, "redis-server", "redis-server")
	dir := t.TempDir()
	r := &Redis{Server: Server{Port: freePort(t), log: filepath.Join(dir, "log")}, data: filepath.Join(dir, "data")}
	if err := os.Mkdir(r.data, 0o700); err != nil {
		t.Fatal(err)
	}
	r.command = func() *exec.Cmd {
		return exec.Command(path, append([]string{"--port", strconv.Itoa(r.Port), "--bind", "127.0.0.1", "--dir", r.data,
			"--save", "", "--daemonize", "no"}, settings...)...)
	}
	r.Admin = redis.NewClient(&redis.Options{Addr: r.Addr(), Password: passwordOf(settings), ContextTimeoutEnabled: true})
	r.ready = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return r.Admin.Ping(ctx).Err()
	}
	t.Cleanup(func() {
		r.Admin.Close()
		r.end(syscall.SIGKILL)
	})
	r.Start(t)
	return r
}

// Lose removes all that a server that has ended wrote to its disk.
func (r *Redis) Lose(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(r.data); err != nil {
		t.Error(err)
	}
	if err := os.Mkdir(r.data, 0o700); err != nil {
		t.Error(err)
	}
}

// BecomeReplica makes the server a replica of another one and returns when it has
// a copy of all. Promote ends that.
func (r *Redis) BecomeReplica(t testing.TB, master *Redis) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := r.Admin.ReplicaOf(ctx, "127.0.0.1", strconv.Itoa(master.Port)).Err(); err != nil {
		t.Fatal(err)
	}
	for {
		info, err := r.Admin.Info(ctx, "replication").Result()
		if err == nil && strings.Contains(info, "master_link_status:up") {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the replica has no copy: %v\n%s", err, info)
		}
	}
}

// Promote makes a replica a master.
func (r *Redis) Promote(t testing.TB) {
	t.Helper()
	if err := r.Admin.ReplicaOf(t.Context(), "NO", "ONE").Err(); err != nil {
		t.Error(err)
	}
}

func passwordOf(settings []string) string {
	for n, name := range settings[:max(len(settings)-1, 0)] {
		if name == "--requirepass" {
			return settings[n+1]
		}
	}
	return ""
}

// URL is the server's for redisstore.Open.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// StartRedisCluster starts three masters that share all slots.
func StartRedisCluster(t testing.TB) []*Redis {
	t.Helper()
	const nodes, slots = 3, 16384
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []*Redis
	for n := range nodes {
		r := StartRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--appendonly", "yes", "--appendfsync", "always")
		if err := r.Admin.ClusterAddSlotsRange(ctx, n*slots/nodes, (n+1)*slots/nodes-1).Err(); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	for _, r := range all[1:] {
		if err := r.Admin.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(all[0].Port)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range all {
		r.ready = func(ctx context.Context) error {
			info, err := r.Admin.ClusterInfo(ctx).Result()
			if err == nil && !(strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", nodes))) {
				err = fmt.Errorf("the cluster is not ready:\n%s", info)
			}
			return err
		}
	}
	for _, r := range all {
		for err := r.ready(ctx); err != nil; err = r.ready(ctx) {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return all
}
