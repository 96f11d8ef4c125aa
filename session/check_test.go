package session_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// checksHang is a driver whose connections ignore the context of a request.
type checksHang struct {
	*fake
	open    atomic.Int32
	release chan struct{}
}

func (h *checksHang) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		h.open.Add(1)
		<-h.release
		return answer(r, http.StatusNotFound, ""), nil
	})
}

func TestOneCheckThatHangsIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &checksHang{fake: &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrUnavailable, false)}, release: make(chan struct{})}
		s, end := on(&session.Guard{}, d)
		defer end()
		time.Sleep(time.Hour)
		if open := d.open.Load(); open != 1 {
			t.Errorf("%d checks hang", open)
		}
		d.set(func() { d.login = nil })
		close(d.release)
		time.Sleep(2 * time.Minute)
		wantState(t, s, session.Live)
	})
}

func TestOnlyTheStatusOfThoseWhoWaitForAResponseNamesTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		rejected, end := on(guard, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)})
		defer end()
		time.Sleep(10 * time.Second)
		waiting, end := on(guard, &fake{traits: onHost("pbx.test"), down: true})
		defer end()
		time.Sleep(10 * time.Second)
		if status := waiting.Status(); status.Check.IsZero() {
			t.Error(status)
		}
		if status := rejected.Status(); !status.Check.IsZero() {
			t.Error(status)
		}
	})
}

func TestASessionThatComesAfterAFailedCheckIsUnavailableThoughAnotherChecksNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := &session.Guard{}
		_, end := on(guard, &fake{traits: onHost("pbx.test"), login: fails(pbx.ErrInvalidCredentials, true)}) // uses a place
		defer end()
		for range 2 { // each checks after the other has failed
			time.Sleep(10 * time.Second)
			_, end := on(guard, &fake{traits: onHost("pbx.test"), down: true})
			defer end()
		}
		time.Sleep(10 * time.Second)
		s, end := on(guard, &fake{traits: onHost("pbx.test"), down: true})
		defer end()
		time.Sleep(10 * time.Millisecond)
		if status := s.Status(); status.State != session.Unavailable || status.Err == nil {
			t.Error(status)
		}
	})
}
