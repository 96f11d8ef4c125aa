package apilist

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write api.txt anew")

//go:generate go test -run TestTheAPIIsThatOfTheListing . -update

// What other modules can use changes only together with api.txt, where a
// reviewer sees it.
func TestTheAPIIsThatOfTheListing(t *testing.T) {
	const root, file = "../..", "../../api.txt"
	list, err := Of(root)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(string(committed), "\r\n", "\n"), list); diff != "" {
		t.Errorf("api.txt is not up to date: run go generate ./internal/apilist\n(-api.txt +today)\n%s", diff)
	}
}

func TestEveryExportedNameIsListedAndNoOther(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                  "module example.com/m\n\ngo 1.26\n",
		"internal/hidden/hide.go": "package hidden\n\ntype Hidden int\n",
		"cmd/cmd.go":              "package main\n\nfunc Main() {}\n\nfunc main() {}\n",
		"m_test.go":               "package m\n\nfunc InATest() {}\n",
		"m.go": `package m

import "io"

const (
	Answer Number = 42
	hidden        = 1
)

var Default *Box[int]

type Number int

func (Number) String() string { return "" }

type Box[T any] struct {
	Content T
	Out     io.Writer
	lid     bool
}

func (b *Box[T]) Open(how ...string) (content T, err error) { return b.Content, nil }
func (b *Box[T]) close()                                    {}

type Opener interface {
	io.Closer
	Open(name string) error
}

type Same = Number

func New[T any](content T, _ func(int) bool) *Box[T] { return nil }
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := `package example.com/m: 13 names
const Answer Number = 42
type Box[T any] struct
field Box.Content T
field Box.Out io.Writer
method (*Box[T]) Open(how ...string) (content T, err error)
var Default *Box[int]
func New[T any](content T, _ func(int) bool) *Box[T]
type Number int
method (Number) String() string
type Opener interface
method (Opener) Close() error
method (Opener) Open(name string) error
type Same = Number

`
	got, err := Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAModuleThatDoesNotCompileIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module example.com/m\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "m.go"), []byte("package m\n\nvar X = undefined\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Of(dir); err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("error %v", err)
	}
}
