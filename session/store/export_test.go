package store

import (
	"fmt"
	"path/filepath"
	"testing"
)

// CellsOf returns how many cells m holds, expired ones among them.
func CellsOf(m *Memory) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.cells)
}

// HistoryOf returns how many Swaps m could forget.
func HistoryOf(f *Faults) int {
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	return len(f.history)
}

// EncodeCell returns the file of a cell that does not expire.
func EncodeCell(key string, value []byte, rev uint64) []byte {
	return encodeCell(key, cell{value: value, rev: rev})
}

// LockShard takes the lock that another process would hold while it writes key.
func LockShard(t *testing.T, f *FileStore, key string) (unlock func()) {
	t.Helper()
	path := filepath.Join(f.dir, locksName, fmt.Sprintf("%02x", shardOf(key)))
	lock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return func() { lock.Close() }
}
