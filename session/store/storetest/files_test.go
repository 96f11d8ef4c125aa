//go:build unix

package storetest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/session/store"
	"github.com/pbxauth/pbx/session/store/storetest"
	"golang.org/x/sys/unix"
)

func TestFiles(t *testing.T) {
	parent := t.TempDir()
	dir, away := filepath.Join(parent, "store"), filepath.Join(parent, "away")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	must := func(t testing.TB, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cells := func(t testing.TB) []string {
		found, err := filepath.Glob(filepath.Join(dir, "cells", "+*"))
		must(t, err)
		return found
	}
	var held []*os.File
	storetest.Run(t, func(t testing.TB) store.Store {
		s, err := store.Files(dir)
		must(t, err)
		return s
	}, storetest.Faults{
		Stop:  func(t testing.TB) { must(t, os.Rename(dir, away)) },
		Start: func(t testing.TB) { must(t, os.Rename(away, dir)) },
		Hang: func(t testing.TB) { // somebody else holds all locks
			locks, err := filepath.Glob(filepath.Join(dir, "locks", "*"))
			must(t, err)
			for _, path := range locks {
				file, err := os.OpenFile(path, os.O_RDWR, 0)
				must(t, err)
				must(t, unix.Flock(int(file.Fd()), unix.LOCK_EX))
				held = append(held, file)
			}
		},
		Resume: func(testing.TB) {
			for _, file := range held {
				file.Close()
			}
			held = nil
		},
		Forget: func(t testing.TB) {
			for _, path := range cells(t) {
				must(t, os.Remove(path))
			}
		},
		Damage: func(t testing.TB, key string) {
			for _, path := range cells(t) {
				if strings.HasSuffix(path, strings.ReplaceAll(key, "/", "+")) {
					must(t, os.Truncate(path, 20))
					t.Cleanup(func() { os.Remove(path) })
				}
			}
		},
	})
	if left := cells(t); len(left) > 0 {
		t.Errorf("the rules leave cells behind: %q", left)
	}
}
