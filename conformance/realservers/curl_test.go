//go:build linux

package realservers

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/openvox/openvoxsim"
	"github.com/pbxauth/pbx/adapters/runtel/runtelsim"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// sample is a vendor's printed exchanges, in an order in which a simulated PBX
// can serve them.
type sample struct {
	directory string            // below adapters
	options   map[string]string // of the driver
	simulate  func(*pbxsim.Options) *pbxsim.PBX
	accounts  map[string]string
	tokens    []string // that the PBX issues, in this order
	loggedIn  bool     // the driver logs in first, because the vendor prints no such login
	files     []string
	other     map[string]string // by file: why the simulator's response is not the printed one
}

const goldenSecret = "s3cret pässword" // of Asterisk's samples

func yeastar(family string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX { return yeastarsim.New(&yeastarsim.Options{Family: family}, o) }
}

// The vendor prints logins at v1.1.0 and the rest at v0.0.1.
func openvox(version string) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		return openvoxsim.New(&openvoxsim.Options{Yeastar: yeastarsim.Options{Version: version}, WrongHeader: version == "v0.0.1"}, o)
	}
}

func grandstream(o *pbxsim.Options) *pbxsim.PBX { return grandstreamsim.New(nil, o) }

func asteriskSim(single bool) func(*pbxsim.Options) *pbxsim.PBX {
	return func(o *pbxsim.Options) *pbxsim.PBX {
		o.Lifetime = httptimeout
		return asterisksim.New(&asterisksim.Options{SingleLogin: single}, o)
	}
}

var (
	yeastarAccount     = map[string]string{"api": "Yeastar202"}
	grandstreamAccount = map[string]string{"cdrapi": "cdrapi123"}
	asteriskAccount    = map[string]string{"crm": goldenSecret}

	samples = []sample{
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: yeastarAccount, tokens: []string{"48a7d7481a5355aa4fb5dc285edeb40e"},
			files: []string{"login.http"}},
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: yeastarAccount, tokens: []string{"277ac400357b509b4a587ff2157f7ad5"}, loggedIn: true,
			files: []string{"heartbeat.http", "logout.http"}},
		{directory: "yeastar", simulate: yeastar("s-v1"), accounts: map[string]string{"api": "another"}, files: []string{"login-failed.http"},
			other: map[string]string{"login-failed.http": "20003, which the vendor's table has for a wrong password: the printed 30003 is that of an API process that does not run"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), accounts: yeastarAccount, files: []string{"s-v2-login.http"},
			other: map[string]string{"s-v2-login.http": "a refusal: no password with the printed digest is known"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), accounts: yeastarAccount, files: []string{"failed-call.http"},
			other: map[string]string{"failed-call.http": "the code for an unknown token: the vendor prints the response without its request"}},
		{directory: "yeastar", simulate: yeastar("s-v2"), options: map[string]string{"family": "s-v2"}, accounts: yeastarAccount,
			tokens: []string{"277ac400357b509b4a587ff2157f7ad5"}, loggedIn: true, files: []string{"s-v2-heartbeat.http"}},
		{directory: "yeastar", simulate: yeastar("cloud-v1"), accounts: yeastarAccount,
			tokens: []string{"48a7d7481a5355aa4fb5dc285edeb40e", "58f29c380365e5546cd3ac8c34edc88c", "1c0a3fd34ca5e5292042a77e4d9ff950", "4a1f20e901b45d4106e7aee076d22115"},
			files:  []string{"cloud-v1-login.http", "cloud-v1-refresh.http"}},
		{directory: "yeastar", simulate: yeastar("cloud-v2"), options: map[string]string{"family": "cloud-v2"}, accounts: yeastarAccount,
			tokens:   []string{"48a7d7481a5355aa4fb5dc285edeb40e", "58f29c380365e5546cd3ac8c34edc88c", "1c0a3fd34ca5e5292042a77e4d9ff950", "4a1f20e901b45d4106e7aee076d22115"},
			loggedIn: true, files: []string{"cloud-v2-refresh.http"}},
		{directory: "yeastarp", simulate: yeastarp, accounts: map[string]string{"UEnH9Dmv6uBJEXsYcag1trNfQThYXXXX": "ZLcXl63S9EtMnYoHUnjbVo6sA8CbXXXX"},
			tokens: []string{"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS", "SCduGecwbG9jIusiS8FxFUVn3kf0Q9R8", "0OPU6QwU1phKcYMzntmmLrn1SNvGeNJt", "EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqT"},
			files:  []string{"get-token.http", "refresh-token.http", "del-token.http"},
			other:  map[string]string{"refresh-token.http": "another refresh token: the printed one is the access token of before"}},
		{directory: "yeastarp", simulate: yeastarp, accounts: map[string]string{"UEnH9Dmv6uBJEXsYcag1trNfQThYXXXX": "another"}, files: []string{"get-token-failed.http"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"xiaoshao": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"},
			files: []string{"login-json.http"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"api": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"},
			files: []string{"login-xml.http"}},
		{directory: "openvox", simulate: openvox("v0.0.1"), accounts: map[string]string{"api": "123456"}, tokens: []string{"813b621cfe8eecf445a2ce1f4a079ffe"}, loggedIn: true,
			files: []string{"heartbeat.http", "call-xml.http"}, other: map[string]string{"call-xml.http": "a refusal: the request is made up"}},
		{directory: "openvox", simulate: openvox("v1.1.0"), accounts: map[string]string{"xiaoshao": "another"}, files: []string{"login-failed.http"},
			other: map[string]string{"login-failed.http": "another code: the vendor's pages have no table of codes"}},
		{directory: "runtel", simulate: func(o *pbxsim.Options) *pbxsim.PBX { return runtelsim.New(nil, o) }, accounts: map[string]string{"a@office.runtel.org": "secret"},
			tokens: []string{"J...W"}, files: []string{"login.http", "logout.http"}, other: map[string]string{"login.http": "other versions and permissions"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, tokens: []string{"sid1616565943-1653038164"},
			files: []string{"login-1-challenge.http", "login-2-login.http", "keepalive.http", "call.http", "logout.http", "cookie-error.http"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, files: []string{"login-1-challenge.http", "wrong-2-login.http"}},
		{directory: "grandstream", simulate: grandstream, accounts: grandstreamAccount, files: []string{"login-1-challenge.http", "banned-2-login.http"},
			other: map[string]string{"banned-2-login.http": "a wrong password: the ban is that of five logins before"}},
		{directory: "asterisk", simulate: asteriskSim(false), accounts: asteriskAccount,
			files: []string{"not-found.http", "login-1-challenge.http", "login-2-login.http", "ping.http", "not-permitted.http", "logoff.http", "session-gone.http"}},
		{directory: "asterisk", simulate: asteriskSim(false), accounts: asteriskAccount, files: []string{"wrong-1-challenge.http", "wrong-2-login.http"}},
		{directory: "asterisk", simulate: asteriskSim(true), accounts: map[string]string{"single": goldenSecret}, loggedIn: true,
			files: []string{"in-use-1-challenge.http", "in-use-2-login.http"}},
	}
)

func yeastarp(o *pbxsim.Options) *pbxsim.PBX { return yeastarpsim.New(nil, o) }

// curl sends every sample as the vendor prints it, byte for byte, and the
// simulator gives the printed response.
func TestCurlSendsTheVendorsSamples(t *testing.T) {
	t.Parallel()
	requireProgram(t, "curl")
	sent, replayed := map[string]bool{}, map[string]bool{}
	for _, s := range samples {
		replayed[s.directory] = true
		for _, file := range s.files {
			sent[s.directory+"/"+file] = true
		}
		t.Run(s.directory+"/"+s.files[len(s.files)-1], func(t *testing.T) {
			t.Parallel()
			sendSamples(t, s)
		})
	}
	all, err := filepath.Glob("../../adapters/*/testdata/golden/*.http")
	if err != nil || len(all) < 40 {
		t.Fatalf("%d samples: %v", len(all), err)
	}
	missing := map[string]int{}
	for _, path := range all {
		brand := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(path))))
		switch name := brand + "/" + filepath.Base(path); {
		case sent[name]:
		case replayed[brand]:
			t.Errorf("%s is not sent", name)
		default:
			missing[brand]++
		}
	}
	t.Logf("brands whose samples curl does not send yet, and how many they have: %v", missing)
}

func sendSamples(t *testing.T, s sample) {
	tokens := slices.Clone(s.tokens)
	options := &pbxsim.Options{Accounts: s.accounts}
	if len(tokens) > 0 {
		options.NewToken = func() string {
			if len(tokens) == 0 {
				return "4f0c0a7b9d1e4c6f8a2b3c4d5e6f7081" // more than are printed
			}
			token := tokens[0]
			tokens = tokens[1:]
			return token
		}
	}
	sim := s.simulate(options)
	server := pbxsim.Listen(sim)
	defer server.Close()
	if s.loggedIn {
		driver := strings.Replace(s.directory, "yeastarp", "yeastar-p", 1)
		for user, password := range s.accounts {
			auth, err := pbx.Open(driver, pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(password), Options: s.options})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := auth.Login(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}

	var before exchangeState
	for _, file := range s.files {
		x, err := golden.Load(filepath.Join("../../adapters", s.directory, "testdata/golden", file))
		if err != nil {
			t.Fatal(err)
		}
		before.prepare(&x, s.accounts, strings.HasPrefix(file, "login"))
		response := curl(t, server.URL, x.Request)
		log := sim.Log()
		checkArrived(t, file, x.Request, log[len(log)-1])
		before.learn(response)
		checkResponse(t, file, x.Response, response, s.other[file])
	}
}

// exchangeState is what a client has to put into a request of what it got before,
// where the vendor prints that of another day.
type exchangeState struct {
	cookie, challenge string
}

var (
	printedCookie = regexp.MustCompile(`^mansession_id=[0-9a-f]{8}$`)
	printedKey    = regexp.MustCompile(`Key=[0-9a-f]{32}`)
	printedToken  = regexp.MustCompile(`"token":"[0-9a-f]{32}"`)
)

// prepare puts the session and the proof of this day into a sample. A sample of a
// wrong login keeps the printed proof, which is wrong by now.
func (b *exchangeState) prepare(x *golden.Exchange, accounts map[string]string, proven bool) {
	if c := x.Request.Header.Get("Cookie"); printedCookie.MatchString(c) && b.cookie != "" {
		x.Request.Header.Set("Cookie", "mansession_id="+b.cookie)
	}
	for _, text := range []*string{&x.Request.Body, &x.Response.Body} { // which the client makes up
		*text = strings.ReplaceAll(*text, "{{action_id}}", "1632118454.2")
	}
	if b.challenge == "" || !proven {
		return
	}
	for user, password := range accounts {
		if !strings.Contains(x.Request.Body, user) {
			continue
		}
		sum := md5.Sum([]byte(b.challenge + password))
		proof := hex.EncodeToString(sum[:])
		x.Request.Body = printedKey.ReplaceAllString(x.Request.Body, "Key="+proof)
		x.Request.Body = printedToken.ReplaceAllString(x.Request.Body, `"token":"`+proof+`"`)
	}
}

var (
	asteriskChallenge    = regexp.MustCompile(`Challenge: (\d+)`)
	grandstreamChallenge = regexp.MustCompile(`"challenge":"(\d+)"`)
)

func (b *exchangeState) learn(r curlResponse) {
	if m := sessionCookie.FindStringSubmatch(r.header.Get("Set-Cookie")); m != nil {
		b.cookie = m[1]
	}
	for _, challenge := range []*regexp.Regexp{asteriskChallenge, grandstreamChallenge} {
		if m := challenge.FindStringSubmatch(r.body); m != nil {
			b.challenge = m[1]
		}
	}
}

type curlResponse struct {
	status string
	header textproto.MIMEHeader
	body   string
}

// curl sends a request with nothing that is not in it.
func curl(t *testing.T, base string, r golden.Message) curlResponse {
	t.Helper()
	method, target, _ := strings.Cut(r.Line, " ")
	target, _, _ = strings.Cut(target, " ")
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte(r.Body), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--silent", "--show-error", "--include", "--path-as-is", "--globoff", "--noproxy", "*", "--max-time", "20", "--request", method}
	for name, values := range r.Header {
		if name == "Content-Length" && r.Body != "" {
			continue // curl's own has to be the printed one
		}
		args = append(args, "--header", name+": "+values[0])
	}
	for _, name := range []string{"User-Agent", "Accept", "Content-Type"} {
		if r.Header.Get(name) == "" {
			args = append(args, "--header", name+":")
		}
	}
	if r.Body != "" {
		args = append(args, "--data-binary", "@"+file)
	}
	output := run(t, "curl", append(args, base+target)...)
	head, text, ok := strings.Cut(output, "\r\n\r\n")
	if !ok {
		t.Fatalf("curl printed %q", output)
	}
	status, fields, _ := strings.Cut(head, "\r\n")
	header := textproto.MIMEHeader{}
	for line := range strings.SplitSeq(fields, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		header.Add(name, strings.TrimSpace(value))
	}
	return curlResponse{status, header, text}
}

// checkArrived compares what the simulator got with what is printed.
func checkArrived(t *testing.T, file string, want golden.Message, got pbxsim.Record) {
	t.Helper()
	target := got.Path
	if got.RawQuery != "" {
		target += "?" + got.RawQuery
	}
	if line := got.Method + " " + target + " HTTP/1.1"; line != want.Line {
		t.Errorf("%s: %q arrived, want %q", file, line, want.Line)
	}
	if !bytes.Equal(got.Body, []byte(want.Body)) {
		t.Errorf("%s: %q arrived, want %q", file, got.Body, want.Body)
	}
	for name, values := range want.Header {
		arrived := got.Header.Values(name)
		switch name {
		case "Host":
			continue // which the record does not have
		case "Content-Length":
			arrived = []string{fmt.Sprint(len(got.Body))}
		}
		if !slices.Equal(arrived, values) {
			t.Errorf("%s: %s %q arrived, want %q", file, name, arrived, values)
		}
	}
}

// checkResponse compares what curl got with what is printed. other, if set, says
// why the body is another one.
func checkResponse(t *testing.T, file string, want golden.Message, got curlResponse, other string) {
	t.Helper()
	if _, status, _ := strings.Cut(want.Line, " "); !strings.HasSuffix(got.status, status) {
		t.Errorf("%s: %s, want %s", file, got.status, want.Line)
	}
	if printed := want.Header.Get("Content-Type"); printed != "" {
		printed, _, _ = strings.Cut(printed, ";")
		if !strings.HasPrefix(got.header.Get("Content-Type"), printed) {
			t.Errorf("%s: Content-Type %q, want %q", file, got.header.Get("Content-Type"), printed)
		}
	}
	diff := cmp.Diff(withoutVariables(want.Body), withoutVariables(got.body))
	switch {
	case diff != "" && other == "":
		t.Errorf("%s: printed (-), the simulator (+):\n%s", file, diff)
	case diff == "" && other != "":
		t.Errorf("%s: the response is the printed one; said to differ: %s", file, other)
	}
}

// withoutVariables returns a body without what differs each time: JSON decoded, and
// other texts with line feeds only.
func withoutVariables(text string) any {
	var value any
	if json.Unmarshal([]byte(text), &value) == nil {
		if envelope, ok := value.(map[string]any); ok {
			if inner, ok := envelope["response"].(map[string]any); ok && inner["challenge"] != nil {
				inner["challenge"] = "N"
			}
		}
		return value
	}
	text = changing.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), "${1}N")
	return strings.TrimRight(serverName.ReplaceAllString(text, "Asterisk"), "\n")
}
