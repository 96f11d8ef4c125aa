// Package mutants checks that tests notice mistakes: it breaks a package in one way
// after another and runs the test that has to fail. A mistake that no test notices is
// a missing test.
package mutants

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var wanted = flag.Bool("mutants", false, "break the package in each way that is known and check that its tests notice: it takes minutes")

// Mutant is a package with one mistake. It has no name of its own, so that tables of
// it need no names of fields.
type Mutant = struct {
	Mistake  string
	File     string // below the package's directory
	Old      string // occurs once in File
	New      string // replaces Old
	KilledBy string // see Run and RunOne
}

// Run runs for each mutant the test that KilledBy names, which has to fail. Without
// the flag -mutants it skips t, as RunOne does.
func Run(t *testing.T, all []Mutant) {
	each(t, all, func(m Mutant) (test, says string) { return m.KilledBy, "--- FAIL: " + m.KilledBy })
}

// RunOne runs one test for each mutant, which has to say what KilledBy says.
func RunOne(t *testing.T, test string, all []Mutant) {
	each(t, all, func(m Mutant) (_, says string) { return test, m.KilledBy })
}

func each(t *testing.T, all []Mutant, how func(Mutant) (test, says string)) {
	if !*wanted {
		t.Skip("it takes minutes: -mutants")
	}
	for _, m := range all {
		t.Run(m.Mistake, func(t *testing.T) {
			test, says := how(m)
			out, err := run(t, m, test)
			switch {
			case err == nil:
				t.Errorf("%s does not notice", test)
			case strings.Contains(out, "[build failed]"):
				t.Errorf("it does not compile:\n%.2000s", out)
			case !strings.Contains(out, says) && !strings.Contains(out, "panic: "):
				t.Errorf("something else failed than %q:\n%.2000s", says, out)
			}
		})
	}
}

// run runs a test with the mistake, and returns what it prints.
func run(t *testing.T, m Mutant, test string) (string, error) {
	source, err := os.ReadFile(m.File)
	if err != nil {
		t.Fatal(err)
	}
	original, err := filepath.Abs(m.File)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken, overlay := filepath.Join(dir, "broken.go"), filepath.Join(dir, "overlay.json")
	data, err := json.Marshal(map[string]map[string]string{"Replace": {original: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{broken: strings.Replace(string(source), m.Old, m.New, 1), overlay: string(data)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-timeout", "5m", "-run", "^"+test+"$", ".").CombinedOutput()
	return string(out), err
}

// Check reports mutants whose text is not in its file, or several times: a change of
// the code must not leave a mistake without its place.
func Check(t *testing.T, all []Mutant) {
	t.Helper()
	for _, m := range all {
		source, err := os.ReadFile(m.File)
		if n := strings.Count(string(source), m.Old); err != nil || n != 1 {
			t.Errorf("%s: the text is %d times in %s, %v", m.Mistake, n, m.File, err)
		}
	}
}
