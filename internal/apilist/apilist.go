// Package apilist lists what a module exports, one name a line, so that a
// change of the API shows in a diff.
package apilist

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Name       string
	Export     string // the file of its export data; empty: it has tests only
	Standard   bool
	DepOnly    bool
}

// Of lists the packages of the module in dir that other modules can import, in
// the form
//
//	package github.com/pbxauth/pbx: 3 names
//	func Open(name string, cfg Config) (Authenticator, error)
//	type Token struct
//	field Token.Value Secret
//	method (Token) Equal(other Token) bool
//
// It runs the go command.
func Of(dir string) (string, error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Name,Export,Standard,DepOnly", "./...")
	cmd.Dir, cmd.Stderr = dir, new(bytes.Buffer)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("apilist: go list: %w\n%s", err, cmd.Stderr)
	}
	files := map[string]string{}
	var importable []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("apilist: the output of go list: %w", err)
		}
		files[p.ImportPath] = p.Export
		if !p.DepOnly && p.Export != "" && p.Name != "main" && !slices.Contains(strings.Split(p.ImportPath, "/"), "internal") {
			importable = append(importable, p.ImportPath)
		}
	}
	from := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return os.Open(files[path]) })
	slices.Sort(importable)
	var list strings.Builder
	for _, path := range importable {
		p, err := from.Import(path)
		if err != nil {
			return "", fmt.Errorf("apilist: %w", err)
		}
		if lines := exported(p); len(lines) > 0 {
			fmt.Fprintf(&list, "package %s: %d names\n%s\n\n", path, len(lines), strings.Join(lines, "\n"))
		}
	}
	return list.String(), nil
}

// exported lists the names of a package: its own, and the fields and methods of
// its types.
func exported(p *types.Package) (lines []string) {
	text := func(t types.Type) string {
		return types.TypeString(t, func(other *types.Package) string {
			if other == p {
				return ""
			}
			return path.Base(other.Path())
		})
	}
	signature := func(f *types.Func) string { return f.Name() + strings.TrimPrefix(text(f.Type()), "func") }
	for _, name := range p.Scope().Names() { // sorted
		if !token.IsExported(name) {
			continue
		}
		switch o := p.Scope().Lookup(name).(type) {
		case *types.Const:
			lines = append(lines, fmt.Sprintf("const %s %s = %s", name, text(o.Type()), o.Val()))
		case *types.Var:
			lines = append(lines, fmt.Sprintf("var %s %s", name, text(o.Type())))
		case *types.Func:
			lines = append(lines, "func "+signature(o))
		case *types.TypeName:
			lines = append(lines, typeLines(o, text, signature)...)
		}
	}
	return lines
}

func typeLines(o *types.TypeName, text func(types.Type) string, signature func(*types.Func) string) []string {
	if o.IsAlias() {
		return []string{fmt.Sprintf("type %s = %s", o.Name(), text(types.Unalias(o.Type())))}
	}
	named := o.Type().(*types.Named)
	name := o.Name() + strings.TrimPrefix(text(named), o.Name()) // with type parameters
	var lines []string
	switch u := named.Underlying().(type) {
	case *types.Struct:
		lines = append(lines, "type "+name+" struct")
		for f := range u.Fields() {
			if f.Exported() {
				lines = append(lines, fmt.Sprintf("field %s.%s %s", o.Name(), f.Name(), text(f.Type())))
			}
		}
	case *types.Interface:
		lines = append(lines, "type "+name+" interface")
		for m := range u.Methods() {
			if m.Exported() {
				lines = append(lines, fmt.Sprintf("method (%s) %s", o.Name(), signature(m)))
			}
		}
	default:
		lines = append(lines, "type "+name+" "+text(u))
	}
	for m := range named.Methods() {
		if m.Exported() {
			lines = append(lines, fmt.Sprintf("method (%s) %s", text(m.Signature().Recv().Type()), signature(m)))
		}
	}
	return lines
}
