package pbxsim_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// A client that retries a wrong password is locked out, and does not get in
// with the right one either.
func Example() {
	pbx := yeastarsim.New(nil, &pbxsim.Options{
		Accounts: map[string]string{"api": "123456"},
	})
	server := pbxsim.ListenMemory(pbx)
	defer server.Close()

	login := func(digest string) {
		body := `{"username":"api","password":"` + digest + `","port":"8260"}`
		resp, err := server.Client().Post(server.URL+"/api/v1.1.0/login", "application/json", strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		fmt.Printf("%d %s\n", resp.StatusCode, answer)
	}

	for range 5 {
		login("00000000000000000000000000000000")
	}
	login("e10adc3949ba59abbe56e057f20f883e")

	counts := pbx.Counts()
	fmt.Println(counts.WrongLogins, "wrong,", counts.LockedLogins, "under the lock")

	// Output:
	// 200 {"status":"Failed","errno":"20003"}
	// 200 {"status":"Failed","errno":"20003"}
	// 200 {"status":"Failed","errno":"20003"}
	// 200 {"status":"Failed","errno":"20003"}
	// 200 {"status":"Failed","errno":"20003"}
	// 200 {"status":"Failed","errno":"20002"}
	// 5 wrong, 1 under the lock
}

// A fault makes one thing go wrong, once.
func ExamplePBX_Fault() {
	pbx := yeastarsim.New(nil, nil)
	server := pbxsim.ListenMemory(pbx)
	defer server.Close()

	pbx.Fault(pbxsim.Fault{On: pbxsim.AppRequest, Status: 503, Body: []byte("starting up")})
	for range 2 {
		resp, err := server.Client().Post(server.URL+"/api/v1.1.0/deviceinfo/query?token=x", "application/json", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%d %s\n", resp.StatusCode, answer)
	}

	// Output:
	// 503 starting up
	// 200 {"status":"Failed","errno":"20004"}
}
