package yeastar_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/golden"
)

// BenchmarkLogin compares a login through the driver with net/http, over the
// loopback interface and with a PBX that does next to nothing: with the bare
// POST of bytes that are there already, and with a login that is written by
// hand, which also has to make the request and to read the response. All have a
// deadline, as those of a session have.
//
// The PBX speaks https, without which the driver goes nowhere but to loopback,
// or plain http; it closes each connection, as in the vendor's samples, or
// keeps it. The latter of both leave the least to hide behind.
func BenchmarkLogin(b *testing.B) {
	for _, row := range []struct {
		name    string
		listen  func(http.Handler) *httptest.Server
		closing bool
	}{
		{"https, closing", httptest.NewTLSServer, true},
		{"https, keeping", httptest.NewTLSServer, false},
		{"http, closing", httptest.NewServer, true},
		{"http, keeping", httptest.NewServer, false},
	} {
		b.Run(row.name, func(b *testing.B) { benchmarkLogin(b, row.listen, row.closing) })
	}
}

func benchmarkLogin(b *testing.B, listen func(http.Handler) *httptest.Server, closing bool) {
	sample, err := golden.Load("testdata/golden/login.http")
	if err != nil {
		b.Fatal(err)
	}
	server := listen(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if closing {
			w.Header().Set("Connection", "close")
		}
		io.WriteString(w, sample.Response.Body)
	}))
	defer server.Close()
	client := server.Client()
	if settings := client.Transport.(*http.Transport).TLSClientConfig; settings != nil {
		settings.ClientSessionCache = tls.NewLRUClientSessionCache(0) // as the driver's own has
	}
	driver, err := yeastar.New(yeastar.Config{
		Config: pbx.Config{
			URL: server.URL, Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: client.Transport,
		},
		Events: yeastar.Events{Port: 8260, Version: "1.0.2", URL: "110.22.2.3:8260/report", URLTag: "1"},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()

	body := []byte(sample.Request.Body)
	contenders := []struct {
		name  string
		login func() error
		took  []float64
	}{
		{name: "post", login: func() error {
			_, err := post(ctx, client, server.URL, body)
			return err
		}},
		{name: "by-hand", login: func() error {
			_, err := loginByHand(ctx, client, server.URL)
			return err
		}},
		{name: "driver", login: func() error {
			_, err := driver.Login(ctx)
			return err
		}},
	}
	// They take turns, so that what else the machine does hits all of them; the
	// medians of the ratios within one turn are what to look at.
	const times = 10
	for turn := 0; b.Loop(); turn++ {
		for i := range contenders {
			c := &contenders[(i+turn)%len(contenders)]
			start := time.Now()
			for range times {
				if err := c.login(); err != nil {
					b.Fatal(err)
				}
			}
			c.took = append(c.took, float64(time.Since(start).Nanoseconds())/times)
		}
	}
	for _, c := range contenders {
		b.ReportMetric(median(c.took), c.name+"-ns")
	}
	ratio := func(one, other []float64) float64 {
		ratios := make([]float64, len(one))
		for turn := range ratios {
			ratios[turn] = one[turn] / other[turn]
		}
		return median(ratios)
	}
	b.ReportMetric(ratio(contenders[2].took, contenders[0].took), "driver/post")
	b.ReportMetric(ratio(contenders[2].took, contenders[1].took), "driver/by-hand")
	b.ReportMetric(0, "ns/op") // of a turn: means nothing
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

func post(ctx context.Context, client *http.Client, url string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1.1.0/login", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// loginByHand is the least that a careful client does.
func loginByHand(ctx context.Context, client *http.Client, url string) (token string, err error) {
	sum := md5.Sum([]byte(samplePassword))
	body, err := json.Marshal(struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Port     string `json:"port"`
		Version  string `json:"version"`
		URL      string `json:"url"`
		URLTag   string `json:"urltag"`
	}{sampleUser, hex.EncodeToString(sum[:]), "8260", "1.0.2", "110.22.2.3:8260/report", "1"})
	if err != nil {
		return "", err
	}
	reply, err := post(ctx, client, url, body)
	if err != nil {
		return "", err
	}
	var answer struct{ Status, Errno, Token string }
	if err := json.Unmarshal(reply, &answer); err != nil {
		return "", err
	}
	if answer.Status != "Success" || answer.Token == "" {
		return "", errors.New("login failed: " + answer.Errno)
	}
	return answer.Token, nil
}

// BenchmarkAuthorize is what each request of an application pays.
func BenchmarkAuthorize(b *testing.B) {
	driver := on(b, drivertest.Body(""))
	token := &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}
	r, err := http.NewRequest(http.MethodPost, "https://pbx.example.com:8088/api/v1.1.0/cdr/download?id=1&type=json", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		driver.Authorize(r, token)
	}
}
