package yeastarsim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var (
	series2 = yeastarsim.Options{Family: yeastarsim.SV2}
	cloud1  = yeastarsim.Options{Family: yeastarsim.CloudV1}
	cloud2  = yeastarsim.Options{Family: yeastarsim.CloudV2}
)

func api(d yeastarsim.Options) string {
	if strings.HasSuffix(d.Family, "v2") {
		return "/api/v2.0.0"
	}
	return "/api/v1.1.0"
}

// fieldsOf returns an answer, its tokens replaced by their length.
func fieldsOf(t *testing.T, answer string) map[string]any {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(answer), &fields); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	for _, name := range []string{"token", "refreshtoken"} {
		if value, ok := fields[name].(string); ok {
			fields[name] = len(value)
		}
	}
	return fields
}

func TestWhatALoginReturnsInEachFamily(t *testing.T) {
	tcp, none := series2, cloud2
	tcp.ReportsOverTCP, none.NoRefreshToken = true, true
	tests := []struct {
		dialect yeastarsim.Options
		port    bool
		want    map[string]any
	}{
		{yeastarsim.Options{}, true, map[string]any{"status": "Success", "token": 32}},
		{series2, true, map[string]any{"status": "Success", "token": 32, "transport": "HTTP"}},
		{series2, false, map[string]any{"status": "Failed", "errno": "10004"}}, // of a PBX that reports over HTTP
		{tcp, false, map[string]any{"status": "Success", "token": 32, "transport": "TCP"}},
		{cloud1, true, map[string]any{"status": "Success", "token": 32, "refreshtoken": 32}},
		{cloud1, false, map[string]any{"status": "Failed", "errno": "10004"}},
		{cloud2, false, map[string]any{"status": "Success", "token": 32, "refreshtoken": 32}},
		{none, false, map[string]any{"status": "Success", "token": 32}},
	}
	for _, tt := range tests {
		inMemory(t, tt.dialect, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			body := credentials("api", digest)
			if !tt.port {
				body = strings.Replace(body, `,"port":"8260"`, "", 1)
			}
			got := fieldsOf(t, post(t, s, api(tt.dialect)+"/login", body))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%+v, port %v (-want +got):\n%s", tt.dialect, tt.port, diff)
			}
		})
	}
}

func TestAnotherFamilysPathsAreNotFound(t *testing.T) {
	for _, d := range []yeastarsim.Options{series2, cloud1, cloud2, {Version: "v1.0.0"}} {
		inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			other := map[string]string{"/api/v1.1.0": "/api/v2.0.0", "/api/v2.0.0": "/api/v1.1.0"}[api(d)]
			if d.Version != "" {
				other = "/api/v1.1.0"
			}
			if resp, _ := drivertest.Send(t, s, "POST", other+"/login", credentials("api", digest)); resp.StatusCode != 404 {
				t.Errorf("%+v answers at %s", d, other)
			}
		})
	}
}

func TestARefreshTradesBothValues(t *testing.T) {
	for _, d := range []yeastarsim.Options{cloud1, cloud2} {
		inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			refresh := func(value string) (token, next, answer string) {
				t.Helper()
				answer = post(t, s, api(d)+"/token/refresh", `{"refreshtoken":"`+value+`"}`)
				var pair struct{ Token, RefreshToken string }
				json.Unmarshal([]byte(answer), &pair)
				return pair.Token, pair.RefreshToken, answer
			}
			var first struct{ Token, RefreshToken string }
			json.Unmarshal([]byte(post(t, s, api(d)+"/login", credentials("api", digest))), &first)
			time.Sleep(2 * time.Hour) // the token is dead, what refreshes it is not
			token, next, answer := refresh(first.RefreshToken)
			if token == "" || next == "" || next == first.RefreshToken {
				t.Fatalf("%s: %s", d.Family, answer)
			}
			if got := post(t, s, api(d)+"/deviceinfo/query?token="+token, ""); !strings.HasPrefix(got, `{"status":"Success"`) {
				t.Errorf("%s: the new token: %s", d.Family, got)
			}
			if _, _, got := refresh(first.RefreshToken); got != failed(20004) {
				t.Errorf("%s: the old one again: %s, want %s", d.Family, got, failed(20004))
			}
			if got := post(t, s, api(d)+"/token/refresh", "{}"); got != failed(10004) {
				t.Errorf("%s: nothing: %s, want %s", d.Family, got, failed(10004))
			}
		})
	}
}

func TestTheSeriesHasNoRefreshAndTheCloudV1NoHeartbeat(t *testing.T) {
	for d, path := range map[yeastarsim.Options]string{{}: "/token/refresh", series2: "/token/refresh", cloud1: "/heartbeat"} {
		inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			post(t, s, api(d)+"/login", credentials("api", digest))
			if got := post(t, s, api(d)+path+"?token="+p.Tokens("api")[0], "{}"); got != failed(10003) {
				t.Errorf("%s: %s, want %s", d.Family, got, failed(10003))
			}
		})
	}
}

func TestADeadRefreshTokenMayHaveAnErrnoOfItsOwn(t *testing.T) {
	d := cloud1
	d.RefreshErrno = 29999
	inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		if got := post(t, s, "/api/v1.1.0/token/refresh", `{"refreshtoken":"`+sample+`"}`); got != failed(29999) {
			t.Errorf("%s, want %s", got, failed(29999))
		}
	})
}

func TestOfAPIV2CallsProlongATokenOrNot(t *testing.T) {
	for _, slide := range []bool{false, true} {
		d := series2
		d.CallsSlide = slide
		inMemory(t, d, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			post(t, s, "/api/v2.0.0/login", credentials("api", digest))
			token := p.Tokens("api")[0]
			time.Sleep(20 * time.Minute)
			post(t, s, "/api/v2.0.0/deviceinfo/query?token="+token, "")
			time.Sleep(20 * time.Minute)
			want := map[bool]string{false: failed(20006), true: `{"status":"Success","deviceinfo":`}[slide]
			if got := post(t, s, "/api/v2.0.0/deviceinfo/query?token="+token, ""); !strings.HasPrefix(got, want) {
				t.Errorf("CallsSlide %v: %s, want %s", slide, got, want)
			}
		})
	}
}

// The sample of API v2's heartbeat has it so; its table has a string.
func TestOfAPIV2APortMayBeANumber(t *testing.T) {
	inMemory(t, series2, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		post(t, s, "/api/v2.0.0/login", credentials("api", digest))
		path := "/api/v2.0.0/heartbeat?token=" + p.Tokens("api")[0]
		for body, want := range map[string]string{
			`{"ipaddr":"192.168.6.24","port":8260,"version":"2.0.0"}`:   success,
			`{"ipaddr":"192.168.6.24","port":"8260","version":"2.0.0"}`: success,
			`{"port":82600}`:  failed(20008),
			`{"port":[8260]}`: failed(20000),
			`{"version":2}`:   failed(20000),
		} {
			if got := post(t, s, path, body); got != want {
				t.Errorf("%s: %s, want %s", body, got, want)
			}
		}
	})
}

func TestAFamilyThatIsNoneIsAMistakeOfTheTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	yeastarsim.New(&yeastarsim.Options{Family: "s-v3"}, nil)
}
