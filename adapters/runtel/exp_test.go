package runtel_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/runtel"
)

// assumed is "exp_assumed" in a token's details.
type assumed struct {
	Zone       string            `json:"zone"`
	Life       string            `json:"life"`
	Unsure     bool              `json:"unsure"`
	Candidates map[string]string `json:"candidates"`
}

func TestTheEndOfATokenIsReadWithCaution(t *testing.T) {
	const (
		sample = "2021-09-20T10:14:13.998824"
		date   = "Mon, 20 Sep 2021 06:14:14 GMT"
		prague = `"Europe/Prague"`
		day    = 24 * time.Hour
		jitter = 1176 * time.Microsecond // between the sample's exp and a whole second
	)
	// The zone changed its clocks on these days of 2021: at 02:00 on the 28th of
	// March, to +02:00, and at 03:00 on the 31st of October, back to +01:00.
	const (
		spring = "Sun, 28 Mar 2021 00:00:00 GMT"
		autumn = "Sat, 30 Oct 2021 23:00:00 GMT"
	)
	guessed := func(zone, life string, candidates ...string) assumed {
		a := assumed{Zone: zone, Life: life, Unsure: true, Candidates: map[string]string{}}
		for i := 0; i < len(candidates); i += 2 {
			a.Candidates[candidates[i]] = candidates[i+1]
		}
		return a
	}
	known := func(zone, life string) assumed { return assumed{Zone: zone, Life: life} }
	unsure := func(zone, life string) assumed { return assumed{Zone: zone, Life: life, Unsure: true} }
	ofSample := guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Prague", "2h0m0s", "Europe/Moscow", "1h0m0s")

	tests := []struct {
		name  string
		zone  string        // option exp_zone
		ttl   time.Duration // option token_ttl
		exp   string        // JSON; empty: no such field
		tz    string        // JSON; empty: no such field
		date  string        // empty: no such header
		local time.Duration // by how much this machine's clock is ahead of 06:14:14
		life  time.Duration // 0: no known end
		want  assumed
	}{
		// The zone.
		{name: "unknown", exp: `"` + sample + `"`, tz: prague, date: date, life: time.Hour - jitter, want: ofSample},
		{name: "UTC", zone: "UTC", exp: `"` + sample + `"`, tz: prague, date: date, life: 4*time.Hour - jitter, want: known("UTC", "4h0m0s")},
		{name: "Prague's", zone: "Europe/Prague", exp: `"` + sample + `"`, tz: `"Asia/Omsk"`, date: date, life: 2*time.Hour - jitter, want: known("Europe/Prague", "2h0m0s")},
		{name: "Moscow's", zone: "Europe/Moscow", exp: `"` + sample + `"`, tz: prague, date: date, life: time.Hour - jitter, want: known("Europe/Moscow", "1h0m0s")},
		{name: "the login's", zone: "tz", exp: `"` + sample + `"`, tz: prague, date: date, life: 2*time.Hour - jitter, want: known("Europe/Prague", "2h0m0s")},
		{name: "the login's, which is unknown", zone: "tz", exp: `"` + sample + `"`, tz: `"Europe/Nowhere"`, date: date, life: time.Hour - jitter,
			want: guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Moscow", "1h0m0s")},
		{name: "the login's, which is missing", zone: "tz", exp: `"` + sample + `"`, date: date, life: time.Hour - jitter,
			want: guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Moscow", "1h0m0s")},
		{name: "unknown, and the login's is the earliest", exp: `"2021-09-20T13:14:14"`, tz: `"Asia/Omsk"`, date: date, life: time.Hour,
			want: guessed("Asia/Omsk", "1h0m0s", "UTC", "7h0m0s", "Asia/Omsk", "1h0m0s", "Europe/Moscow", "4h0m0s")},
		{name: "unknown, and over already in Moscow", exp: `"2021-09-20T08:44:14"`, tz: prague, date: date, life: 30 * time.Minute,
			want: guessed("Europe/Prague", "30m0s", "UTC", "2h30m0s", "Europe/Prague", "30m0s", "Europe/Moscow", "-30m0s")},
		{name: "unknown, and over this second in Moscow", exp: `"2021-09-20T09:14:14.5"`, tz: prague, date: date, life: time.Hour + time.Second/2,
			want: guessed("Europe/Prague", "1h0m1s", "UTC", "3h0m1s", "Europe/Prague", "1h0m1s", "Europe/Moscow", "1s")},
		{name: "unknown, and the login's is not IANA's", exp: `"` + sample + `"`, tz: `"+02:00"`, date: date, life: time.Hour - jitter,
			want: guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Moscow", "1h0m0s")},
		{name: "unknown, and the login's is this machine's", exp: `"` + sample + `"`, tz: `"Local"`, date: date, life: time.Hour - jitter,
			want: guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Moscow", "1h0m0s")},
		{name: "unknown, and the login's is null", exp: `"` + sample + `"`, tz: `null`, date: date, life: time.Hour - jitter,
			want: guessed("Europe/Moscow", "1h0m0s", "UTC", "4h0m0s", "Europe/Moscow", "1h0m0s")},

		// token_ttl.
		{name: "the operator's life", ttl: 8 * time.Hour, exp: `"` + sample + `"`, tz: prague, date: date, life: 8 * time.Hour, want: known("", "8h0m0s")},
		{name: "the operator's life over a zone", zone: "UTC", ttl: 8 * time.Hour, exp: `"` + sample + `"`, tz: prague, date: date, life: 8 * time.Hour, want: known("", "8h0m0s")},
		{name: "the operator's life and no exp", ttl: 90 * time.Second, date: date, life: 90 * time.Second, want: known("", "1m30s")},

		// The form.
		{name: "no fraction", zone: "UTC", exp: `"2021-09-20T10:14:14"`, date: date, life: 4 * time.Hour, want: known("UTC", "4h0m0s")},
		{name: "1 digit", zone: "UTC", exp: `"2021-09-20T10:14:14.5"`, date: date, life: 4*time.Hour + 500*time.Millisecond, want: known("UTC", "4h0m1s")},
		{name: "2 digits", zone: "UTC", exp: `"2021-09-20T10:14:14.25"`, date: date, life: 4*time.Hour + 250*time.Millisecond, want: known("UTC", "4h0m0s")},
		{name: "3 digits", zone: "UTC", exp: `"2021-09-20T10:14:14.125"`, date: date, life: 4*time.Hour + 125*time.Millisecond, want: known("UTC", "4h0m0s")},
		{name: "4 digits", zone: "UTC", exp: `"2021-09-20T10:14:14.0625"`, date: date, life: 4*time.Hour + 62500*time.Microsecond, want: known("UTC", "4h0m0s")},
		{name: "5 digits", zone: "UTC", exp: `"2021-09-20T10:14:14.00002"`, date: date, life: 4*time.Hour + 20*time.Microsecond, want: known("UTC", "4h0m0s")},
		{name: "6 digits", zone: "UTC", exp: `"2021-09-20T10:14:14.000001"`, date: date, life: 4*time.Hour + time.Microsecond, want: known("UTC", "4h0m0s")},
		{name: "a blank for the T", zone: "UTC", exp: `"2021-09-20 10:14:14"`, date: date, life: 4 * time.Hour, want: known("UTC", "4h0m0s")},
		{name: "Z", exp: `"2021-09-20T10:14:14Z"`, tz: prague, date: date, life: 4 * time.Hour, want: known("Z", "4h0m0s")},
		{name: "Z after a fraction", exp: `"2021-09-20T10:14:14.5Z"`, tz: prague, date: date, life: 4*time.Hour + 500*time.Millisecond, want: known("Z", "4h0m1s")},
		{name: "an offset", exp: `"2021-09-20T10:14:14+03:00"`, tz: prague, date: date, life: time.Hour, want: known("+03:00", "1h0m0s")},
		{name: "an offset against a zone", zone: "UTC", exp: `"2021-09-20T10:14:14.998824+03:00"`, tz: prague, date: date, life: time.Hour + time.Second - jitter, want: known("+03:00", "1h0m1s")},
		{name: "an offset without a colon", exp: `"2021-09-20 12:44:14+0530"`, date: date, life: time.Hour, want: known("+05:30", "1h0m0s")},
		{name: "an offset west", exp: `"2021-09-20T03:14:14-05:00"`, date: date, life: 2 * time.Hour, want: known("-05:00", "2h0m0s")},
		{name: "Unix seconds", exp: `1632124454`, tz: prague, date: date, life: 100 * time.Minute, want: known("UTC", "1h40m0s")},
		{name: "Unix seconds with a fraction", exp: `1632124454.5`, tz: prague, date: date, life: 100*time.Minute + time.Second/2, want: known("UTC", "1h40m1s")},
		{name: "Unix seconds in a string", exp: `"1632124454"`, tz: prague, date: date, life: 100 * time.Minute, want: known("UTC", "1h40m0s")},
		{name: "missing", tz: prague, date: date, want: unsure("", "")},
		{name: "null", exp: `null`, tz: prague, date: date, want: unsure("", "")},
		{name: "empty", exp: `""`, tz: prague, date: date, want: unsure("", "")},
		{name: "garbage", exp: `"soon"`, tz: prague, date: date, want: unsure("", "")},
		{name: "no such day", exp: `"2021-02-30T10:14:14"`, tz: prague, date: date, want: unsure("", "")},
		{name: "a day without a time", exp: `"2021-09-20"`, tz: prague, date: date, want: unsure("", "")},
		{name: "a sign too many", exp: `"2021-09-20T10:14:14 "`, tz: prague, date: date, want: unsure("", "")},
		{name: "a boolean", exp: `true`, tz: prague, date: date, want: unsure("", "")},
		{name: "an object", exp: `{"at":"2021-09-20T10:14:14"}`, tz: prague, date: date, want: unsure("", "")},
		{name: "not a number", exp: `"NaN"`, tz: prague, date: date, want: unsure("", "")},
		{name: "a number beyond all time", exp: `1e300`, tz: prague, date: date, want: unsure("", "")},
		{name: "a negative number", exp: `-1`, tz: prague, date: date, want: unsure("", "")},

		// The floor of a minute.
		{name: "over in every zone", exp: `"2021-09-20T06:00:00"`, tz: prague, date: date, life: time.Minute,
			want: guessed("", "1m0s", "UTC", "-14m14s", "Europe/Prague", "-2h14m14s", "Europe/Moscow", "-3h14m14s")},
		{name: "over in the known zone", zone: "Europe/Moscow", exp: `"2021-09-20T09:14:13"`, tz: prague, date: date, life: time.Minute, want: unsure("Europe/Moscow", "1m0s")},
		{name: "a second ahead in the known zone", zone: "Europe/Moscow", exp: `"2021-09-20T09:14:15"`, tz: prague, date: date, life: time.Minute, want: unsure("Europe/Moscow", "1m0s")},
		{name: "a minute ahead in the known zone", zone: "Europe/Moscow", exp: `"2021-09-20T09:15:14"`, tz: prague, date: date, life: time.Minute, want: known("Europe/Moscow", "1m0s")},
		{name: "over by its offset", exp: `"2021-09-20T06:14:14+03:00"`, date: date, life: time.Minute, want: unsure("+03:00", "1m0s")},
		{name: "a length of time instead of a time", exp: `14400`, tz: prague, date: date, life: time.Minute, want: unsure("UTC", "1m0s")},

		// Changes of the clocks.
		{name: "an hour before the gap", zone: "Europe/Prague", exp: `"2021-03-28T01:30:00"`, date: spring, life: 30 * time.Minute, want: known("Europe/Prague", "30m0s")},
		{name: "in the gap", zone: "Europe/Prague", exp: `"2021-03-28T02:30:00"`, date: spring, life: 30 * time.Minute, want: known("Europe/Prague", "30m0s")},
		{name: "an hour after the gap", zone: "Europe/Prague", exp: `"2021-03-28T03:30:00"`, date: spring, life: 90 * time.Minute, want: known("Europe/Prague", "1h30m0s")},
		{name: "before the repeated hour", zone: "Europe/Prague", exp: `"2021-10-31T01:30:00"`, date: autumn, life: 30 * time.Minute, want: known("Europe/Prague", "30m0s")},
		{name: "in the repeated hour", zone: "Europe/Prague", exp: `"2021-10-31T02:30:00"`, date: autumn, life: 90 * time.Minute, want: known("Europe/Prague", "1h30m0s")},
		{name: "after the repeated hour", zone: "Europe/Prague", exp: `"2021-10-31T03:30:00"`, date: autumn, life: 210 * time.Minute, want: known("Europe/Prague", "3h30m0s")},
		{name: "a gap west of UTC", zone: "America/New_York", exp: `"2021-03-14T02:30:00"`, date: "Sun, 14 Mar 2021 06:00:00 GMT", life: 30 * time.Minute, want: known("America/New_York", "30m0s")},
		{name: "a repeated hour west of UTC", zone: "America/New_York", exp: `"2021-11-07T01:30:00"`, date: "Sun, 07 Nov 2021 05:00:00 GMT", life: 30 * time.Minute, want: known("America/New_York", "30m0s")},

		// This machine's clock.
		{name: "a day ahead here", exp: `"` + sample + `"`, tz: prague, date: date, local: day, life: time.Hour - jitter, want: ofSample},
		{name: "a day behind here", exp: `"` + sample + `"`, tz: prague, date: date, local: -day, life: time.Hour - jitter, want: ofSample},
		{name: "a day behind here, with an offset", exp: `"2021-09-20T10:14:14+03:00"`, date: date, local: -day, life: time.Hour, want: known("+03:00", "1h0m0s")},
		{name: "no Date", zone: "UTC", exp: `"` + sample + `"`, life: 4*time.Hour - jitter, want: unsure("UTC", "4h0m0s")},
		{name: "a Date that is none", zone: "UTC", exp: `"` + sample + `"`, date: "today", life: 4*time.Hour - jitter, want: unsure("UTC", "4h0m0s")},
		{name: "no Date, and the zone unknown", exp: `"` + sample + `"`, tz: prague, life: time.Hour - jitter, want: ofSample},
		{name: "no Date, and a day ahead here", zone: "UTC", exp: `"` + sample + `"`, local: day, life: time.Minute, want: unsure("UTC", "1m0s")},
		{name: "no Date, and a day behind here", zone: "UTC", exp: `"` + sample + `"`, local: -day, life: 28*time.Hour - jitter, want: unsure("UTC", "28h0m0s")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here := time.Date(2021, 9, 20, 6, 14, 14, 0, time.UTC).Add(tt.local)
				time.Sleep(time.Until(here))

				body := map[string]json.RawMessage{"token": json.RawMessage(`"J...W"`)}
				if tt.exp != "" {
					body["exp"] = json.RawMessage(tt.exp)
				}
				if tt.tz != "" {
					body["tz"] = json.RawMessage(tt.tz)
				}
				text, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				server := &platform{body: answered(string(text)), header: http.Header{"Date": {tt.date}}}
				token, err := open(t, server.at(runtel.Config{ExpZone: tt.zone, TokenTTL: tt.ttl})).Login(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				var end time.Time
				if tt.life != 0 {
					end = here.Add(tt.life)
				}
				if !token.ExpiresAt.Equal(end) {
					t.Errorf("a life of %v, want %v", token.ExpiresAt.Sub(here), tt.life)
				}
				var details struct {
					Assumed assumed `json:"exp_assumed"`
				}
				if err := json.Unmarshal(token.Details, &details); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, details.Assumed); diff != "" {
					t.Errorf("assumed (-want +got):\n%s", diff)
				}
				info, err := runtel.Account(token)
				if err != nil || info.ExpZone != tt.want.Zone || info.ExpUnsure != tt.want.Unsure {
					t.Errorf("the account has zone %q, unsure %v, error %v; want %q, %v", info.ExpZone, info.ExpUnsure, err, tt.want.Zone, tt.want.Unsure)
				}
			})
		})
	}
}

func FuzzExp(f *testing.F) {
	for _, exp := range []string{"2021-09-20T10:14:13.998824", "2021-09-20 10:14:13+03:00", "1632124454.5", "soon", "", "9999-12-31T23:59:59.999999", "0001-01-01T00:00:00"} {
		f.Add(exp, "Europe/Prague", "Mon, 20 Sep 2021 06:14:14 GMT")
	}
	f.Add("2021-03-28T02:30:00", "../../etc/passwd", "")
	f.Fuzz(func(t *testing.T, exp, tz, date string) {
		body, err := json.Marshal(map[string]string{"token": "J...W", "exp": exp, "tz": tz})
		if err != nil {
			t.Fatal(err)
		}
		server := &platform{body: answered(string(body)), header: http.Header{"Date": {date}}}
		token, err := open(t, server.at(runtel.Config{})).Login(t.Context())
		if err != nil {
			t.Fatalf("exp %q fails the login: %v", exp, err)
		}
		if life := token.ExpiresAt.Sub(token.IssuedAt); !token.ExpiresAt.IsZero() && life < time.Minute {
			t.Errorf("exp %q gives a life of %v", exp, life)
		}
		var details struct {
			Assumed assumed `json:"exp_assumed"`
		}
		if err := json.Unmarshal(token.Details, &details); err != nil {
			t.Fatal(err)
		}
		if got := details.Assumed; (got.Life == "") != token.ExpiresAt.IsZero() || (got.Life == "" && !got.Unsure) {
			t.Errorf("exp %q: %s, and yet it assumed %+v", exp, fmt.Sprint(token), got)
		}
	})
}
