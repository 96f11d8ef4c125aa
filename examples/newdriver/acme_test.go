package acme_test

import (
	"net/http"
	"testing"

	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"

	"github.com/pbxauth/pbx/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		Driver:    acme.Name,
		Simulator: acmesim.New,
		Call: func(base string) *http.Request {
			r, _ := http.NewRequest(http.MethodGet, base+"/v1/status", nil)
			return r
		},
	})
}
