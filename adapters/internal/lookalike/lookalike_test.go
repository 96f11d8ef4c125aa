package lookalike_test

import (
	"strings"
	"testing"

	"github.com/pbxauth/pbx/adapters/internal/lookalike"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestAResponseNamesItsDriver(t *testing.T) {
	for body, driver := range map[string]string{
		`{"errcode":0,"errmsg":"SUCCESS","access_token":"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS"}`: "yeastar-p",
		`{"errcode":-1,"errmsg":"FAILURE"}`:                                                  "yeastar-p",
		`{"errcode":"10004","errmsg":"ACCESS TOKEN EXPIRED"}`:                                "yeastar-p",
		"\ufeff" + `{"errcode":10004,"errmsg":"ACCESS TOKEN EXPIRED"}`:                       "yeastar-p",
		`{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}`:                    "yeastar",
		`{"status":"Failed","errno":"10003"}`:                                                "yeastar",
		`<?xml version="1.0" encoding="utf-8"?><xml><status>Success</status></xml>`:          "openvox",
	} {
		advice := lookalike.Advice([]byte(body))
		if !strings.Contains(advice, "set the driver to "+driver+",") && !strings.HasSuffix(advice, "set the driver to "+driver) {
			t.Errorf("%s: %q, want the driver %s", body, advice, driver)
		}
		if strings.Contains(advice, "48a7d748") || strings.Contains(advice, "EXZMpZAO") {
			t.Errorf("%s is quoted: %q", body, advice)
		}
	}
}

func TestAResponseOfAStrangerNamesNoDriver(t *testing.T) {
	for _, body := range []string{
		"", "null", "{}", "[]", `"errcode"`, `{"errcode":"x"}`, `{"errcode":null}`, `{"errcode":0`,
		`{"status":0}`, `{"status":""}`, `{"code":200,"body":{}}`,
		pbxsim.HTMLPage, "<html><xml/></html>", "<xml", "<!DOCTYPE xml [<!ENTITY a 'b'>]>", "RIFF\x00\x00WAVE",
	} {
		if advice := lookalike.Advice([]byte(body)); advice != "" {
			t.Errorf("%q: %q", body, advice)
		}
	}
}
