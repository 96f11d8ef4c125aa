// Package simulators lists the simulated PBXs of all brands that have a driver in
// this module, by the driver's name. Tests, examples and tools that take any
// brand find here what they have to know of each:
//
//	brand := simulators.Of("yeastar")[0]
//	server := pbxsim.ListenMemory(brand.New(&pbxsim.Options{Accounts: map[string]string{"api": "secret"}}))
//	defer server.Close()
//	auth, err := pbx.Open(brand.Driver, pbx.Config{
//		URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
//		Options: brand.Options, Transport: server.Client().Transport,
//	})
//	…
//	resp, err := s.Do(brand.Harmless.At(server.URL)) // s is the session of auth
package simulators

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/starface/starfacesim"
	"github.com/pbxauth/pbx/adapters/threecx/threecxsim"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A Simulator is one simulated PBX as its vendor documents it.
type Simulator struct {
	// Driver is the name of the driver for it.
	Driver string

	// Variant distinguishes the PBXs of one driver: a family, a format. It is empty
	// where there is only one.
	Variant string

	// Options are the driver's own options for this variant.
	Options map[string]string

	// New returns a new PBX. The options may be nil.
	New func(*pbxsim.Options) *pbxsim.PBX

	// Harmless is a request that changes nothing and that every account may make.
	Harmless Request

	// Extensions lists the extensions, of which the simulators have two. A PBX
	// may refuse it to an account without permission.
	Extensions Request
}

// Name is the driver's name, with the variant behind a hyphen.
func (s Simulator) Name() string {
	if s.Variant == "" {
		return s.Driver
	}
	return s.Driver + "-" + s.Variant
}

// A Request is one that a driver has to put a token into.
type Request struct {
	Method, Path, ContentType, Body string
}

// At returns the request to the PBX at a base URL, without a token. Its body can
// be sent again.
func (r Request) At(base string) *http.Request {
	req, err := http.NewRequest(r.Method, base+r.Path, strings.NewReader(r.Body))
	if err != nil {
		panic("simulators: " + err.Error()) // base is no URL
	}
	if r.ContentType != "" {
		req.Header.Set("Content-Type", r.ContentType)
	}
	return req
}

const (
	jsonType = "application/json; charset=utf-8"
	xmlType  = "application/xml; charset=utf-8"
	formType = "application/x-www-form-urlencoded"
)

var all = []Simulator{
	{
		Driver:     "3cx",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return threecxsim.New(nil, o) },
		Harmless:   Request{http.MethodGet, "/xapi/v1/SystemStatus", "", ""},
		Extensions: Request{http.MethodGet, "/xapi/v1/Users", "", ""},
	},
	{
		Driver: "asterisk",
		New: func(o *pbxsim.Options) *pbxsim.PBX {
			return asterisksim.New(&asterisksim.Options{SystemPermission: true}, o)
		},
		Harmless:   Request{http.MethodPost, "/rawman", formType, "Action=ListCommands"},
		Extensions: Request{http.MethodPost, "/rawman", formType, "Action=PJSIPShowEndpoints"},
	},
	{
		Driver:     "freepbx",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return freepbxsim.New(nil, o) },
		Harmless:   Request{http.MethodPost, "/admin/api/api/gql", jsonType, `{"query":"{__typename}"}`},
		Extensions: Request{http.MethodPost, "/admin/api/api/gql", jsonType, `{"query":"{fetchAllExtensions{status totalCount extension{extensionId user{name}}}}"}`},
	},
	{
		Driver:     "grandstream",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return grandstreamsim.New(nil, o) },
		Harmless:   Request{http.MethodPost, "/api", jsonType, `{"request":{"action":"getSystemGeneralStatus"}}`},
		Extensions: Request{http.MethodPost, "/api", jsonType, `{"request":{"action":"listAccount","options":"extension,account_type,fullname,status,addr"}}`},
	},
	{
		Driver:     "mikopbx",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return mikopbxsim.New(nil, o) },
		Harmless:   Request{http.MethodGet, "/pbxcore/api/v3/extensions?limit=1", "", ""},
		Extensions: Request{http.MethodGet, "/pbxcore/api/v3/extensions", "", ""},
	},
	openvox("json", jsonType, "{}"),
	openvox("xml", xmlType, "<xml></xml>"),
	{
		Driver:     "runtel",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return runtelsim.New(nil, o) },
		Harmless:   Request{http.MethodPost, "/api/", jsonType, `{"action":"get","obj":"User","action_id":"1","params":{}}`},
		Extensions: Request{http.MethodPost, "/api/", jsonType, `{"action":"list","obj":"DomainUser","action_id":"1","params":{}}`},
	},
	{
		Driver:     "starface",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return starfacesim.New(nil, o) },
		Harmless:   Request{http.MethodGet, "/rest/users/me", "", ""},
		Extensions: Request{http.MethodGet, "/rest/users", "", ""},
	},
	{
		Driver:   "uis",
		New:      func(o *pbxsim.Options) *pbxsim.PBX { return uissim.New(nil, o) },
		Harmless: Request{http.MethodPost, "/v4.0", jsonType, `{"jsonrpc":"2.0","id":1,"method":"list.talk_options","params":{}}`},
		// The Call API has no list of extensions: these are on the phone.
		Extensions: Request{http.MethodPost, "/v4.0", jsonType, `{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{}}`},
	},
	{
		Driver:     "wazo",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return wazosim.New(nil, o) },
		Harmless:   Request{http.MethodGet, "/api/auth/0.1/users/me/tokens", "", ""},
		Extensions: Request{http.MethodGet, "/api/confd/1.1/extensions", "", ""},
	},
	yeastar(yeastarsim.SV1, "v1.1.0", "extensionlist/query"),
	yeastar(yeastarsim.SV2, "v2.0.0", "extension/list"),
	yeastar(yeastarsim.CloudV1, "v1.1.0", "extensionlist/query"),
	yeastar(yeastarsim.CloudV2, "v2.0.0", "extension/list"),
	{
		Driver:     "yeastar-p",
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return yeastarpsim.New(nil, o) },
		Harmless:   Request{http.MethodGet, "/openapi/v1.0/system/information", "", ""},
		Extensions: Request{http.MethodGet, "/openapi/v1.0/extension/list?page=1&page_size=20", "", ""},
	},
}

func yeastar(family, version, extensions string) Simulator {
	return Simulator{
		Driver:  "yeastar",
		Variant: family,
		Options: map[string]string{"family": family},
		New: func(o *pbxsim.Options) *pbxsim.PBX {
			return yeastarsim.New(&yeastarsim.Options{Family: family}, o)
		},
		Harmless:   Request{http.MethodPost, "/api/" + version + "/deviceinfo/query", jsonType, "{}"},
		Extensions: Request{http.MethodPost, "/api/" + version + "/" + extensions, jsonType, "{}"},
	}
}

func openvox(format, contentType, nothing string) Simulator {
	return Simulator{
		Driver:     "openvox",
		Variant:    format,
		Options:    map[string]string{"format": format},
		New:        func(o *pbxsim.Options) *pbxsim.PBX { return openvoxsim.New(nil, o) },
		Harmless:   Request{http.MethodPost, "/api/v0.0.1/extension/query", contentType, nothing},
		Extensions: Request{http.MethodPost, "/api/v0.0.1/extension/query", contentType, nothing},
	}
}

// All returns all simulators, ordered by name.
func All() []Simulator {
	list := slices.Clone(all)
	for i := range list {
		list[i].Options = maps.Clone(list[i].Options)
	}
	return list
}

// Of returns the simulators for a driver. The first is the PBX that the driver
// expects without options. It returns none for an unknown driver.
func Of(driver string) []Simulator {
	return slices.DeleteFunc(All(), func(s Simulator) bool { return s.Driver != driver })
}
