package session_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/pbxauth/pbx"
	_ "github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// promptStore responds to the example's two requests: it keeps a file, and gives
// it back.
func promptStore() func(*pbxsim.Request) *pbxsim.Reply {
	var prompt []byte
	return func(r *pbxsim.Request) *pbxsim.Reply {
		if filepath.Base(r.URL.Path) == "upload" {
			prompt = r.Body
			return &pbxsim.Reply{Body: []byte(`{"status":"Success"}`)}
		}
		return &pbxsim.Reply{Header: http.Header{"Content-Type": {"audio/wav"}}, Body: prompt}
	}
}

// upload sends a file without holding it in memory. GetBody opens it again, for
// the case that the PBX refuses the token and the request is repeated.
func upload(ctx context.Context, s *session.Session, to, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, file)
	if err != nil {
		return err
	}
	r.GetBody = func() (io.ReadCloser, error) { return os.Open(path) }
	r.Header.Set("Content-Type", "audio/wav")
	resp, err := s.Do(r)
	if resp != nil {
		resp.Body.Close()
	}
	return err
}

// download copies a recording to w as it comes. For how long is the context's to
// say: Options.Timeout bounds only the beginning of the response.
func download(ctx context.Context, s *session.Session, from string, w io.Writer) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, from, nil)
	if err != nil {
		return err
	}
	resp, err := s.Do(r)
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// A session uploads and downloads files of any size.
func ExampleSession_Do_files() {
	server := pbxsim.ListenMemory(yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": "secret"}, Respond: promptStore()}))
	defer server.Close()
	auth, err := pbx.Open("yeastar", pbx.Config{
		URL: server.URL, Username: "api", Password: pbx.NewSecret("secret"),
		Transport: server.Client().Transport, // only because the PBX is simulated
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s := session.New(auth, nil)
	defer s.Close(ctx)

	dir, err := os.MkdirTemp("", "prompt")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "welcome.wav")
	if err := os.WriteFile(path, bytes.Repeat([]byte("RIFF"), 50_000), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	if err := upload(ctx, s, "/api/v1.1.0/prompt/upload", path); err != nil {
		fmt.Println(err)
		return
	}
	var copied bytes.Buffer
	if err := download(ctx, s, "/api/v1.1.0/prompt/download", &copied); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(copied.Len(), "bytes came back")
	// Output: 200000 bytes came back
}
