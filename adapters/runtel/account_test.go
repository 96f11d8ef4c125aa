package runtel_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
)

func TestAnotherRolesAccountIsReadAsFarAsItGoes(t *testing.T) {
	tests := []struct {
		name, body string
		want       runtel.AccountInfo
	}{
		{"a token and nothing else", `{"token":"J...W"}`, runtel.AccountInfo{}},
		{"nulls", `{"token":"J...W","user_id":null,"user_name":null,"domain_id":null,"domain_name":null,"role_id":null,"role_name":null,"role_type":null,"tz":null,"locale":null,"version":null}`,
			runtel.AccountInfo{}},
		{"numbers in strings", `{"token":"J...W","user_id":"48","domain_id":"34","role_id":"2","role_type":"1"}`,
			runtel.AccountInfo{UserID: 48, DomainID: 34, RoleID: 2, RoleType: 1}},
		{"numbers with a fraction", `{"token":"J...W","user_id":48.0,"domain_id":34.5,"role_id":"2.0"}`,
			runtel.AccountInfo{UserID: 48, RoleID: 2}},
		{"the largest number", `{"token":"J...W","user_id":9223372036854775807,"domain_id":9223372036854775808,"role_id":1e300}`,
			runtel.AccountInfo{UserID: 9223372036854775807}},
		{"numbers for texts", `{"token":"J...W","user_name":7,"user_login":1001,"role_name":2.5,"version":{"software":2.9}}`,
			runtel.AccountInfo{UserName: "7", UserLogin: "1001", RoleName: "2.5", Software: "2.9"}},
		{"texts for numbers", `{"token":"J...W","user_id":"a","role_id":"operator","role_type":""}`, runtel.AccountInfo{}},
		{"objects and lists", `{"token":"J...W","user_id":{},"user_name":[],"domain_id":[1],"tz":{"name":"Europe/Prague"},"locale":true}`, runtel.AccountInfo{}},
		{"a version that is a text", `{"token":"J...W","version":"3.0.1"}`, runtel.AccountInfo{Software: "3.0.1"}},
		{"a version that is a list", `{"token":"J...W","version":["3.0.1"]}`, runtel.AccountInfo{}},
		{"fields that nobody knows", `{"token":"J...W","user_id":1,"x":{"y":[null,1.5,"z"]},"":0}`, runtel.AccountInfo{UserID: 1}},
		{"a field of the driver's own", `{"token":"J...W","exp_assumed":{"zone":"Mars"}}`, runtel.AccountInfo{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &platform{body: answered(tt.body)}
			token, err := open(t, server.at(runtel.Config{})).Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := runtel.Account(token)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.ExpUnsure = true // there is no exp
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestDetailsKeepEveryFieldButTheToken(t *testing.T) {
	server := &platform{body: answered(`{"token":"J...W","TOKEN":"J...W","n":1631889200.532154,"big":123456789012345678901234567890,"s":"<&>","nested":{"copy":"J...W"}}`)}
	token, err := open(t, server.at(runtel.Config{})).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(token.Details, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]json.RawMessage{
		"n":           json.RawMessage(`1631889200.532154`),
		"big":         json.RawMessage(`123456789012345678901234567890`),
		"s":           json.RawMessage(`"<&>"`),
		"nested":      json.RawMessage(`{"copy":"[redacted]"}`),
		"exp_assumed": json.RawMessage(`{"unsure":true}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDetailsKeepWhatWasAssumedWhateverElseIsHidden(t *testing.T) {
	server := &platform{body: answered(`{"token":"48","user_id":48}`)}
	token, err := open(t, server.at(runtel.Config{})).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(token.Details), `{"exp_assumed":{"unsure":true},"user_id":"[redacted]"}`; got != want {
		t.Errorf("details %s, want %s", got, want)
	}
}

func TestATokenWithoutDetailsHasNoAccount(t *testing.T) {
	for _, tt := range []struct {
		token *pbx.Token
		want  error
	}{
		{nil, pbx.ErrNotSupported},
		{&pbx.Token{}, pbx.ErrNotSupported},
		{&pbx.Token{Details: json.RawMessage(`null`)}, pbx.ErrProtocol},
		{&pbx.Token{Details: json.RawMessage(`[]`)}, pbx.ErrProtocol},
		{&pbx.Token{Details: json.RawMessage(`{"user`)}, pbx.ErrProtocol},
	} {
		if got, err := runtel.Account(tt.token); !errors.Is(err, tt.want) || got != (runtel.AccountInfo{}) {
			t.Errorf("%v: %+v, error %v; want %v", tt.token, got, err, tt.want)
		}
	}
}
