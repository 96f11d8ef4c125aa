package runtel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
)

func TestClassifySeesTheResponse(t *testing.T) {
	body := `{"action_id":"{id}","code":418,"notifies":[{"text":"wrong ` + password + `"},["two"]]}`
	server := &platform{status: 409, body: body}
	var got []runtel.Failure
	p := open(t, server.at(runtel.Config{Classify: func(a runtel.Failure) error { got = append(got, a); return nil }}))
	token := &pbx.Token{Value: pbx.NewSecret("J...W")}
	p.Login(t.Context())
	p.Logout(t.Context(), token)
	inspect(response(t, p, server, token))(p)
	server.body = nginx
	p.Login(t.Context())

	want := []runtel.Failure{
		{Op: pbx.OpLogin, HTTPStatus: 409, Code: "418", Notices: []string{pbx.Redacted, "two"}},
		{Op: pbx.OpLogout, HTTPStatus: 409, Code: "418", Notices: []string{pbx.Redacted, "two"}},
		{Op: pbx.OpRequest, HTTPStatus: 409, Code: "418", Notices: []string{pbx.Redacted, "two"}},
		{Op: pbx.OpLogin, HTTPStatus: 409},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestClassifyIsNotAskedAboutASuccess(t *testing.T) {
	server := &platform{body: answered(`{"token":"J...W"}`)}
	p := open(t, server.at(runtel.Config{Classify: func(a runtel.Failure) error {
		t.Errorf("asked about %+v", a)
		return pbx.ErrUnavailable
	}}))
	token, err := p.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := inspect(response(t, p, server, token))(p); err != nil {
		t.Error(err)
	}
	if err := p.Logout(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestClassifyHasTheLastWordOnTheKind(t *testing.T) {
	const unheeded = "ignored"
	tests := []struct {
		name     string
		body     string // an answer's, under HTTP 200
		classify func(runtel.Failure) error
		login    error
		call     error
		says     string
	}{
		{"nothing", `{"code":401}`, func(runtel.Failure) error { return nil }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "wrong login or password"},
		{"a kind for an unknown code", `{"code":1001}`, func(runtel.Failure) error { return pbx.ErrTooManySessions }, pbx.ErrTooManySessions, pbx.ErrTooManySessions, "code 1001"},
		{"another kind", `{"code":401,"notifies":["later"]}`, func(runtel.Failure) error { return pbx.ErrUnavailable }, pbx.ErrUnavailable, pbx.ErrUnavailable, "unavailable: the PBX says: later"},
		{"a kind for a page", nginx, func(runtel.Failure) error { return pbx.ErrUnavailable }, pbx.ErrUnavailable, nil, "unavailable"},
		{"a kind for a login without a token", `{"action_id":"{id}","code":200}`, func(runtel.Failure) error { return pbx.ErrInvalidCredentials }, pbx.ErrInvalidCredentials, nil, "invalid credentials"},
		{"a refused token", `{"code":1001}`, func(runtel.Failure) error { return pbx.ErrTokenRejected }, nil, pbx.ErrTokenRejected, unheeded},
		{"not supported", `{"code":401}`, func(runtel.Failure) error { return pbx.ErrNotSupported }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, unheeded},
		{"an error of its own", `{"code":401}`, func(runtel.Failure) error { return errors.New("canary") }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, unheeded},
		{"a kind, wrapped", `{"code":401}`, func(runtel.Failure) error { return fmt.Errorf("canary: %w", pbx.ErrUnavailable) }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, unheeded},
		{"a nil pointer", `{"code":401}`, func(runtel.Failure) error { return (*pbx.Error)(nil) }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, unheeded},
		{"an error that cannot be compared", `{"code":401}`, func(runtel.Failure) error { return list{"canary"} }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, unheeded},
		{"a panic", `{"code":401}`, func(runtel.Failure) error { panic("canary") }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "Classify panicked"},
		{"a panic with nil", `{"code":1001}`, func(runtel.Failure) error { panic(nil) }, nil, nil, "Classify panicked"},
		{"changing what it is given", `{"code":401,"notifies":["no"]}`, func(a runtel.Failure) error { a.Notices[0] = "canary"; return nil }, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "the PBX says: no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := &platform{body: tt.body}
			p := open(t, server.at(runtel.Config{Classify: tt.classify}))
			_, err := p.Login(t.Context())
			login := failure(t, err)
			if login.Kind != tt.login || !strings.Contains(login.Error(), tt.says) || strings.Contains(login.Error(), "canary") {
				t.Errorf("login: %v, want %v and %q", login, tt.login, tt.says)
			}
			var kind error
			if call := inspect(response(t, p, server, &pbx.Token{Value: pbx.NewSecret("J...W")}))(p); call != nil {
				kind = failure(t, call).Kind
			}
			if kind != tt.call {
				t.Errorf("call: %v, want %v", kind, tt.call)
			}
		})
	}
}

// list is an error that == panics on.
type list []string

func (l list) Error() string { return strings.Join(l, "") }

func TestALogoutIsDoneWhereClassifySaysTheTokenIsGone(t *testing.T) {
	server := &platform{body: `{"code":1001}`}
	token := &pbx.Token{Value: pbx.NewSecret("J...W")}
	if err := open(t, server.at(runtel.Config{})).Logout(t.Context(), token); err == nil {
		t.Error("without Classify: no error")
	}
	p := open(t, server.at(runtel.Config{Classify: func(runtel.Failure) error { return pbx.ErrTokenRejected }}))
	if err := p.Logout(t.Context(), token); err != nil {
		t.Error(err)
	}
}
