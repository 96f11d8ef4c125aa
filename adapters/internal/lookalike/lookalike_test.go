package lookalike_test

import (
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/lookalike"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// advice is what the error of a driver says of a body.
func advice(driver, body string) string {
	return lookalike.Advise(&pbx.Error{Driver: driver, Message: "unexpected"}, []byte(body)).Message
}

// A driver may not understand a response of its own family either.
func TestADriverIsNotAdvisedToBeItself(t *testing.T) {
	for driver, body := range map[string]string{
		"yeastar-p": `{"errcode":4294967296}`, "yeastar": `{"status":"x"}`, "openvox": `<xml><errno>20003</errno></xml>`,
	} {
		if got := advice(driver, body); got != "unexpected" {
			t.Errorf("%s: %q", driver, got)
		}
	}
}

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
		advice := advice("another", body)
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
		if advice := advice("another", body); advice != "unexpected" {
			t.Errorf("%q: %q", body, advice)
		}
	}
}
