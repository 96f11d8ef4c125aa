package asterisk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/adapters/asterisk/asterisksim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A login, an action and a logout by hand. A program that runs for longer than a
// minute wants a session, which does all but the action by itself.
func Example() {
	// A simulator instead of the PBX in the server room.
	server := pbxsim.Listen(asterisksim.New(nil, &pbxsim.Options{Accounts: map[string]string{"crm": "secret"}}))
	defer server.Close()

	ctx := context.Background()
	freepbx, err := asterisk.New(asterisk.Config{Config: pbx.Config{
		URL:      server.URL, // https://freepbx.example.com in the server room
		Username: "crm",      // a section of manager.conf
		Password: pbx.NewSecret("secret"),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := freepbx.Login(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer freepbx.Logout(ctx, token)

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, freepbx.Traits().URL+"/rawman", strings.NewReader("Action=CoreStatus"))
	if err != nil {
		fmt.Println(err)
		return
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	freepbx.Authorize(req, token)
	resp, err := freepbx.Transport().RoundTrip(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The same words mean a session that has ended; the driver knows better.
	fmt.Println(strings.ReplaceAll(strings.TrimSpace(string(body)), "\r", ""))
	err = freepbx.Inspect(resp, body, token)
	fmt.Println("session ended:", errors.Is(err, pbx.ErrTokenRejected))
	fmt.Println("not permitted:", errors.Is(err, pbx.ErrForbidden))
	// Output:
	// Response: Error
	// Message: Permission denied
	// session ended: false
	// not permitted: true
}
