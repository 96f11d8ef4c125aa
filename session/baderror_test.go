package session_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// panickingError is an error that cannot be used.
type panickingError struct{}

func (panickingError) Error() string { panic("no text") }

// badErrors are mistakes in drivers: the first is a *pbx.Error variable that was never
// set.
var badErrors = map[string]error{"a nil pointer": (*pbx.Error)(nil), "one without a text": panickingError{}}

func TestAnErrorThatPanicsIsAFailureOfItsDriver(t *testing.T) {
	for name, bad := range badErrors {
		t.Run(name, func(t *testing.T) {
			during(t, &fake{login: func(context.Context) (*pbx.Token, error) { return nil, bad }}, func(t *testing.T, s *session.Session) {
				time.Sleep(500 * time.Millisecond)
				wantState(t, s, session.Unavailable)
				wantKind(t, s.Status().Err, pbx.ErrUnavailable)
				_ = s.Status().String()
			})
		})
	}
}

// misjudging is a driver whose part in requests returns such errors.
type misjudging struct {
	*fake
	authorize, inspect error
}

func (m misjudging) Authorize(*http.Request, *pbx.Token) error        { return m.authorize }
func (m misjudging) Inspect(*http.Response, []byte, *pbx.Token) error { return m.inspect }

func TestAnErrorThatPanicsInARequestIsContained(t *testing.T) {
	for name, bad := range badErrors {
		for _, auth := range []misjudging{{authorize: bad}, {inspect: bad}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					auth.fake = &fake{traits: onHost("pbx.test")}
					s, end := on(&session.Guard{}, auth)
					defer end()
					r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
					resp, err := s.Do(r)
					wantKind(t, err, pbx.ErrUnavailable)
					if resp != nil {
						resp.Body.Close()
					}
				})
			})
		}
	}
}
