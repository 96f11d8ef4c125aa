package drivertest

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"net/http"

	"github.com/pbxauth/pbx/conformance/golden"
)

// EachSample calls f with the responses of testdata/golden, as seeds of a fuzz test.
func EachSample(f *testing.F, add func(status int, header http.Header, body string)) {
	f.Helper()
	paths, err := filepath.Glob("testdata/golden/*.http")
	if err != nil || len(paths) == 0 {
		f.Fatal("no samples", err)
	}
	for _, path := range paths {
		x, err := golden.Load(path)
		if err != nil {
			f.Fatal(err)
		}
		status, err := strconv.Atoi(strings.Fields(x.Response.Line)[1])
		if err != nil {
			f.Fatal(path, err)
		}
		add(status, x.Response.Header, x.Response.Body)
	}
}

// Trimmed is a body without what every driver ignores around it: a byte order mark,
// NULs and blanks. A fuzz test reads the rest by means of its own.
func Trimmed(body string) string {
	return strings.Trim(strings.TrimPrefix(body, "\ufeff"), " \t\r\n\x00")
}
