package sdktest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/wazo/wazosim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	sdk = "@wazo/sdk@0.44.7"
	// sum is the SHA-512 of its package, so that nothing else is run.
	sum = "d23fd0f1e08e0ac90242f783b80f8f6f7b1e22c09653a34b610f87459fd0a04c8b1e908881c489e102a2c54844d56024d9d1fb6e374ce9d1cc529c2d4c728672"

	// bundle is the file in it that needs no other package.
	bundle = "package/dist/wazo-sdk.js"
)

// fetch returns the path of the vendor's client, or skips the test.
func fetch(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s is not installed", program)
		}
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", sdk)
	pack.Dir = dir
	if out, err := pack.CombinedOutput(); err != nil {
		t.Skipf("skipped: npm cannot fetch %s: %v: %s", sdk, err, bytes.TrimSpace(out))
	}
	archives, _ := filepath.Glob(filepath.Join(dir, "*.tgz")) // the pattern is good
	if len(archives) != 1 {
		t.Fatalf("npm pack left %d archives", len(archives))
	}
	packed, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	if got := sha512.Sum512(packed); hex.EncodeToString(got[:]) != sum {
		t.Fatalf("%s is not the package that this test knows: SHA-512 %x", sdk, got)
	}
	path := filepath.Join(dir, "wazo-sdk.js")
	if err := os.WriteFile(path, unpack(t, packed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unpack returns the bundle in a package.
func unpack(t *testing.T, packed []byte) []byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(unzipped); ; {
		file, err := archive.Next()
		if err != nil {
			t.Fatalf("the package has no %s: %v", bundle, err)
		}
		if file.Name != bundle {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(archive, 32<<20))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// step is what the script prints of one.
type step struct {
	Step    string
	OK      bool
	Token   string
	Refresh string
	Tenant  string
	ACL     []string
	Expired bool
	Total   int
	Error   string
	Status  int
	Message string
}

// run lets the vendor's client use a server, and returns its steps by name.
func run(t *testing.T, server *pbxsim.Server, path string) map[string]step {
	t.Helper()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, block, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", "sdk.js", path, strings.TrimPrefix(server.URL, "https://"), "crm")
	node.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+authority, "WAZO_PASSWORD=pass:wörd")
	var stderr bytes.Buffer
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s%s", err, out, stderr.String())
	}
	steps := map[string]step{}
	for line := range strings.Lines(string(out)) {
		var s step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		steps[s.Step] = s
	}
	return steps
}

func TestTheVendorsClientLogsInRefreshesAndLogsOut(t *testing.T) {
	path := fetch(t)
	pbx := wazosim.New(&wazosim.Options{Denied: "/api/confd/1.1/denied"}, &pbxsim.Options{Accounts: map[string]string{"crm": "pass:wörd"}})
	server := pbxsim.ListenTLS(pbx)
	defer server.Close()
	steps := run(t, server, path)

	for _, name := range []string{"login", "check", "authenticate", "request", "refresh", "forget", "logout"} {
		if s := steps[name]; !s.OK {
			t.Errorf("%s: %+v", name, s)
		}
	}
	login := steps["login"]
	if login.Token == "" || login.Refresh == "" || login.Tenant != wazosim.Tenant || len(login.ACL) != 1 || login.Expired {
		t.Errorf("the client reads the login as %+v", login)
	}
	if steps["authenticate"].Token != login.Token {
		t.Errorf("the client reads the token as %+v", steps["authenticate"])
	}
	if steps["request"].Total != 2 {
		t.Errorf("the client reads the list as %+v", steps["request"])
	}
	if fresh := steps["refresh"].Token; fresh == "" || fresh == login.Token {
		t.Errorf("the client reads the refresh as %+v", steps["refresh"])
	}
	for _, name := range []string{"wrong password", "denied"} {
		if s := steps[name]; s.OK || s.Error == "" || s.Status != 401 {
			t.Errorf("%s: %+v, want HTTP 401", name, s)
		}
	}
	if steps["check after logout"].OK {
		t.Error("the client takes the token for a living one after the logout")
	}

	// This client repeats a request once after any 401: a login with a wrong password
	// goes out twice, and a missing permission costs a refresh, whose token it
	// forgets.
	counts := pbx.Counts()
	if counts.GoodLogins != 1 || counts.WrongLogins != 2 || counts.KeepAlives != 2 {
		t.Errorf("the server counts %+v", counts)
	}
	if alive := pbx.Tokens("crm"); len(alive) != 1 || alive[0] == login.Token || alive[0] == steps["refresh"].Token {
		t.Errorf("%d tokens are alive after the logout, want the one that the client forgot", len(alive))
	}
}
