package grandstream_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
)

// FuzzAnswer reads any bytes as the answer to each operation. Either there is
// proof of success, or an error that is safe to show.
func FuzzAnswer(f *testing.F) {
	drivertest.EachSample(f, func(_ int, _ http.Header, body string) {
		f.Add(body)
	})
	f.Fuzz(func(t *testing.T, body string) {
		// A second reading, by other means, of what the driver must find.
		var outer struct{ Status, Response any }
		trimmed := drivertest.Trimmed(body)
		decoder := json.NewDecoder(strings.NewReader(trimmed))
		decoder.UseNumber()
		if decoder.Decode(&outer) != nil || !json.Valid([]byte(trimmed)) {
			outer.Status, outer.Response = nil, nil
		}
		number := ""
		switch s := outer.Status.(type) {
		case string:
			number = s
		case json.Number:
			number = s.String()
		}
		f, err := strconv.ParseFloat(number, 64)
		if err == nil && (f != math.Trunc(f) || math.Abs(f) > math.MaxInt32 && f != math.MinInt32) {
			err = strconv.ErrRange
		}
		status := int64(f)
		succeeded := err == nil && status == 0
		text := ""
		if fields, ok := outer.Response.(map[string]any); ok {
			for name, value := range fields {
				if s, ok := value.(string); ok && strings.EqualFold(name, "cookie") && s != "" {
					text = s
				}
			}
		}

		given := &pbx.Token{Value: pbx.NewSecret(cookie)}
		token, loginErr := on(t, drivertest.Bodies(challenged, body)).Login(t.Context())
		if (token == nil) == (loginErr == nil) || loginErr == nil && (!succeeded || text == "") {
			t.Errorf("Login: %v, %v", token, loginErr)
		}
		safe(t, loginErr)
		token, keepErr := on(t, drivertest.Bodies(body)).KeepAlive(t.Context(), given)
		if (token == nil) == (keepErr == nil) || (keepErr == nil) != succeeded {
			t.Errorf("KeepAlive: %v, %v", token, keepErr)
		}
		safe(t, keepErr)
		logoutErr := on(t, drivertest.Bodies(body)).Logout(t.Context(), given)
		if (logoutErr == nil) != (err == nil) {
			t.Errorf("Logout: %v", logoutErr)
		}
		safe(t, logoutErr)
		inspectErr := inspect(on(t, drivertest.Unsent{T: t}), 200, body)
		if (inspectErr != nil) != (err == nil && status < 0) {
			t.Errorf("Inspect: %v", inspectErr)
		}
		safe(t, inspectErr)
	})
}

func safe(t *testing.T, err error, secrets ...string) {
	t.Helper()
	drivertest.SafeNumber(t, grandstream.Name, err, secrets...)
}

// FuzzBody puts a cookie into any body. Either it is an error, or the body means
// what it meant before, with that cookie.
func FuzzBody(f *testing.F) {
	f.Add(`{"request":{"action":"listAccount","id":12345678901234567890}}`)
	f.Fuzz(func(t *testing.T, body string) {
		r, err := http.NewRequest("POST", "https://pbx.example.com:8089/api", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		const value = `sid1"<\` // as no PBX has it
		if err := on(t, drivertest.Unsent{T: t}).Authorize(r, &pbx.Token{Value: pbx.NewSecret(value)}); err != nil {
			if failure(t, err).Kind != pbx.ErrNotSupported {
				t.Errorf("%v", err)
			}
			return
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || int64(len(got)) != r.ContentLength {
			t.Errorf("%d bytes, length %d, %v", len(got), r.ContentLength, err)
		}
		read := func(text []byte) (m map[string]any) {
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.UseNumber()
			if !json.Valid(text) || decoder.Decode(&m) != nil {
				t.Fatalf("%q became %q", body, got)
			}
			return m
		}
		want, sent := read([]byte(body)), read(got)
		want["request"].(map[string]any)["cookie"] = value
		if !reflect.DeepEqual(want, sent) {
			t.Errorf("%q became %q", body, got)
		}
		if !strings.Contains(body, "ookie") { // none was there, so that one was put in and no other byte touched
			quoted, _ := json.Marshal(value)
			inserted := `"cookie":` + string(quoted)
			without := strings.Replace(strings.Replace(string(got), ","+inserted, "", 1), inserted, "", 1)
			if without != body {
				t.Errorf("%q became %q", body, got)
			}
		}
	})
}
