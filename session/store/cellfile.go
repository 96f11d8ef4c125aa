package store

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// A cell's file is one line and then the value:
//
//	pbx-cell 1 <revision> <expiry, µs since 1970; 0: never> <CRC-32C>
//
// The checksum covers key, revision, expiry and value. A file that was cut short,
// changed or renamed to another key does not match it.
const (
	cellMagic  = "pbx-cell "
	cellFormat = "1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeCell returns the content of the file of c, stored under key.
func encodeCell(key string, c cell) []byte {
	expires := int64(0)
	if !c.expires.IsZero() {
		expires = c.expires.UnixMicro()
	}
	head := fmt.Sprintf("%d %d", c.rev, expires)
	sum := crc32.Checksum([]byte(key+" "+head+"\n"), castagnoli)
	sum = crc32.Update(sum, castagnoli, c.value)
	return fmt.Appendf(nil, "%s%s %s %08x\n%s", cellMagic, cellFormat, head, sum, c.value)
}

// decodeCell reads what encodeCell wrote. What it cannot read is an error that
// matches ErrUnreadable.
func decodeCell(key string, file []byte) (cell, error) {
	line, value, _ := bytes.Cut(file, []byte("\n"))
	head, ours := strings.CutPrefix(string(line), cellMagic)
	if !ours {
		return cell{}, fmt.Errorf("%w: damaged, or not written by this library", ErrUnreadable)
	}
	fields := strings.Split(head, " ")
	if format := fields[0]; format != cellFormat && isNumber(format) {
		return cell{}, fmt.Errorf("%w: written by a newer version (format %s)", ErrUnreadable, format)
	}
	if len(fields) == 4 {
		rev, err1 := strconv.ParseUint(fields[1], 10, 64)
		expires, err2 := strconv.ParseInt(fields[2], 10, 64)
		c := cell{rev: rev, value: value}
		if expires != 0 {
			c.expires = time.UnixMicro(expires)
		}
		// Writing it anew verifies the checksum and that nothing else is in it.
		if err1 == nil && err2 == nil && rev != 0 && bytes.Equal(encodeCell(key, c), file) {
			return c, nil
		}
	}
	return cell{}, fmt.Errorf("%w: damaged", ErrUnreadable)
}

func isNumber(s string) bool {
	n, err := strconv.ParseUint(s, 10, 32)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// cellName returns the file name of a key: one that no system reserves, and a
// different one for each key.
func cellName(key string) string {
	return "+" + strings.NewReplacer("/", "+", ":", "=").Replace(key)
}

// cellKey is the reverse of cellName. ok is false for a file that is no cell.
func cellKey(name string) (key string, ok bool) {
	key = strings.NewReplacer("+", "/", "=", ":").Replace(strings.TrimPrefix(name, "+"))
	return key, Check(key, nil, 0) == nil && cellName(key) == name
}
