// Package redisstore keeps the cells of [store.Store] in Redis, or in a server
// that speaks its protocol and runs its scripts, so that processes on several
// machines share them.
//
//	s, err := redisstore.Open("rediss://user:password@redis.example.com:6379/0", redisstore.Options{})
//
// A single server, a Sentinel group and a Cluster work: pass the application's
// own client to [New]. Each operation is one script on one key.
//
// # What the server has to be set to
//
//   - maxmemory-policy noeviction, or no maxmemory. A server that evicts cells
//     forgets wrong logins, so the store refuses to work with it.
//   - appendonly yes. A server that restarts without a log has forgotten
//     everything.
//   - Where there are replicas: min-replicas-to-write 1, and [Options].Replicas.
//     Redis replicates after it responds, so a failover loses the last Swaps.
//
// A store that forgets causes no lockout by itself: see the rules of package
// store, of which this store keeps all. After a failover or restart the server's
// clock is another one, and a Swap whose response was lost may or may not have
// taken effect.
package redisstore

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx/session/store"
	"github.com/redis/go-redis/v9"
)

// Options are optional.
type Options struct {
	// Prefix begins the names of the keys and of the channel. It has to be the same
	// in all processes that share the store. It consists of a-z, 0-9 and ._:-, up to
	// 64 bytes. Default: "pbx:".
	Prefix string

	// Replicas is how many replicas have to hold a durable cell before a Swap of it
	// returns without an error. Default: 0, the master alone. With it, a Swap of
	// such a cell takes one round trip more, and is an error with an unknown outcome
	// while too few replicas respond.
	Replicas int

	// AllowEviction permits a server that evicts cells when its memory is full.
	AllowEviction bool
}

// Store is a [store.Store] and a [store.Watcher] in Redis.
type Store struct {
	client  redis.UniversalClient
	owned   bool
	options Options
	channel string

	accepted atomic.Bool // the server's settings have been checked
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Watcher = (*Store)(nil)
)

const (
	defaultPrefix = "pbx:"
	maxPrefix     = 64
	// ackTime is how long a Swap waits for replicas at most.
	ackTime = time.Second
)

//go:embed swap.lua
var swapSource string

//go:embed load.lua
var loadSource string

var (
	swapScript = redis.NewScript(swapSource)
	loadScript = redis.NewScript(loadSource)
)

// Open returns a store in the server that a URL names:
//
//	redis://user:password@host:port/database
//	rediss://… (with TLS)
//	unix:///path/to/socket?db=0
//
// [redis.ParseURL] lists what else the URL can say. Open sends nothing: a server
// that is away or refuses the password is an error of each Load and Swap. Errors
// never show the URL. Close the store when it is not used any more.
func Open(rawURL string, o Options) (*Store, error) {
	options, err := redis.ParseURL(rawURL)
	if err != nil {
		// What the parser says may quote the password.
		return nil, fmt.Errorf("redisstore: the URL%s cannot be read: use redis://user:password@host:port/database, with special characters escaped", schemeOf(rawURL))
	}
	options.ContextTimeoutEnabled = true
	options.DialerRetries = 1 // who uses the store tries again in its own time
	s, err := newStore(redis.NewClient(options), o)
	if err != nil {
		return nil, err
	}
	s.owned = true
	return s, nil
}

// schemeOf returns the scheme of a URL for an error, if it is one of Redis's.
func schemeOf(rawURL string) string {
	scheme, _, _ := strings.Cut(rawURL, ":")
	switch scheme {
	case "redis", "rediss", "unix":
		return " (" + scheme + ":…)"
	}
	return ""
}

// New returns a store over the application's own client, a [*redis.Client] (also
// one of [redis.NewFailoverClient]) or a [*redis.ClusterClient]. The client must
// have ContextTimeoutEnabled set. Closing the store leaves it open.
func New(client redis.UniversalClient, o Options) (*Store, error) {
	obeys := false
	switch c := client.(type) {
	case *redis.Client:
		obeys = c != nil && c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		obeys = c != nil && c.Options().ContextTimeoutEnabled
	case *redis.Ring:
		return nil, errors.New("redisstore: a Ring moves cells to other servers when one fails: use a Cluster or a single server")
	default:
		return nil, fmt.Errorf("redisstore: client of type %T: use a *redis.Client or a *redis.ClusterClient", client)
	}
	if !obeys {
		return nil, errors.New("redisstore: the client does not obey contexts: set ContextTimeoutEnabled in its options")
	}
	return newStore(client, o)
}

func newStore(client redis.UniversalClient, o Options) (*Store, error) {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if len(o.Prefix) > maxPrefix || strings.Trim(o.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789._:-") != "" {
		return nil, fmt.Errorf("redisstore: Prefix %.70q: use up to %d of a-z, 0-9 and ._:-", o.Prefix, maxPrefix)
	}
	if o.Replicas < 0 {
		return nil, fmt.Errorf("redisstore: Replicas is %d: use 0 or the number of replicas that have to respond", o.Replicas)
	}
	return &Store{client: client, options: o, channel: o.Prefix + "changed"}, nil
}

// Close closes the client if [Open] made it.
func (s *Store) Close() error {
	if !s.owned {
		return nil
	}
	return s.client.Close()
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, key string) (store.Entry, error) {
	if err := store.Check(key, nil, 0); err != nil {
		return store.Entry{}, err
	}
	e, _, err := s.bounded(ctx, key, func() (reply, error) {
		return s.run(ctx, s.client, loadScript, key)
	})
	return e, err
}

// Swap implements [store.Store].
func (s *Store) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	if err := store.Check(key, value, keep); err != nil {
		return store.Entry{}, false, err
	}
	value = append([]byte(nil), value...) // the write may outlast a context that ends
	ms := keep.Milliseconds()
	if keep%time.Millisecond > 0 {
		ms++ // not dropped earlier
	}
	args := []any{strconv.FormatUint(rev, 10), value, strconv.FormatInt(ms, 10), s.channel, key}
	e, won, err := s.bounded(ctx, key, func() (reply, error) {
		if s.options.Replicas > 0 && store.Durable(key) {
			return s.runReplicated(ctx, swapScript, key, args...)
		}
		return s.run(ctx, s.client, swapScript, key, args...)
	})
	if won && e.Rev != 0 {
		e.Value = value
	}
	return e, won, err
}

// reply is what a script returned.
type reply struct {
	entry store.Entry
	won   bool
}

// bounded runs do, and returns when it has ended or ctx has. The client looks at
// the deadline of a context alone, so a cancelled one would wait for its timeouts.
func (s *Store) bounded(ctx context.Context, key string, do func() (reply, error)) (store.Entry, bool, error) {
	if err := ctx.Err(); err != nil {
		return store.Entry{}, false, err
	}
	type result struct {
		reply
		err error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		if r.err = s.accept(ctx); r.err == nil {
			r.reply, r.err = do()
		}
		done <- r
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return store.Entry{}, false, fmt.Errorf("redisstore: %s: %w", key, r.err)
		}
		return r.entry, r.won, nil
	case <-ctx.Done():
		return store.Entry{}, false, ctx.Err()
	}
}

// processor is a client, or one connection of it.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// run runs a script once.
func (s *Store) run(ctx context.Context, on processor, script *redis.Script, key string, args ...any) (reply, error) {
	// A script of another length of arguments never changes, so the server knows
	// it by its hash after the first time.
	tail := append([]any{1, s.options.Prefix + key}, args...)
	values, err := once(ctx, on, append([]any{"evalsha", script.Hash()}, tail...))
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		source := swapSource
		if script == loadScript {
			source = loadSource
		}
		values, err = once(ctx, on, append([]any{"eval", source}, tail...))
	}
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return reply{}, s.unreadable(key)
	}
	if err != nil {
		return reply{}, err
	}
	return s.parse(key, values)
}

func (s *Store) unreadable(key string) error {
	return fmt.Errorf("%w: %s%s holds what this version did not write: delete it to begin anew", store.ErrUnreadable, s.options.Prefix, key)
}

// onceCommand is a command that the client does not repeat. A Swap that is sent
// again after its response was lost loses against itself.
type onceCommand struct{ *redis.Cmd }

// NoRetry is asked by the client.
func (onceCommand) NoRetry() bool { return true }

func once(ctx context.Context, on processor, args []any) ([]any, error) {
	cmd := onceCommand{redis.NewCmd(ctx, args...)}
	cmd.SetFirstKeyPos(3)
	if err := on.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Slice()
}

// parse reads {status, revision, value, time}.
func (s *Store) parse(key string, values []any) (reply, error) {
	if len(values) > 0 && values[0] == int64(-1) {
		return reply{}, s.unreadable(key)
	}
	if len(values) != 4 {
		return reply{}, fmt.Errorf("the script returned %d values: is this Redis?", len(values))
	}
	status, ok1 := values[0].(int64)
	rev, ok2 := values[1].(string)
	value, ok3 := values[2].(string)
	now, ok4 := values[3].(string)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return reply{}, errors.New("the script returned values of other types: is this Redis?")
	}
	r := reply{won: status == 1}
	var err error
	if r.entry.Rev, err = strconv.ParseUint(rev, 10, 64); err != nil {
		return reply{}, s.unreadable(key)
	}
	micros, err := strconv.ParseInt(now, 10, 64)
	if err != nil {
		return reply{}, errors.New("the server's time is no number: is this Redis?")
	}
	r.entry.Now = time.UnixMicro(micros)
	if r.entry.Rev != 0 && value != "" {
		r.entry.Value = []byte(value)
	}
	return r, nil
}

// runReplicated runs a script and waits for replicas, which has to happen on one
// connection.
func (s *Store) runReplicated(ctx context.Context, script *redis.Script, key string, args ...any) (reply, error) {
	var node *redis.Client
	switch c := s.client.(type) {
	case *redis.Client:
		node = c
	case *redis.ClusterClient:
		var err error
		if node, err = c.MasterForKey(ctx, s.options.Prefix+key); err != nil {
			return reply{}, err
		}
	}
	conn := node.Conn()
	defer conn.Close()
	r, err := s.run(ctx, conn, script, key, args...)
	if err != nil {
		if c, ok := s.client.(*redis.ClusterClient); ok {
			c.ReloadState(ctx) // another node may have the key now
		}
		return r, err
	}
	if !r.won {
		return r, nil
	}
	wait := ackTime
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(min(wait, time.Until(deadline)*3/4), time.Millisecond) // 0 would have no limit
	}
	acks, err := conn.Wait(ctx, s.options.Replicas, wait).Result()
	if err != nil {
		return reply{}, err
	}
	if acks < int64(s.options.Replicas) {
		return reply{}, fmt.Errorf("%d of %d replicas hold it after %v: check the replication", acks, s.options.Replicas, wait.Round(time.Millisecond))
	}
	return r, nil
}

// accept checks that no master of the server evicts: once, and after each time that Watch
// has connected.
func (s *Store) accept(ctx context.Context) error {
	if s.options.AllowEviction || s.accepted.Load() {
		return nil
	}
	check := func(ctx context.Context, node *redis.Client) error {
		info, err := node.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		return evicts(info)
	}
	var err error
	switch c := s.client.(type) {
	case *redis.Client:
		err = check(ctx, c)
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, check)
	}
	if redis.IsPermissionError(err) {
		return fmt.Errorf("%w: permit INFO, or set AllowEviction if the server's maxmemory-policy is noeviction", err)
	}
	if err != nil {
		return err
	}
	s.accepted.Store(true)
	return nil
}

// evicts reports, from the server's INFO memory, that it drops keys.
func evicts(info string) error {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = value
	}
	limit, policy := fields["maxmemory"], fields["maxmemory_policy"]
	if limit == "0" || policy == "noeviction" {
		return nil
	}
	if limit == "" || policy == "" {
		return errors.New("the server does not say whether it evicts: set AllowEviction if it does not")
	}
	return fmt.Errorf("the server evicts (maxmemory-policy %s): set it to noeviction, or set AllowEviction", policy)
}
