package openvoxsim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	// The samples' password is 123456.
	inJSON = `{"username":"api","password":"e10adc3949ba59abbe56e057f20f883e","port":"8260","version":"0.0.1","url":"172.16.6.150:8260","urltag":1}`
	inXML  = `<?xml version="1.0" encoding="UTF-8" ?>
<xml>
    <username>api</username>
    <password>e10adc3949ba59abbe56e057f20f883e</password>
    <port>8260</port>
    <version>0.0.1</version>
    <url>172.16.6.150:8260</url>
    <urltag>1</urltag>
</xml>`

	token   = "813b621cfe8eecf445a2ce1f4a079ffe"
	head    = `<?xml version="1.0" encoding="utf-8"?><xml>`
	failedJ = `{"status":"Failed","errno":"20003"}`
)

func inMemory(t *testing.T, d openvoxsim.Options, f func(p *pbxsim.PBX, ask func(path, body string) (header, answer string))) {
	t.Helper()
	opts := pbxsim.Options{Accounts: map[string]string{"api": "123456"}, NewToken: func() string { return token }}
	drivertest.InMemory(t, func() *pbxsim.PBX { return openvoxsim.New(&d, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(p, func(path, body string) (string, string) {
			resp, answer := drivertest.Send(t, s, "POST", path, body)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: HTTP %d", path, resp.StatusCode)
			}
			return resp.Header.Get("Content-Type"), answer
		})
	})
}

func TestTheTypeSaysTheFormatOfBothWays(t *testing.T) {
	for _, tt := range []struct{ path, body, want string }{
		{"/api/v0.0.1/login?type=json", inJSON, `{"status":"Success","token":"` + token + `"}`},
		{"/api/v0.0.1/login?type=xml", inXML, head + `<status>Success</status><token>` + token + `</token></xml>`},
		{"/api/v0.0.1/login?type=json", strings.Replace(inJSON, `"urltag":1`, `"urltag":"1"`, 1), `{"status":"Success","token":"` + token + `"}`},
		{"/api/v0.0.1/login?type=json", strings.Replace(inJSON, "e10", "e11", 1), failedJ},
		{"/api/v0.0.1/login?type=xml", strings.Replace(inXML, "e10", "e11", 1), head + `<status>Failed</status><errno>20003</errno></xml>`},
		{"/api/v0.0.1/login?type=xml", inJSON, head + `<status>Failed</status><errno>20000</errno></xml>`},
		{"/api/v0.0.1/login?type=json", inXML, `{"status":"Failed","errno":"20000"}`},
		{"/api/v0.0.1/login?type=xml", strings.Replace(inXML, "<port>8260</port>", "", 1), head + `<status>Failed</status><errno>10004</errno></xml>`},
		{"/api/v0.0.1/login?type=xml", strings.Replace(inXML, "<port>", "<port>1</port><port>", 1), head + `<status>Failed</status><errno>20000</errno></xml>`},
		{"/api/v0.0.1/login", inJSON, `{"status":"Failed","errno":"10004"}`},
		{"/api/v0.0.1/login?type=JSON", inJSON, `{"status":"Failed","errno":"10004"}`},
	} {
		inMemory(t, openvoxsim.Options{}, func(_ *pbxsim.PBX, ask func(string, string) (string, string)) {
			if _, got := ask(tt.path, tt.body); got != tt.want {
				t.Errorf("%s %s\n got %s\nwant %s", tt.path, tt.body, got, tt.want)
			}
		})
	}
}

func TestHeartbeatAndLogoutHaveNoType(t *testing.T) {
	inMemory(t, openvoxsim.Options{}, func(_ *pbxsim.PBX, ask func(string, string) (string, string)) {
		ask("/api/v0.0.1/login?type=xml", inXML)
		time.Sleep(29 * time.Minute)
		for _, step := range []struct{ path, body, want string }{
			{"/api/v0.0.1/heartbeat?token=" + token, `{"ipaddr":"172.16.6.150","port":"8280","url":"172.16.6.150:8280","urltag":"1"}`, `{"status":"Success"}`},
			{"/api/v0.0.1/heartbeat?token=" + token, `<xml></xml>`, `{"status":"Failed","errno":"20000"}`},
			{"/api/v0.0.1/deviceinfo/query?type=json", "", `{"status":"Failed","errno":"20005"}`},
			{"/api/v0.0.1/extension/query?type=xml&token=" + token, "<xml></xml>", head + `<status>Success</status><extinfos>` +
				`<item id="0"><extnumber>1000</extnumber><status>Registered</status><type>SIP</type><username>Reception</username></item>` +
				`<item id="1"><extnumber>1001</extnumber><status>Unavailable</status><type>SIP</type><username>Sales</username></item></extinfos></xml>`},
			{"/api/v0.0.1/extension/update?type=xml&token=" + token, "", head + `<status>Failed</status><errno>10003</errno></xml>`},
			{"/api/v0.0.1/extension/query?token=" + token, "{}", `{"status":"Failed","errno":"10004"}`},
			{"/api/v0.0.1/logout?token=" + token, "", `{"status":"Success"}`},
			{"/api/v0.0.1/logout?token=" + token, "", `{"status":"Failed","errno":"20004"}`},
		} {
			if _, got := ask(step.path, step.body); got != step.want {
				t.Errorf("%s %s: %s, want %s", step.path, step.body, got, step.want)
			}
		}
	})
}

func TestFieldsWithinFieldsAreElementsWithinElements(t *testing.T) {
	inMemory(t, openvoxsim.Options{}, func(_ *pbxsim.PBX, ask func(string, string) (string, string)) {
		ask("/api/v0.0.1/login?type=xml", inXML)
		_, got := ask("/api/v0.0.1/deviceinfo/query?type=xml&token="+token, "")
		if !strings.HasPrefix(got, head+`<status>Success</status><deviceinfo><devicename>`) || !strings.HasSuffix(got, `</deviceinfo></xml>`) {
			t.Errorf("answered %s", got)
		}
	})
}

func TestResponsesAsTheCarelessSamplesHaveThem(t *testing.T) {
	for _, tt := range []struct {
		dialect        openvoxsim.Options
		header, answer string
	}{
		{openvoxsim.Options{}, "application/json", failedJ},
		{openvoxsim.Options{WrongHeader: true}, "application/xml", failedJ},
		{openvoxsim.Options{RespondsIn: "xml"}, "application/xml", head + `<status>Failed</status><errno>20003</errno></xml>`},
		{openvoxsim.Options{RespondsIn: "xml", WrongHeader: true}, "application/json", head + `<status>Failed</status><errno>20003</errno></xml>`},
		{openvoxsim.Options{Yeastar: yeastarsim.Options{NumericErrno: true}}, "application/json", `{"status":"Failed","errno":20003}`},
		{openvoxsim.Options{Yeastar: yeastarsim.Options{NumericErrno: true}, RespondsIn: "xml"}, "application/xml", head + `<status>Failed</status><errno>20003</errno></xml>`},
		{openvoxsim.Options{Yeastar: yeastarsim.Options{FailingStatus: "Failure"}}, "application/json", `{"status":"Failure","errno":"20003"}`},
		{openvoxsim.Options{Yeastar: yeastarsim.Options{WrongLoginErrno: 30003}}, "application/json", `{"status":"Failed","errno":"30003"}`},
	} {
		inMemory(t, tt.dialect, func(p *pbxsim.PBX, ask func(string, string) (string, string)) {
			header, answer := ask("/api/v0.0.1/login?type=json", strings.Replace(inJSON, "e10", "e11", 1))
			if header != tt.header+"; charset=utf-8" || answer != tt.answer {
				t.Errorf("%+v: %s: %s, want %s: %s", tt.dialect, header, answer, tt.header, tt.answer)
			}
			if n := p.Counts().WrongLogins; n != 1 {
				t.Errorf("%+v: %d wrong logins are counted", tt.dialect, n)
			}
		})
	}
}

func TestTheNumbersAreTheVendors(t *testing.T) {
	want := pbxsim.Defaults{Lifetime: 30 * time.Minute, Sliding: true, Lockout: pbxsim.Lockout{
		After: 5, For: 10 * time.Minute, Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Account,
	}}
	if got := openvoxsim.New(nil, nil).Dialect().Defaults(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
