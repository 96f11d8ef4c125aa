package yeastarp_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// The PBX says how long its tokens live. What it says is believed as far as it
// can be true; otherwise a token lives as documented.
func TestLifetimesAreThoseOfTheResponse(t *testing.T) {
	const (
		halfAnHour = 30 * time.Minute
		day        = 24 * time.Hour
	)
	for _, tt := range []struct {
		access, refresh         string
		wantAccess, wantRefresh time.Duration
	}{
		{`1800`, `86400`, halfAnHour, day},
		{`3`, `60`, 3 * time.Second, time.Minute},
		{`1`, `1`, time.Second, time.Second},
		{`86400`, `2592000`, day, 30 * day},
		{`86401`, `2592001`, halfAnHour, day},
		{`1800000`, `86400000`, halfAnHour, day}, // milliseconds
		{`0`, `0`, halfAnHour, day},
		{`-1`, `-86400`, halfAnHour, day},
		{`9223372036854775807`, `9223372036854775807`, halfAnHour, day},
		{`-9223372036854775808`, `99999999999999999999`, halfAnHour, day},
		{`null`, `null`, halfAnHour, day},
		{`"1800s"`, `"never"`, halfAnHour, day},
		{`1800.5`, `"x"`, halfAnHour, day},
		{`"1800"`, `864e2`, halfAnHour, day},
		{`{}`, `[]`, halfAnHour, day},
		{``, ``, halfAnHour, day},
	} {
		synctest.Test(t, func(t *testing.T) {
			times := ""
			if tt.access != "" {
				times = fmt.Sprintf(`"access_token_expire_time":%s,"refresh_token_expire_time":%s,`, tt.access, tt.refresh)
			}
			driver := on(t, drivertest.Body(`{"errcode":0,`+times+`"access_token":"`+sampleAccess+`","refresh_token":"`+sampleFresh+`"}`))
			login, err := driver.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			refreshed, err := driver.KeepAlive(t.Context(), login)
			if err != nil {
				t.Fatal(err)
			}
			if login.IssuedAt.Add(time.Second) != refreshed.IssuedAt || refreshed.IssuedAt != time.Now() {
				t.Errorf("issued at %s, then at %s", login.IssuedAt, refreshed.IssuedAt)
			}
			for _, token := range []struct {
				access, refresh time.Duration
			}{
				{login.ExpiresAt.Sub(login.IssuedAt), login.RefreshExpiresAt.Sub(login.IssuedAt)},
				{refreshed.ExpiresAt.Sub(refreshed.IssuedAt), refreshed.RefreshExpiresAt.Sub(refreshed.IssuedAt)},
			} {
				if token.access != tt.wantAccess || token.refresh != tt.wantRefresh {
					t.Errorf("%s, %s: the tokens live %s and %s, want %s and %s", tt.access, tt.refresh, token.access, token.refresh, tt.wantAccess, tt.wantRefresh)
				}
			}
		})
	}
}
