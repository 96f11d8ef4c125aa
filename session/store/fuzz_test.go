package store

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func FuzzDecodeCell(f *testing.F) {
	f.Add("k", []byte("pbx-cell 1 1 0 00000000\n"))
	f.Add("k", []byte("pbx-cell 99 \n"))
	f.Add("h/pbx", encodeCell("h/pbx", cell{value: []byte("a\nb"), rev: 7, expires: time.UnixMicro(-1)}))
	f.Fuzz(func(t *testing.T, key string, file []byte) {
		c, err := decodeCell(key, file)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) {
				t.Error(err)
			}
			return
		}
		if again := encodeCell(key, c); !bytes.Equal(again, file) {
			t.Errorf("%q is read as %+v, which is written as %q", file, c, again)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	f.Add([]byte("pbx-store 1 00\n"))
	f.Add([]byte("pbx-store 2 \n"))
	f.Add(directoryKey{1, 2, 3}.encode())
	f.Fuzz(func(t *testing.T, content []byte) {
		if key, err := decodeKey(content); err == nil && !bytes.Equal(key.encode(), content) {
			t.Errorf("%q is read as a key", content)
		}
	})
}

func FuzzCellName(f *testing.F) {
	f.Add("+h+pbx=443")
	f.Add("+")
	f.Add("h")
	f.Add("+h:x")
	f.Add("+/")
	f.Fuzz(func(t *testing.T, name string) {
		if key, ok := cellKey(name); ok && cellName(key) != name {
			t.Errorf("%q is read as %q, whose file is %q", name, key, cellName(key))
		}
	})
}
