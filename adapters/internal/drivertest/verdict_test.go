package drivertest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// verdict is a testing.TB that records the failures.
type verdict struct {
	testing.TB
	failed []string
}

func (v *verdict) Helper() {}

func (v *verdict) Errorf(format string, args ...any) {
	v.failed = append(v.failed, fmt.Sprintf(format, args...))
}

func (v *verdict) Error(args ...any) { v.Errorf("%s", fmt.Sprint(args...)) }

func (v *verdict) Fatalf(format string, args ...any) {
	v.Errorf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatal(args ...any) { v.Fatalf("%s", fmt.Sprint(args...)) }

// complaints returns what check complains of.
func complaints(t *testing.T, check func(testing.TB)) []string {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(v)
	}()
	<-done
	return v.failed
}

// want checks that there is one complaint, which begins with text, or none if it is
// empty.
func want(t *testing.T, name, text string, got []string) {
	t.Helper()
	if text == "" && len(got) != 0 || text != "" && (len(got) != 1 || !strings.HasPrefix(got[0], text)) {
		t.Errorf("%s: %q, want %q", name, got, text)
	}
}
