// Command verify is an ordinary program that holds a driver to the suite.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"github.com/pbxauth/pbx/conformance"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

func main() {
	flag.VisitAll(func(f *flag.Flag) { fmt.Fprintln(os.Stderr, "a flag that is not mine:", f.Name) })
	report := conformance.Verify(conformance.Harness{
		Driver:    acme.Name,
		Simulator: acmesim.New,
		Skip:      map[string]string{"LOGIN-01": "to see it skipped"},
	})
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		panic(err)
	}
}
