package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

// both runs a test on the two stores of this package.
func both(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Run("Memory", func(t *testing.T) { test(t, new(store.Memory)) })
	t.Run("Files", func(t *testing.T) { test(t, files(t, t.TempDir())) })
}

func TestBadInputIsRefused(t *testing.T) {
	long := strings.Repeat("k", store.MaxKey)
	large := make([]byte, store.MaxValue)
	both(t, func(t *testing.T, s store.Store) {
		for _, c := range []struct {
			name, key, err string
			value          []byte
			keep           time.Duration
		}{
			{"no key", "", "store: key of 0 bytes: use 1 to 200", nil, 0},
			{"long key", long + "k", "store: key of 201 bytes: use 1 to 200", nil, 0},
			{"capital", "h/PBX", `store: key "h/PBX": use only a-z, 0-9 and ._:/-`, nil, 0},
			{"line break", "h\n", `store: key "h\n": use only a-z, 0-9 and ._:/-`, nil, 0},
			{"large value", "k", "store: k: value of 65537 bytes: use at most 65536", append(large, 0), 0},
			{"negative keep", "k", "store: k: keep is -1ns: use 0 to keep the cell, or a positive time", []byte("v"), -1},
		} {
			_, won, err := s.Swap(t.Context(), c.key, 0, c.value, c.keep)
			if won || err == nil || err.Error() != c.err {
				t.Errorf("%s: won %v, %v, want %s", c.name, won, err, c.err)
			}
			if c.value == nil {
				if _, err := s.Load(t.Context(), c.key); err == nil || err.Error() != c.err {
					t.Errorf("%s: %v, want %s", c.name, err, c.err)
				}
			}
		}
		if _, won, err := s.Swap(t.Context(), long, 0, large, 0); !won || err != nil {
			t.Errorf("the largest key and value: won %v, %v", won, err)
		}
		want(t, s, "k", "")
	})
}

func TestAnEndedContextChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, won, err := s.Swap(ctx, "k", 0, []byte("v"), 0); won || !errors.Is(err, context.Canceled) {
			t.Errorf("won %v, %v", won, err)
		}
		if _, err := s.Load(ctx, "k"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want(t, s, "k", "")
	})
}

func TestWhatALockoutCouldFollowFromIsDurable(t *testing.T) {
	for key, want := range map[string]bool{"h/x": true, "h/": true, "k/fingerprints": true, "h": false, "s/h/x": false, "hh/x": false} {
		if store.Durable(key) != want {
			t.Errorf("Durable(%q) is %v", key, !want)
		}
	}
}
