package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pbxauth/pbx/session/store"
)

func files(t testing.TB, dir string) *store.FileStore {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := store.Files(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// listing is everything in a directory, with its content.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			fmt.Fprintln(&b, path)
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %q\n", path, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestAFileStoreThatFilesHasNotMadeSaysSo(t *testing.T) {
	var f store.FileStore
	_, loaded := f.Load(t.Context(), "k")
	_, _, swapped := f.Swap(t.Context(), "k", 0, []byte("v"), 0)
	for _, err := range []error{loaded, swapped} {
		if err == nil || !strings.Contains(err.Error(), "make it with Files") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestFilesSurviveTheProcess(t *testing.T) {
	dir := t.TempDir()
	first := files(t, dir)
	rev := put(t, first, "h/office/pbx.example.com", "ledger", 0)
	put(t, first, "s/a", "token", time.Hour)

	second := files(t, dir)
	want(t, second, "h/office/pbx.example.com", "ledger")
	want(t, second, "s/a", "token")
	if again := put(t, second, "h/office/pbx.example.com", "2", 0); again <= rev {
		t.Errorf("revision %d after %d", again, rev)
	}
	want(t, first, "h/office/pbx.example.com", "2")
	if len(first.Key()) != 32 || !bytes.Equal(first.Key(), second.Key()) {
		t.Error("the key has changed")
	}
	if bytes.Equal(first.Key(), files(t, t.TempDir()).Key()) {
		t.Error("another directory has the same key")
	}
}

func TestProcessesThatFillOneDirectoryAtOnceGetOneKey(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	var wg sync.WaitGroup
	keys := make([]string, 16)
	for n := range keys {
		wg.Go(func() {
			s, err := store.Files(dir)
			if err != nil {
				t.Error(err)
				return
			}
			keys[n] = string(s.Key())
		})
	}
	wg.Wait()
	for n := range keys {
		if keys[n] != keys[0] {
			t.Fatalf("store %d has another key", n)
		}
	}
}

func TestOnlyTheOwnerCanReadWhatFilesWrites(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	dir := t.TempDir()
	put(t, files(t, dir), "k", "v", 0)
	filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
		return nil
	})
}

func TestPrintingAFileStoreShowsNoKey(t *testing.T) {
	s := files(t, t.TempDir())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o"} {
		got := fmt.Sprintf(verb, s)
		if !strings.HasPrefix(got, "store.Files(") || strings.Contains(got, fmt.Sprintf("%d", s.Key()[0])+" "+fmt.Sprintf("%d", s.Key()[1])) {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestFilesRefusesADirectoryThatIsNotItsOwn(t *testing.T) {
	const nobodysKey = "pbx-store 1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
	write := func(t *testing.T, path, content string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		err     string // DIR stands for the directory
		posix   bool
	}{
		{"missing", func(t *testing.T, dir string) { os.Remove(dir) },
			"store: directory DIR does not exist: create it with mode 0700", false},
		{"a file", func(t *testing.T, dir string) { os.Remove(dir); write(t, dir, "x") },
			"store: DIR is not a directory: name a directory", false},
		{"readable by others", func(t *testing.T, dir string) { os.Chmod(dir, 0o750) },
			"store: directory DIR can be used by others (mode 0750): name one for this program alone, and run chmod 700 on it", true},
		{"key readable by others", func(t *testing.T, dir string) { write(t, dir+"/key", nobodysKey); os.Chmod(dir+"/key", 0o640) },
			"store: DIR/key can be used by others (mode 0640): run chmod 600 DIR/key", true},
		{"somebody's documents", func(t *testing.T, dir string) { write(t, dir+"/letter.txt", "Dear") },
			`store: directory DIR is not a store, it holds "letter.txt": use an empty directory`, false},
		{"cells without a key", func(t *testing.T, dir string) { write(t, dir+"/cells/+k", "pbx-cell 1 1 0 0\nv") },
			"store: directory DIR has cells and no key: restore the file key, or use an empty directory", false},
		{"another program's key", func(t *testing.T, dir string) { write(t, dir+"/key", "-----BEGIN PRIVATE KEY-----") },
			"store: DIR/key: damaged, or not the key of a store: restore it, or use an empty directory", false},
		{"key cut short", func(t *testing.T, dir string) { write(t, dir+"/key", nobodysKey[:40]) },
			"store: DIR/key: damaged, or not the key of a store: restore it, or use an empty directory", false},
		{"empty key", func(t *testing.T, dir string) { write(t, dir+"/key", "") },
			"store: DIR/key: damaged, or not the key of a store: restore it, or use an empty directory", false},
		{"newer version", func(t *testing.T, dir string) { write(t, dir+"/key", "pbx-store 2 whatever comes then") },
			"store: DIR/key: written by a newer version (format 2): update this program or use another directory", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.posix && runtime.GOOS == "windows" {
				t.Skip("Windows has no modes")
			}
			dir := filepath.Join(t.TempDir(), "d")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.prepare(t, dir)
			before := listing(t, filepath.Dir(dir))
			_, err := store.Files(dir)
			if err == nil || err.Error() != strings.ReplaceAll(c.err, "DIR", dir) {
				t.Errorf("got  %v\nwant %s", err, strings.ReplaceAll(c.err, "DIR", dir))
			}
			if after := listing(t, filepath.Dir(dir)); after != before {
				t.Errorf("changed\n%s\nto\n%s", before, after)
			}
		})
	}
	if _, err := store.Files(""); err == nil {
		t.Error("no directory is accepted")
	}
}

func TestFilesRefusesADirectoryThatItCannotWrite(t *testing.T) {
	if runtime.GOOS == "windows" || os.Getuid() == 0 {
		t.Skip("needs a user who may not write everywhere")
	}
	dir := t.TempDir()
	files(t, dir)
	os.Chmod(filepath.Join(dir, "cells"), 0o500)
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "cells"), 0o700) })
	if _, err := store.Files(dir); err == nil || !strings.Contains(err.Error(), "is not writable") {
		t.Error(err)
	}
}

func TestFilesGoesOnWhereAnotherProcessWasKilledWhileItFilledTheDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"locks", "cells"} {
		os.Mkdir(filepath.Join(dir, name), 0o700)
	}
	os.WriteFile(filepath.Join(dir, "locks", "open"), nil, 0o600)
	os.WriteFile(filepath.Join(dir, "cells", ".tmp-123"), []byte("pbx-st"), 0o600)
	put(t, files(t, dir), "k", "v", 0)
}

// cellFile is the file of the only cell in dir.
func cellFile(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "cells", "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	return found[0]
}

func TestADamagedCellIsUnreadableAndLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	rev := put(t, s, "h/pbx", "two wrong logins", 0)
	path := cellFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, content []byte, says string) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load(t.Context(), "h/pbx")
		if !errors.Is(err, store.ErrUnreadable) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "delete "+path) {
			t.Errorf("Load of %q: %v", content, err)
		}
		for _, rev := range []uint64{0, 1, rev} {
			for _, value := range []string{"new", ""} {
				if _, won, err := s.Swap(t.Context(), "h/pbx", rev, []byte(value), 0); won || !errors.Is(err, store.ErrUnreadable) {
					t.Errorf("Swap of %q: won %v, %v", content, won, err)
				}
			}
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%q became %q, %v", content, after, err)
		}
	}
	for n := range whole {
		check(t, whole[:n], "damaged")
		changed := bytes.Clone(whole)
		changed[n] ^= 1
		check(t, changed, "unreadable cell: ")
	}
	check(t, append(bytes.Clone(whole), 0), "damaged")
	check(t, make([]byte, len(whole)), "damaged")
	check(t, bytes.Replace(whole, []byte("pbx-cell 1"), []byte("pbx-cell 2"), 1), "written by a newer version (format 2)")

	os.WriteFile(path, whole, 0o600)
	want(t, s, "h/pbx", "two wrong logins")
	// The file of one key says nothing about another.
	os.Rename(path, path+"x")
	if _, err := s.Load(t.Context(), "h/pbxx"); !errors.Is(err, store.ErrUnreadable) {
		t.Error(err)
	}
}

// On ext4, among others, a power failure leaves an empty file of a new cell that was
// not synced.
func TestACellThatAPowerFailureEmptiedIsForgotten(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	put(t, s, "s/7", "token", 0)
	if err := os.Truncate(cellFile(t, dir), 0); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Load(t.Context(), "s/7"); err != nil || e.Rev != 0 {
		t.Errorf("Load returns %+v, %v", e, err)
	}
	put(t, s, "s/7", "next", 0)
	want(t, s, "s/7", "next")
}

func TestADirectoryThatIsGoneIsNotEmpty(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "d")
	os.Mkdir(dir, 0o700)
	s := files(t, dir)
	put(t, s, "k", "v", 0)
	os.Rename(dir, filepath.Join(parent, "unmounted"))
	gone := func(why string) {
		t.Helper()
		if e, err := s.Load(t.Context(), "k"); err == nil || errors.Is(err, store.ErrUnreadable) {
			t.Errorf("%s: Load returns %+v, %v", why, e, err)
		}
		if _, won, err := s.Swap(t.Context(), "k", 0, []byte("v"), 0); won || err == nil {
			t.Errorf("%s: Swap returns %v, %v", why, won, err)
		}
	}
	gone("no directory")
	os.Mkdir(dir, 0o700)
	gone("an empty directory")
	files(t, dir)
	gone("another store")
	os.RemoveAll(dir)
	os.Rename(filepath.Join(parent, "unmounted"), dir)
	want(t, s, "k", "v")
}

func TestARemovedCellLeavesItsRevisionBehind(t *testing.T) {
	// On a clock that stands still or was set back, only what is remembered of
	// the removed cell keeps its revision from coming again.
	dir := t.TempDir()
	s := files(t, dir)
	put(t, s, "k", "v", 0)
	high := setRevision(t, dir, uint64(time.Now().Add(24*time.Hour).UnixMicro()))
	want(t, s, "k", "v")
	if _, won, err := s.Swap(t.Context(), "k", high, nil, 0); !won || err != nil {
		t.Fatal(won, err)
	}
	if rev := put(t, files(t, dir), "k", "v", 0); rev <= high {
		t.Errorf("revision %d after %d", rev, high)
	}
}

// setRevision gives the only cell in dir, "k" with the value "v", another
// revision.
func setRevision(t *testing.T, dir string, rev uint64) uint64 {
	t.Helper()
	if err := os.WriteFile(cellFile(t, dir), store.EncodeCell("k", []byte("v"), rev), 0o600); err != nil {
		t.Fatal(err)
	}
	return rev
}

func TestOpeningRemovesWhatHasExpired(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	put(t, s, "expired", "v", 1)
	put(t, s, "alive", "v", time.Hour)
	put(t, s, "kept", "v", 0)
	half := filepath.Join(dir, "cells", ".tmp-1")
	fresh := filepath.Join(dir, "cells", ".tmp-2")
	os.WriteFile(half, nil, 0o600)
	os.WriteFile(fresh, nil, 0o600)
	old := time.Now().Add(-2 * time.Hour)
	os.Chtimes(half, old, old)

	files(t, dir)
	found, _ := filepath.Glob(filepath.Join(dir, "cells", "*"))
	var names []string
	for _, path := range found {
		names = append(names, filepath.Base(path))
	}
	if got := strings.Join(names, " "); got != "+alive +kept .tmp-2" {
		t.Errorf("left are %s", got)
	}
}

func TestWritersOfOneCellDoNotLoseAnUpdate(t *testing.T) {
	const writers, each = 8, 25
	dir := t.TempDir()
	stores := []store.Store{files(t, dir), files(t, dir), files(t, dir)}
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			s := stores[n%len(stores)]
			e, err := s.Load(t.Context(), "s/counter")
			for done := 0; done < each && err == nil; {
				value, _ := strconv.Atoi(string(e.Value))
				var won bool
				e, won, err = s.Swap(t.Context(), "s/counter", e.Rev, []byte(strconv.Itoa(value+1)), 0)
				if won {
					done++
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want(t, stores[0], "s/counter", strconv.Itoa(writers*each))
}

func TestALockThatIsHeldElsewhereIsWaitedForAsLongAsTheContextSays(t *testing.T) {
	dir := t.TempDir()
	s := files(t, dir)
	put(t, s, "k", "v", 0)
	unlock := store.LockShard(t, s, "k")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, won, err := s.Swap(ctx, "k", 0, []byte("x"), 0); won || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("won %v, %v", won, err)
	}
	// The shard is taken in this process too, until the goroutine has given up.
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if _, err := s.Load(ctx, "k"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	unlock()
	want(t, s, "k", "v")
}

func BenchmarkFiles(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 500)
	for _, c := range []struct{ name, key string }{{"Durable", "h/pbx"}, {"NotDurable", "s/session"}} {
		b.Run("Swap"+c.name, func(b *testing.B) {
			s := files(b, b.TempDir())
			var e store.Entry
			for b.Loop() {
				var err error
				if e, _, err = s.Swap(b.Context(), c.key, e.Rev, value, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Load", func(b *testing.B) {
		s := files(b, b.TempDir())
		s.Swap(b.Context(), "s/session", 0, value, 0)
		for b.Loop() {
			if _, err := s.Load(b.Context(), "s/session"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMemorySwap(b *testing.B) {
	value := bytes.Repeat([]byte("v"), 500)
	var m store.Memory
	var e store.Entry
	for b.Loop() {
		e, _, _ = m.Swap(b.Context(), "s/session", e.Rev, value, 0)
	}
}
