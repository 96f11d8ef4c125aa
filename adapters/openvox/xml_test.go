package openvox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const declaration = `<?xml version="1.0" encoding="utf-8"?>`

// The vendor's samples have XML under a JSON header, and a JSON call answered in
// XML: the first byte is what counts.
func TestAResponseIsReadByItsFirstByte(t *testing.T) {
	for _, asked := range formats {
		for _, d := range []openvoxsim.Options{{}, {WrongHeader: true}, {RespondsIn: "json"}, {RespondsIn: "xml"}, {RespondsIn: "xml", WrongHeader: true}} {
			format := func(c *openvox.Config) { c.Format = asked }
			simulate(t, d, format, func(t *testing.T, s simulation) {
				token := s.Login(t)
				if _, err := s.Driver.KeepAlive(t.Context(), token); err != nil {
					t.Error(err)
				}
				if err := request(t, s, token); err != nil {
					t.Error(err)
				}
				if err := s.Driver.Logout(t.Context(), token); err != nil {
					t.Error(err)
				}
				if err := request(t, s, token); failure(t, err).Kind != pbx.ErrTokenRejected {
					t.Errorf("%+v, %s: a call with a dead token: %v", d, asked, err)
				}
				s.SetPassword(sampleUser, "another")
				if _, err := s.Driver.Login(t.Context()); failure(t, err).Kind != pbx.ErrInvalidCredentials {
					t.Errorf("%+v, %s: a wrong login: %v", d, asked, err)
				}
			})
		}
	}
}

func TestASuccessInXML(t *testing.T) {
	const token = `<token>` + sampleToken + `</token>`
	for _, body := range []string{
		declaration + `<xml><status>Success</status>` + token + `</xml>`,
		`<xml><status>Success</status>` + token + `</xml>`,
		" \r\n\t" + `<xml>` + token + `<status>Success</status></xml>` + "\n",
		"<xml>\n    <status>Success</status>\n    " + token + "\n</xml>",
		`<xml><!-- a comment --><status>Suc<!-- and another -->cess</status>` + token + `</xml>`,
		`<xml><status><![CDATA[Success]]></status>` + token + `</xml>`,
		`<xml><status>&#83;uccess</status>` + token + `</xml>`,
		`<xml id="1"><status lang="en">Success</status>` + token + `</xml>`,
		`<xml><status>Success</status>` + token + `<list><item id="0"><status>Failed</status><errno>20004</errno></item></list></xml>`,
		`<xml><status>Success</status>` + token + `<errno></errno></xml>`,
	} {
		for _, format := range formats {
			got, err := on(t, format, drivertest.Body(body)).Login(t.Context())
			if err != nil || got.Value.Reveal() != sampleToken {
				t.Errorf("%s: %v, %v", body, got, err)
			}
		}
	}
}

func TestAFailureInXML(t *testing.T) {
	for errno, want := range map[string]error{
		"20002": pbx.ErrLocked, "20003": pbx.ErrInvalidCredentials, "20006": pbx.ErrTokenRejected,
		"20015": pbx.ErrForbidden, "30003": pbx.ErrUnavailable, "10004": pbx.ErrProtocol, "10025": pbx.ErrUnavailable, "10032": nil, "12345": nil,
	} {
		for _, word := range []string{"Failed", "Failure"} {
			body := declaration + `<xml><status>` + word + `</status><errno>` + errno + `</errno></xml>`
			for op, err := range operations(t, body) {
				want := want
				if want == pbx.ErrInvalidCredentials && op != pbx.OpLogin {
					want = pbx.ErrTokenRejected // the login that follows judges the password
				}
				if op == pbx.OpLogout && want == pbx.ErrTokenRejected {
					if err != nil {
						t.Errorf("%s: logout of a dead token: %v", body, err)
					}
					continue
				}
				if got := failure(t, err); got.Kind != want || got.Code != errno {
					t.Errorf("%s: %s: %v, want %v with the code %s", body, op, err, want, errno)
				}
			}
		}
	}
	for _, errno := range []string{"busy", " 20003", "20003.5", sampleToken, "20003<b/>", "&lt;20003"} {
		body := `<xml><status>Failed</status><errno>` + errno + `</errno></xml>`
		for op, err := range operations(t, body) {
			if got := failure(t, err); got.Kind != nil || got.Code != "" {
				t.Errorf("%s: %s: %v, want neither kind nor code", body, op, err)
			}
		}
	}
}

// nested is XML with elements in elements.
func nested(depth int) string {
	return `<xml><status>Success</status><token>x</token>` + strings.Repeat("<a>", depth) + strings.Repeat("</a>", depth) + `</xml>`
}

func TestXMLThatPlaysTricksIsNoResponse(t *testing.T) {
	billion := `<!DOCTYPE xml [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>`
	for name, body := range map[string]string{
		"entities that grow":       billion + `<xml><status>Success</status><token>&c;</token></xml>`,
		"an entity from outside":   `<!DOCTYPE xml [<!ENTITY x SYSTEM "file:///etc/passwd">]><xml><status>Success</status><token>&x;</token></xml>`,
		"a document type":          `<!DOCTYPE xml><xml><status>Success</status><token>x</token></xml>`,
		"one further in":           `<xml><!DOCTYPE xml><status>Success</status><token>x</token></xml>`,
		"an unknown entity":        `<xml><status>Success</status><token>&nbsp;</token></xml>`,
		"deep nesting":             nested(100_000),
		"nesting just too deep":    nested(32),
		"another instruction":      `<?xml-stylesheet href="x"?><xml><status>Success</status><token>x</token></xml>`,
		"a declaration inside":     `<xml><?xml version="1.0"?><status>Success</status><token>x</token></xml>`,
		"two statuses":             `<xml><status>Failed</status><status>Success</status><token>x</token></xml>`,
		"two tokens":               `<xml><status>Success</status><token>x</token><token>y</token></xml>`,
		"two documents":            `<xml><status>Success</status><token>x</token></xml><xml></xml>`,
		"text after it":            `<xml><status>Success</status><token>x</token></xml>Success`,
		"text before it":           `<?xml version="1.0"?>x<xml><status>Success</status><token>x</token></xml>`,
		"text between":             `<xml>Success<status>Success</status><token>x</token></xml>`,
		"another root":             `<html><status>Success</status><token>x</token></html>`,
		"root of a stranger":       `<a:xml xmlns:a="urn:a"><status>Success</status><token>x</token></a:xml>`,
		"status of a stranger":     `<xml xmlns:a="urn:a"><a:status>Success</a:status><token>x</token></xml>`,
		"status in an element":     `<xml><a><status>Success</status><token>x</token></a></xml>`,
		"status in a list":         `<xml><status><item>Success</item></status><token>x</token></xml>`,
		"status before an element": `<xml><status>Success<b/></status><token>x</token></xml>`,
		"status after an element":  `<xml><status><b/>Success</status><token>x</token></xml>`,
		"status as an attribute":   `<xml status="Success" token="x"></xml>`,
		"other letters":            `<XML><status>Success</status><token>x</token></XML>`,
		"not closed":               `<xml><status>Success</status><token>x</token>`,
		"closed wrongly":           `<xml><status>Success</token><token>x</status></xml>`,
		"another encoding":         `<?xml version="1.0" encoding="gb2312"?><xml><status>Success</status><token>x</token></xml>`,
		"no UTF-8":                 "<xml><status>Success</status><token>\xff</token></xml>",
		"a control character":      "<xml><status>Success</status><token>\x01</token></xml>",
		"nothing inside":           `<xml></xml>`,
		"a web page":               pbxsim.HTMLPage,
	} {
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest {
				if err != nil {
					t.Errorf("%s: Inspect: %v, want nothing said", name, err)
				}
				continue
			}
			if !errors.Is(err, pbx.ErrProtocol) {
				t.Errorf("%s: %s: %v, want %v", name, op, err, pbx.ErrProtocol)
			}
		}
	}
	if _, err := on(t, openvox.XML, drivertest.Body(nested(31))).Login(t.Context()); err != nil {
		t.Errorf("elements 32 deep: %v", err)
	}
}

func TestTheBeginningOfALongResponseSaysNothing(t *testing.T) {
	var long strings.Builder
	long.WriteString(declaration + `<xml><status>Failed</status><errno>20004</errno><list>`)
	for i := range 5000 {
		fmt.Fprintf(&long, `<item id="%d"><number>%d</number></item>`, i, 1000+i)
	}
	if err := inspect(on(t, openvox.XML, drivertest.Unsent{T: t}), long.String()[:64<<10]); err != nil {
		t.Error(err)
	}
	long.WriteString("</list></xml>")
	if err := inspect(on(t, openvox.XML, drivertest.Unsent{T: t}), long.String()); failure(t, err).Kind != pbx.ErrTokenRejected {
		t.Errorf("the whole of it: %v, want %v", err, pbx.ErrTokenRejected)
	}
}

// XML cannot carry a control character, be it escaped: the name would arrive as
// another one, and be a wrong login.
func TestAUserNameThatTheFormatCannotCarryIsNotSent(t *testing.T) {
	for name, inXML := range map[string]bool{`o"brien <&> 'x' ]]>`: true, "a\ttab": true, "bell\a": false, "\uFFFF": false} {
		for _, format := range formats {
			cfg := config(drivertest.Unsent{T: t})
			if format == openvox.JSON || inXML {
				simulate(t, openvoxsim.Options{}, func(c *openvox.Config) { c.Format, c.Username = format, name }, func(t *testing.T, s simulation) {
					s.SetPassword(name, samplePassword)
					s.Login(t)
				})
				continue
			}
			open := func(c pbx.Config) (pbx.Authenticator, error) {
				return openvox.New(openvox.Config{Config: c, Format: format})
			}
			drivertest.Impossible(t, openvox.Name, open, cfg.Config, pbx.Credentials{Username: name, Password: cfg.Password}, "Username", "control characters")
		}
	}
}

func TestAResponseOfAnotherFamilyNamesTheDriverThatFits(t *testing.T) {
	for op, err := range operations(t, `{"errcode":-1,"errmsg":"FAILURE"}`) {
		if op == pbx.OpRequest { // the application's own answer may be anything
			if err != nil {
				t.Errorf("Inspect: %v", err)
			}
			continue
		}
		if got := failure(t, err); got.Kind != pbx.ErrProtocol || !strings.HasSuffix(got.Message, "set the driver to yeastar-p") {
			t.Errorf("%s: %v, want the driver yeastar-p", op, err)
		}
	}
}
