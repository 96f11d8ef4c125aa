//go:build unix

package processtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store/enginetest"
)

// living is how many tokens a process finds in the store when it starts.
const living = 10_000

// counted is a driver that counts what it is asked for.
type counted struct {
	number   int
	requests *atomic.Int64
}

func (c counted) Login(context.Context) (*pbx.Token, error) {
	c.requests.Add(1)
	return &pbx.Token{Value: pbx.NewSecret(rand.Text()), ExpiresAt: time.Now().Add(24 * time.Hour)}, nil
}

func (c counted) KeepAlive(_ context.Context, t *pbx.Token) (*pbx.Token, error) {
	c.requests.Add(1)
	return t, nil
}

func (c counted) Logout(context.Context, *pbx.Token) error {
	c.requests.Add(1)
	return nil
}

func (c counted) Traits() pbx.Traits {
	return pbx.Traits{Driver: "counted", URL: fmt.Sprintf("https://pbx-%d.example", c.number), Account: "crm"}
}

// BenchmarkStart is a start of a process that finds living tokens in the store.
func BenchmarkStart(b *testing.B) {
	for _, c := range []struct {
		name  string
		start func(b *testing.B) string
	}{
		{"redis", func(b *testing.B) string { return enginetest.StartRedis(b).URL() }},
		{"postgres", func(b *testing.B) string {
			p := enginetest.StartPostgres(b, "fsync=on")
			createTable(b, p.URL())
			return p.URL() + "&pool_max_conns=16"
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			address, key := c.start(b), make([]byte, 32)
			rand.Read(key)
			if sent := start(b, address, key, 100_000); sent != living {
				b.Fatalf("%d logins of %d sessions", sent, living)
			}
			for b.Loop() {
				if sent := start(b, address, key, 0); sent != 0 {
					b.Fatalf("%d requests to PBXs", sent)
				}
			}
		})
	}
}

// start makes a Manager, waits until all its sessions are live, and returns how
// many requests PBXs got. The Manager's end does not count.
func start(b *testing.B, address string, key []byte, loginRate int) int64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	kept, err := openStore(ctx, address)
	if err != nil {
		b.Fatal(err)
	}
	shared, err := session.NewShared(session.SharedSettings{Store: kept, Keys: [][]byte{key}, Process: "crm"})
	if err != nil {
		b.Fatal(err)
	}
	var requests atomic.Int64
	manager := session.NewManager(&session.Options{Store: shared, LoginRate: loginRate})
	for i := range living {
		if _, err := manager.Add(fmt.Sprint("pbx-", i), counted{i, &requests}); err != nil {
			b.Fatal(err)
		}
	}
	for manager.Stats().Live < living {
		if ctx.Err() != nil {
			b.Fatalf("%+v", manager.Stats())
		}
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	defer b.StartTimer()
	if err := manager.Close(ctx); err != nil {
		b.Fatal(err)
	}
	return requests.Load()
}
