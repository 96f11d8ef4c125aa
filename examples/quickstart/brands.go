package main

import (
	"net/http"
	"strings"

	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// brand is what the quickstart has to know of a brand beyond its driver's name.
type brand struct {
	driver   string
	options  map[string]string // of the driver
	ttl      bool              // the driver has to be told the short life: its PBX does not tell
	simulate func(*pbxsim.Options) *pbxsim.PBX
	call     apiCall
}

// apiCall is a call of a brand's API that changes nothing.
type apiCall struct {
	method, path, media, body string
	// forReal is false where nobody documents a harmless call, so that this one
	// is for the simulator only.
	forReal bool
}

const (
	jsonMedia = "application/json; charset=utf-8"
	xmlMedia  = "application/xml; charset=utf-8"
	formMedia = "application/x-www-form-urlencoded"
)

var brands = []brand{
	{"yeastar", map[string]string{"family": "s-v1"}, true, yeastarFamily("s-v1"), apiCall{"POST", "/api/v1.1.0/deviceinfo/query", jsonMedia, "", true}},
	{"yeastar", map[string]string{"family": "s-v2"}, true, yeastarFamily("s-v2"), apiCall{"POST", "/api/v2.0.0/deviceinfo/query", jsonMedia, "", true}},
	{"yeastar", map[string]string{"family": "cloud-v1"}, true, yeastarFamily("cloud-v1"), apiCall{"POST", "/api/v1.1.0/deviceinfo/query", jsonMedia, "", true}},
	{"yeastar", map[string]string{"family": "cloud-v2"}, true, yeastarFamily("cloud-v2"), apiCall{"POST", "/api/v2.0.0/deviceinfo/query", jsonMedia, "", true}},
	{"yeastar-p", nil, false, yeastarpsim.New, apiCall{"GET", "/openapi/v1.0/system/information", jsonMedia, "", true}},
	{"openvox", map[string]string{"format": "json"}, true, openvoxsim.New, apiCall{"POST", "/api/v0.0.1/extension/list", jsonMedia, "{}", false}},
	{"openvox", map[string]string{"format": "xml"}, true, openvoxsim.New, apiCall{"POST", "/api/v0.0.1/extension/list", xmlMedia, "<xml></xml>", false}},
	{"runtel", nil, true, runtelsim.New, apiCall{"POST", "/api/", jsonMedia, `{"action":"get","obj":"User","action_id":"1","params":{}}`, false}},
	{"grandstream", nil, true, grandstreamsim.Settings{}.New, apiCall{"POST", "/api", jsonMedia, `{"request":{"action":"getSystemGeneralStatus"}}`, true}},
	{"asterisk", nil, false, asterisksim.New, apiCall{"POST", "/rawman", formMedia, "Action=ListCommands", true}},
}

func yeastarFamily(name string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return pbxsim.New(yeastarsim.Dialect{Family: name}, o) }
}

// name is the driver's, with its options.
func (b brand) name() string {
	name := b.driver
	for option, value := range b.options {
		name += " " + option + "=" + value
	}
	return name
}

// request makes the harmless call to the PBX at base.
func (c apiCall) request(base string) *http.Request {
	r, err := http.NewRequest(c.method, base+c.path, strings.NewReader(c.body))
	if err != nil {
		panic(err) // base is a URL that a driver has accepted
	}
	r.Header.Set("Content-Type", c.media)
	return r
}
