package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// directoryKey is the secret of a directory. Its file also marks the directory
// as ours and carries the format of the whole: "pbx-store 1 <64 hex digits>\n".
type directoryKey [32]byte

const (
	keyMagic  = "pbx-store "
	keyFormat = "1"
)

func (k directoryKey) encode() []byte {
	return fmt.Appendf(nil, "%s%s %x\n", keyMagic, keyFormat, k[:])
}

func decodeKey(content []byte) (directoryKey, error) {
	var k directoryKey
	rest, ours := strings.CutPrefix(string(content), keyMagic)
	format, digits, _ := strings.Cut(rest, " ")
	if ours && format != keyFormat && isNumber(format) {
		return k, fmt.Errorf("written by a newer version (format %s): update this program or use another directory", format)
	}
	raw, err := hex.DecodeString(strings.TrimSuffix(digits, "\n"))
	if err == nil && len(raw) == len(k) {
		k = directoryKey(raw)
	}
	if string(k.encode()) != string(content) {
		return directoryKey{}, errors.New("damaged, or not the key of a store: restore it, or use an empty directory")
	}
	return k, nil
}

// verify reports whether dir still holds the key k.
func (k directoryKey) verify(dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, keyName))
	if err != nil {
		return fmt.Errorf("the directory is out of reach: %w", err)
	}
	if string(content) != string(k.encode()) {
		return fmt.Errorf("directory %s holds another store now: restart this process", dir)
	}
	return nil
}

// openTime bounds the wait for another process that fills the same directory.
const openTime = 5 * time.Second

// openDirectory checks the directory, fills it if it is empty, and returns its
// key.
func openDirectory(dir string) (directoryKey, error) {
	if err := checkDirectory(dir); err != nil {
		return directoryKey{}, err
	}
	path := filepath.Join(dir, keyName)
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = fillDirectory(dir, path)
	}
	if err != nil {
		return directoryKey{}, err
	}
	for _, name := range []string{cellsName, locksName} {
		probe, err := os.CreateTemp(filepath.Join(dir, name), tempMark)
		if err != nil {
			return directoryKey{}, fmt.Errorf("store: directory %s is not writable: %w", dir, err)
		}
		probe.Close()
		os.Remove(probe.Name())
	}
	return key, nil
}

func checkDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("store: directory %s does not exist: create it with mode 0700", dir)
	case err != nil:
		return fmt.Errorf("store: directory %s: %w", dir, err)
	case !info.IsDir():
		return fmt.Errorf("store: %s is not a directory: name a directory", dir)
	}
	if mode := info.Mode(); usedByOthers(mode) {
		return fmt.Errorf("store: directory %s can be used by others (mode %04o): name one for this program alone, and run chmod 700 on it", dir, mode.Perm())
	}
	if name := networkFileSystem(dir); name != "" {
		return fmt.Errorf("store: directory %s is on a network file system (%s): use a local disk", dir, name)
	}
	return nil
}

// usedByOthers reports whether others than the owner can use a file. Windows has no
// modes.
func usedByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.Perm()&0o077 != 0
}

func readKey(path string) (directoryKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return directoryKey{}, fmt.Errorf("store: %w", err)
	}
	if mode := info.Mode(); usedByOthers(mode) {
		return directoryKey{}, fmt.Errorf("store: %s can be used by others (mode %04o): run chmod 600 %s", path, mode.Perm(), path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return directoryKey{}, fmt.Errorf("store: %w", err)
	}
	key, err := decodeKey(content)
	if err != nil {
		return directoryKey{}, fmt.Errorf("store: %s: %w", path, err)
	}
	return key, nil
}

// fillDirectory makes an empty directory a store. Several processes may try at
// once: one of them makes the key.
func fillDirectory(dir, path string) (directoryKey, error) {
	if err := checkEmpty(dir); err != nil {
		return directoryKey{}, err
	}
	for _, name := range []string{locksName, cellsName} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return directoryKey{}, fmt.Errorf("store: directory %s is not writable: %w", dir, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTime)
	defer cancel()
	lock, err := lockFile(ctx, filepath.Join(dir, locksName, "open"))
	if err != nil {
		return directoryKey{}, fmt.Errorf("store: directory %s: lock: %w", dir, err)
	}
	defer lock.Close()
	if key, err := readKey(path); !errors.Is(err, fs.ErrNotExist) {
		return key, err // another process was quicker
	}
	var key directoryKey
	rand.Read(key[:]) // never fails
	if err := replaceFile(filepath.Join(dir, cellsName), path, key.encode(), true); err != nil {
		return directoryKey{}, fmt.Errorf("store: directory %s: %w", dir, err)
	}
	return key, nil
}

// checkEmpty refuses a directory that holds anything but what a process that
// was filling it leaves when it is killed.
func checkEmpty(dir string) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("store: directory %s: %w", dir, err)
	}
	for _, file := range names {
		switch file.Name() {
		case locksName:
			continue
		case keyName: // made since we looked
			return nil
		case cellsName:
			cells, err := os.ReadDir(filepath.Join(dir, cellsName))
			if err != nil {
				return fmt.Errorf("store: directory %s: %w", dir, err)
			}
			for _, cell := range cells {
				if !strings.HasPrefix(cell.Name(), tempMark) {
					return fmt.Errorf("store: directory %s has cells and no key: restore the file %s, or use an empty directory", dir, keyName)
				}
			}
			continue
		}
		return fmt.Errorf("store: directory %s is not a store, it holds %q: use an empty directory", dir, file.Name())
	}
	return nil
}
