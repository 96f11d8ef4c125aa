package pbxsim_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestEdits(t *testing.T) {
	const body = `{"status":"Failed","errno":"20003","n":[-1,2.5e3,true,null],"7":"x\"7","empty":"","zero":"007"}`
	tests := []struct {
		name string
		edit func(*pbxsim.Request, *pbxsim.Reply)
		want string
	}{
		{"BOM", pbxsim.WithBOM, "\xef\xbb\xbf" + body},
		{"NUL", pbxsim.WithNUL, body + "\x00"},
		{"blanks", pbxsim.WithBlanks, "\r\n  " + body + " \t\r\n\r\n"},
		{"numbers quoted", pbxsim.NumbersQuoted, `{"status":"Failed","errno":"20003","n":["-1","2.5e3",true,null],"7":"x\"7","empty":"","zero":"007"}`},
		{"strings unquoted", pbxsim.StringsUnquoted, `{"status":"Failed","errno":20003,"n":[-1,2.5e3,true,null],"7":"x\"7","empty":"","zero":"007"}`},
	}
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for _, tt := range tests {
			p.Fault(pbxsim.Fault{Body: []byte(body), Edit: tt.edit})
			want(t, s, good, tt.want)
		}
		p.Fault(pbxsim.Fault{Times: 2, Body: []byte("12 no JSON"), Edit: pbxsim.NumbersQuoted})
		want(t, s, good, "12 no JSON")
	})
}

func FuzzEdits(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `{"a":"1"}`, `[]`, `"\u0031"`, `-0`, `{"1":{"2":"3"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, edit := range []func(*pbxsim.Request, *pbxsim.Reply){pbxsim.NumbersQuoted, pbxsim.StringsUnquoted} {
			r := pbxsim.Reply{Body: body}
			edit(nil, &r)
			if json.Valid(body) != json.Valid(r.Body) {
				t.Errorf("%q became %q", body, r.Body)
			}
		}
	})
}

func TestAnEditSeesTheTrueResponse(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{On: pbxsim.Login, Edit: func(r *pbxsim.Request, reply *pbxsim.Reply) {
			reply.Header.Set("Set-Cookie", "id="+string(reply.Body))
		}})
		resp, token, err := ask(s.Client(), s.URL+good)
		if err != nil || resp.Header.Get("Set-Cookie") != "id="+token {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

func TestAResponseIsCompressedIfTheRequestAcceptsThat(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		for _, accepts := range []string{"gzip", "identity"} {
			p.Fault(pbxsim.Fault{Gzip: true})
			req, _ := http.NewRequest("POST", s.URL+bad, nil)
			req.Header.Set("Accept-Encoding", accepts) // so that the client leaves the body as it is
			resp, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if packed := string(body) != wrong; packed != (accepts == "gzip") || packed != (resp.Header.Get("Content-Encoding") == "gzip") {
				t.Errorf("%s: %v, %q", accepts, resp.Header, body)
			}
		}
		p.Fault(pbxsim.Fault{Gzip: true})
		want(t, s, bad, wrong) // Go's client unpacks it
	})
}

func TestALengthThatIsAnnouncedWrongly(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{LengthOff: 1})
		if _, body, err := ask(s.Client(), s.URL+bad); body != wrong || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("one more: %q, %v; want the whole body and an unexpected EOF", body, err)
		}
		quietly(t)
		p.Fault(pbxsim.Fault{LengthOff: -4})
		if _, body, err := ask(s.Client(), s.URL+bad); body != wrong[:len(wrong)-4] || err != nil {
			t.Errorf("four fewer: %q, %v", body, err)
		}
	})
}

func TestSwitchingProtocolsLeavesAnOpenConnection(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Status: 101})
		resp, err := s.Client().Post(s.URL+good, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 101 || resp.Header.Get("Upgrade") == "" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
	})
}

func TestAHeaderMayBeHuge(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{HeaderBytes: 100_000})
		resp, body, err := ask(s.Client(), s.URL+bad)
		if err != nil || body != wrong || resp.Header.Get("X-Filler") != "" && len(resp.Header.Get("X-Filler")) != 100_000 {
			t.Errorf("%q, %v", body, err)
		}
		p.Fault(pbxsim.Fault{HeaderBytes: 100 << 20}) // Go's client reads 10 MB
		if _, _, err := ask(s.Client(), s.URL+bad); err == nil {
			t.Error("a header of 100 MB was read")
		}
		want(t, s, bad, wrong, locked) // the two before were judged
	})
}

func TestWhatIsNoHTTP(t *testing.T) {
	everywhere(t, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		p.Fault(pbxsim.Fault{Raw: []byte("Asterisk Call Manager/9.0.0\r\n")})
		if _, _, err := ask(s.Client(), s.URL+good); err == nil || !strings.Contains(err.Error(), "malformed HTTP") {
			t.Errorf("error %v", err)
		}
		if got := p.Counts().GoodLogins; got != 0 {
			t.Error("the login was judged")
		}
	})
}

func TestWhatIsWrittenByHandEndsWithTheServer(t *testing.T) {
	for _, fault := range []pbxsim.Fault{{Status: 101}, {Double: pbxsim.DoubleAtOnce}, {Double: pbxsim.DoubleOnNext}, {LengthOff: -1}} {
		inMemory(t, plain{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
			p.Fault(fault)
			conn, err := s.Client().Transport.(*http.Transport).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "POST "+good+" HTTP/1.1\r\nHost: pbx\r\nContent-Length: 0\r\n\r\n")
			if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, conn)
			synctest.Wait()
			start := time.Now()
			s.Close()
			if took := time.Since(start); took != 0 {
				t.Errorf("closing took %v", took)
			}
		})
	}
}

// Without a connection, as in a test with a ResponseRecorder, such a request is
// aborted.
func TestWithoutAConnectionNothingIsWrittenByHand(t *testing.T) {
	p := pbxsim.New(plain{}, nil)
	p.Fault(pbxsim.Fault{Raw: []byte("x")})
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("panic %v", v)
		}
	}()
	p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(context.Background(), "POST", "/request", nil))
}

func TestAPBXUnderAPathOfAGateway(t *testing.T) {
	inMemory(t, plain{}, pbxsim.Options{Under: "/api/pbx-7/"}, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		token := say(t, s, "/api/pbx-7"+good)
		want(t, s, "/api/pbx-7/request?token="+token, "ok")
		for _, path := range []string{good, "/api/pbx-77" + good, "/api/pbx-7"} {
			if status, err := outcome(t, s, "POST", path); status != 404 {
				t.Errorf("%s: %d, %v; want 404", path, status, err)
			}
		}
		if got := p.Log()[0].Path; got != "/api/pbx-7/login" {
			t.Errorf("the log has %s", got)
		}
		if got := p.Counts().Logins; got != 1 {
			t.Errorf("%d logins, want one", got)
		}
	})
}
