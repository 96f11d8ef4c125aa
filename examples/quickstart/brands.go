package main

import (
	"bytes"
	"net/http"

	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// brand is what the quickstart has to know of a brand beyond its driver's name.
type brand struct {
	driver   string
	options  map[string]string // to be given to the simulated PBX's driver
	simulate func(*pbxsim.Options) *pbxsim.PBX

	// A harmless call of the brand's API, which changes nothing.
	path, body string
	// documented is false where the vendor documents no such call, so that it
	// is made up and for the simulator only.
	documented bool
}

var brands = []brand{
	{
		driver:   "yeastar",
		options:  map[string]string{"token_ttl": tokenLife.String()},
		simulate: yeastarsim.New,
		path:     "/api/v1.1.0/deviceinfo/query", documented: true,
	},
	{
		driver:   "runtel",
		options:  map[string]string{"token_ttl": tokenLife.String()},
		simulate: runtelsim.New,
		path:     "/api/", body: `{"action":"get","obj":"User","action_id":"1","params":{}}`,
	},
}

// request makes the brand's harmless call to the PBX at base.
func (b brand) request(base string) *http.Request {
	r, err := http.NewRequest(http.MethodPost, base+b.path, bytes.NewReader([]byte(b.body)))
	if err != nil {
		panic(err) // base is a URL that a driver has accepted
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return r
}
