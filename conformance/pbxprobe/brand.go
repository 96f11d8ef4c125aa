package main

import (
	"net/http"
	"strings"
)

// brand is what the probe has to know of a driver's brand and cannot ask it.
type brand struct {
	call    *harmless // nil: the vendor documents none that surely is
	port    string    // where its API answers from the factory
	enabled string    // where the API is switched on, in words
}

// harmless is a request that the vendor documents and that changes nothing. The
// token is put into it by the driver.
type harmless struct {
	method, path, contentType, body string
}

var brands = map[string]brand{
	"yeastar": {
		// Device information, in the S-Series' and the Cloud PBX's API guides.
		call:    &harmless{http.MethodPost, "/api/{version}/deviceinfo/query", "application/json; charset=utf-8", ""},
		port:    "8088 (443 in the cloud)",
		enabled: "in its web interface, under Settings, PBX, General, API",
	},
	"yeastar-p": {
		// Query System Information. A GET is not harmless as such here: one
		// deletes tokens.
		call: &harmless{http.MethodGet, "/openapi/v1.0/system/information", "", ""},
		port: "8088 (443 in the cloud)",
	},
	"openvox": {port: "9011"},
	"runtel":  {port: "443"},
	"grandstream": {
		call:    &harmless{http.MethodPost, "/api", "application/json", `{"request":{"action":"getSystemStatus"}}`},
		port:    "8089",
		enabled: "in its web interface, where its users are made",
	},
	"asterisk": {
		// Ping needs no permission at all.
		call:    &harmless{http.MethodPost, "/rawman", "application/x-www-form-urlencoded", "Action=Ping"},
		port:    "8088 for http and 8089 for https",
		enabled: "by enabled=yes and webenabled=yes in manager.conf, and in http.conf",
	},
}

// request makes the call to the PBX at base.
func (h *harmless) request(base string, options map[string]string) (*http.Request, error) {
	version := options["api_version"] // Yeastar's, as family
	switch family := options["family"]; {
	case version != "":
	case family == "s-v2", family == "cloud-v2":
		version = "v2.0.0"
	default:
		version = "v1.1.0"
	}
	r, err := http.NewRequest(h.method, base+strings.Replace(h.path, "{version}", version, 1), strings.NewReader(h.body))
	if err != nil {
		return nil, err
	}
	if h.contentType != "" {
		r.Header.Set("Content-Type", h.contentType)
	}
	return r, nil
}
