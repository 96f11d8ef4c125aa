package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// FileStore is a Store in a directory. [Files] opens it.
type FileStore struct {
	dir    string
	key    directoryKey
	shards [shardCount]chan struct{} // one token each: who takes it may use the shard's lock file
}

var _ Store = (*FileStore)(nil)

// shardCount is the number of lock files that all cells of a directory share.
const shardCount = 64

// Names in the directory.
const (
	keyName   = "key"
	cellsName = "cells"
	locksName = "locks"
	tempMark  = ".tmp-" // begins the name of a file that is being written
)

// Waits for a lock file that another process holds.
const (
	firstPoll = 100 * time.Microsecond
	lastPoll  = 10 * time.Millisecond
)

// Files opens the store in a directory. Processes of one machine that open the
// same directory share it, and it survives restarts. It has no Watch.
//
// The directory must exist, on a local disk, and be accessible to its owner
// alone: mode 0700, which is not checked on Windows. Files fills an empty
// directory and reads one that it filled before. It refuses any other, and
// changes nothing there.
//
// Each cell is a file, written whole and renamed. Locks of the operating system
// on separate files keep writers apart. They are held while the files of one
// operation are read and written and for nothing else, and end with their
// process. [Durable] cells are on the disk before Swap returns. Other cells may
// be forgotten at a power failure: an empty file is read as no cell.
//
// A file that was cut short or changed is reported as [ErrUnreadable] and never
// overwritten: a ledger that cannot be read permits no login, so a crash cannot
// make it count too few. The error names the file. Delete it to begin anew.
//
// The store's clock is the wall clock of the machine.
func Files(dir string) (*FileStore, error) {
	if dir == "" {
		return nil, errors.New("store: no directory: name one")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("store: directory: %w", err)
	}
	key, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	f := &FileStore{dir: dir, key: key}
	for n := range f.shards {
		f.shards[n] = make(chan struct{}, 1)
	}
	f.sweep()
	return f, nil
}

// Key returns 32 random bytes that belong to the directory: the same for every
// process that opens it. They are for fingerprints of credentials. They stand in a file
// beside the cells, so do not encrypt cells with them, and do not log them.
func (f *FileStore) Key() []byte {
	return bytes.Clone(f.key[:])
}

// Format implements [fmt.Formatter]. It prints the directory and not the key.
func (f *FileStore) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "store.Files(%q)", f.dir)
}

// Load implements [Store].
func (f *FileStore) Load(ctx context.Context, key string) (Entry, error) {
	if err := checkAll(ctx, key, nil, 0); err != nil {
		return Entry{}, err
	}
	var e Entry
	err := f.locked(ctx, key, func(*os.File) error {
		_, present, err := f.read(key)
		e = present
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Swap implements [Store].
func (f *FileStore) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (Entry, bool, error) {
	if err := checkAll(ctx, key, value, keep); err != nil {
		return Entry{}, false, err
	}
	value = bytes.Clone(value) // the write may outlast a context that ends
	var e Entry
	won := false
	err := f.locked(ctx, key, func(lock *os.File) error {
		old, present, err := f.read(key)
		if err != nil {
			return err
		}
		e, won = present, present.Rev == rev
		if !won {
			return nil
		}
		e = Entry{Now: present.Now}
		if len(value) == 0 {
			return f.remove(key, old, lock)
		}
		last := old.rev
		if last == 0 {
			last = readMark(lock)
		}
		next := cell{value: value, rev: revisionAfter(last, present.Now)}
		if keep > 0 {
			next.expires = present.Now.Add(keep)
		}
		e.Value, e.Rev = value, next.rev
		return f.write(key, next)
	})
	if err != nil {
		return Entry{}, false, err
	}
	return e, won, nil
}

// locked runs do while it holds the lock of key's shard. do must not wait for
// anything but files. When ctx ends first, locked returns; what do has begun
// ends by itself, and until then the shard stays locked.
func (f *FileStore) locked(ctx context.Context, key string, do func(lock *os.File) error) error {
	if f.dir == "" {
		return errors.New("store: this FileStore has no directory: make it with Files")
	}
	shard := shardOf(key)
	select {
	case f.shards[shard] <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-f.shards[shard] }()
		lock, err := lockFile(ctx, filepath.Join(f.dir, locksName, fmt.Sprintf("%02x", shard)))
		if err != nil {
			done <- err
			return
		}
		err = do(lock)
		lock.Close() // unlocks; nothing in it that could be lost
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil && !errors.Is(err, ctx.Err()) {
			return fmt.Errorf("store: %s: %w", key, err)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func shardOf(key string) int {
	h := fnv.New32a()
	io.WriteString(h, key)
	return int(h.Sum32() % shardCount)
}

// lockFile opens the file and waits until it has the lock, or ctx ends. Close
// unlocks.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for poll := firstPoll; ; poll = min(2*poll, lastPoll) {
		file, err := tryLockFile(path)
		if file != nil || err != nil {
			return file, err
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// tryLockFile returns nil and no error while somebody else has the lock.
func tryLockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if won, err := tryLock(file); !won {
		file.Close()
		return nil, err
	}
	return file, nil
}

// The functions below need the lock of the key's shard.

// read returns the cell in the file, even if it has expired, and what a user
// sees of it.
func (f *FileStore) read(key string) (cell, Entry, error) {
	now := time.Now().Round(0)
	path := f.path(key)
	content, err := os.ReadFile(path)
	forgotten := err == nil && len(content) == 0 && !Durable(key)
	if errors.Is(err, fs.ErrNotExist) || forgotten {
		// Where the whole directory has gone, for example because a disk is not
		// mounted, the cell is out of reach and not absent.
		return cell{}, Entry{Now: now}, f.key.verify(f.dir)
	}
	if err != nil {
		return cell{}, Entry{}, err
	}
	c, err := decodeCell(key, content)
	if err != nil {
		return cell{}, Entry{}, fmt.Errorf("%w: delete %s to begin anew", err, path)
	}
	if c.expired(now) {
		return c, Entry{Now: now}, nil
	}
	return c, Entry{Value: c.value, Rev: c.rev, Now: now}, nil
}

func (f *FileStore) write(key string, c cell) error {
	return replaceFile(filepath.Join(f.dir, cellsName), f.path(key), encodeCell(key, c), Durable(key))
}

// remove removes the file of c, if there is one. Its revision is remembered in
// the lock file, so that the next cell under this key has a higher one even if
// the clock was set back.
func (f *FileStore) remove(key string, c cell, lock *os.File) error {
	if c.rev == 0 {
		return nil
	}
	if err := writeMark(lock, max(readMark(lock), c.rev)); err != nil {
		return err
	}
	if err := os.Remove(f.path(key)); err != nil || !Durable(key) {
		return err
	}
	return syncDirectory(filepath.Join(f.dir, cellsName))
}

func (f *FileStore) path(key string) string {
	return filepath.Join(f.dir, cellsName, cellName(key))
}

// A lock file holds one number: the highest revision of a cell that was removed
// from its shard.
func readMark(lock *os.File) uint64 {
	var mark [8]byte
	if n, _ := lock.ReadAt(mark[:], 0); n < len(mark) {
		return 0 // none yet
	}
	return binary.BigEndian.Uint64(mark[:])
}

func writeMark(lock *os.File, rev uint64) error {
	_, err := lock.WriteAt(binary.BigEndian.AppendUint64(nil, rev), 0)
	return err
}

// replaceFile writes content to path so that every reader sees the old content
// or the new. temp is a directory on the same disk. With sync, the content is on
// the disk when it returns.
func replaceFile(temp, path string, content []byte, sync bool) error {
	file, err := os.CreateTemp(temp, tempMark)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil && sync {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return err
	}
	if sync {
		return syncDirectory(filepath.Dir(path))
	}
	return nil
}

// Limits of sweep.
const (
	sweepCells = 1000
	sweepTime  = 2 * time.Second
	tempAge    = time.Hour // of a file that a process left half-written
)

// sweep removes cells that have expired and what crashed processes left behind.
// It looks at a random choice of files, so that opening a large directory takes
// no longer than opening a small one. What it cannot remove is left to the next
// process that opens the directory.
func (f *FileStore) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	cells := filepath.Join(f.dir, cellsName)
	files, err := os.ReadDir(cells)
	if err != nil {
		return
	}
	rand.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
	for _, file := range files[:min(len(files), sweepCells)] {
		if strings.HasPrefix(file.Name(), tempMark) {
			if info, err := file.Info(); err == nil && time.Since(info.ModTime()) > tempAge {
				os.Remove(filepath.Join(cells, file.Name()))
			}
			continue
		}
		key, ok := cellKey(file.Name())
		if !ok {
			continue
		}
		f.locked(ctx, key, func(lock *os.File) error {
			c, e, err := f.read(key)
			if err != nil || e.Rev != 0 {
				return err
			}
			return f.remove(key, c, lock)
		})
	}
}
