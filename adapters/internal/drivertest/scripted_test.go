package drivertest

import (
	"testing"
)

func TestNothingMayBeSentOverUnsent(t *testing.T) {
	r := NewRequest(t, "GET", secretsURL+"/login", "", "")
	want(t, "a request", "sent: GET /login", complaints(t, func(t testing.TB) { Unsent{T: t}.RoundTrip(r) }))
}
