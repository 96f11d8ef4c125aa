// Package driverpages keeps the generated parts of docs/drivers up to date. A
// page marks such a part by what it is made of:
//
//	<!-- generated: settings yeastar -->
//	<!-- end -->
//
// settings and traits are those of the driver with that name. codes is a table
// of error codes in the source: the folder, and the name of the variable.
package driverpages

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

//go:generate go test -run Pages -update .

var part = regexp.MustCompile(`(?s)(<!-- generated: ([^\n]*?) -->\n).*?(<!-- end -->)`)

// Update returns the page with its generated parts made anew. root is the folder
// of the module.
func Update(root, page string) (string, error) {
	var failed error
	updated := part.ReplaceAllStringFunc(page, func(all string) string {
		m := part.FindStringSubmatch(all)
		text, err := generate(root, strings.Fields(m[2]))
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", m[2], err)
		}
		return m[1] + text + m[3]
	})
	return updated, failed
}

func generate(root string, words []string) (string, error) {
	switch {
	case len(words) == 2 && words[0] == "settings":
		return settings(words[1])
	case len(words) >= 2 && words[0] == "traits":
		return traits(words[1], words[2:])
	case len(words) == 3 && words[0] == "codes":
		return codes(filepath.Join(root, words[1]), words[2])
	}
	return "", fmt.Errorf("not understood")
}

func settings(name string) (string, error) {
	d, ok := pbx.Lookup(name)
	if !ok {
		return "", fmt.Errorf("no such driver")
	}
	var b strings.Builder
	line := func(what, value string) {
		if value != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", what, cell(value))
		}
	}
	b.WriteString("| | |\n|---|---|\n")
	line("Driver", "`"+d.Name+"`")
	line("For", d.Title)
	line("API switched on", d.Setup)
	account := d.UserLabel + " and " + d.PasswordLabel
	if d.NoUsername {
		account = d.PasswordLabel + " (no user name)"
	}
	if d.AccountOptional {
		account += ", or a secret option instead"
	}
	line("Account", account)
	line("Default port", strconv.Itoa(d.DefaultPort))
	if d.Docs != "" {
		line("Vendor's documents", "<"+d.Docs+">")
	}
	if len(d.Options) == 0 {
		b.WriteString("\nThe driver has no options.\n")
		return b.String(), nil
	}
	b.WriteString("\n| option | values | default | meaning |\n|---|---|---|---|\n")
	for _, o := range d.Options {
		values := string(o.Kind)
		if len(o.Choices) > 0 {
			var all []string
			for _, c := range o.Choices {
				text := "`" + c.Value + "`"
				if c.Label != c.Value {
					text += " (" + c.Label + ")"
				}
				all = append(all, text)
			}
			values = strings.Join(all, ", ")
		}
		standard := "–"
		switch {
		case o.Required:
			standard = "required"
		case o.Default != "":
			standard = "`" + o.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, cell(values), standard, cell(o.Help))
	}
	return b.String(), nil
}

// traits opens the driver, with options written as name=value, and prints what
// it states about its PBX.
func traits(name string, options []string) (string, error) {
	cfg := pbx.Config{URL: "https://pbx.example.com", Username: "api", Password: pbx.NewSecret("secret"), Options: map[string]string{}}
	if d, ok := pbx.Lookup(name); ok && d.NoUsername {
		cfg.Username = ""
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		cfg.Options[key] = value
	}
	auth, err := pbx.Open(name, cfg)
	if err != nil {
		return "", err
	}
	d, ok := pbx.As[pbx.Describer](auth)
	if !ok {
		return "", fmt.Errorf("the driver states nothing")
	}
	t := d.Traits()
	var b strings.Builder
	line := func(what, value string) { fmt.Fprintf(&b, "| %s | %s |\n", what, value) }
	b.WriteString("| | |\n|---|---|\n")
	lifetime := "as the response says"
	if t.Lifetime > 0 {
		lifetime = short(t.Lifetime)
		if t.Sliding {
			lifetime += " after the last accepted request"
		}
	}
	line("Token's lifetime", lifetime)
	line("Keep-alive", [...]string{"unknown", "none: a session logs in again before the token expires", "heartbeat", "refresh token"}[t.KeepAlive])
	line("Logout", [...]string{"ends the token", "ends the refresh token only", "none"}[t.Logout])
	tokens := "unknown or unlimited"
	if t.MaxTokens > 0 {
		tokens = strconv.Itoa(t.MaxTokens) + ", one more is refused"
		if t.NewestWins {
			tokens = strconv.Itoa(t.MaxTokens) + ", one more ends the oldest"
		}
	}
	line("Tokens of an account at once", tokens)
	line("Lockout", lockout(t.Lockout))
	if t.Unproven {
		line("Login", "may succeed with a wrong secret")
	}
	return b.String(), nil
}

func lockout(l pbx.Lockout) string {
	if l.None {
		return "none"
	}
	var all []string
	say := func(known bool, yes, no string) {
		if !known {
			yes = no
		}
		if yes != "" {
			all = append(all, yes)
		}
	}
	say(l.Attempts > 0, fmt.Sprintf("after %d wrong logins", l.Attempts), "after an unknown number of wrong logins (5 is assumed)")
	say(l.Window > 0, "for "+short(l.Window), "for an unknown time (10 min are assumed)")
	say(l.PerAccount, "of the account", "of the client's address")
	switch {
	case l.Memory == pbx.Forever:
		all = append(all, "wrong logins are not forgotten by time")
	case l.Memory > 0:
		all = append(all, "a wrong login counts for "+short(l.Memory))
	default:
		all = append(all, "how long a wrong login counts is unknown (24 h are assumed)")
	}
	say(l.Reset != pbx.ResetNothing, [...]string{"", "a success clears the account's", "a success clears the address's"}[l.Reset], "")
	say(l.LooksWrong, "a locked client gets the same response as one with a wrong password", "")
	say(l.DeadTokens != pbx.DeadTokensUnknown, [...]string{"", "dead tokens count", "dead tokens do not count"}[l.DeadTokens], "")
	say(l.CoversRequests, "requests are stopped too", "")
	return strings.Join(all, "; ")
}

func short(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}

// codes prints a table in the source whose keys are error codes: of each entry
// the kinds that it names, and its last text.
func codes(dir, variable string) (string, error) {
	packages, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	for _, file := range packages {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return "", err
		}
		if table := find(parsed, variable); table != nil {
			return rows(table)
		}
	}
	return "", fmt.Errorf("there is no such variable in %s", filepath.Base(dir))
}

func find(file *ast.File, variable string) (table *ast.CompositeLit) {
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && len(spec.Names) == 1 && spec.Names[0].Name == variable && len(spec.Values) == 1 {
			table, _ = spec.Values[0].(*ast.CompositeLit)
		}
		return table == nil
	})
	return table
}

func rows(table *ast.CompositeLit) (string, error) {
	var b strings.Builder
	b.WriteString("| code | kind | meaning |\n|---|---|---|\n")
	for _, e := range table.Elts {
		entry, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		var kinds []string
		meaning := ""
		ast.Inspect(entry.Value, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if name, ok := n.Key.(*ast.Ident); ok && name.Name == "Setting" {
					return false
				}
			case *ast.SelectorExpr:
				if strings.HasPrefix(n.Sel.Name, "Err") && (len(kinds) == 0 || kinds[len(kinds)-1] != n.Sel.Name) {
					kinds = append(kinds, n.Sel.Name)
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					meaning = text
				}
			}
			return true
		})
		kind := "–"
		if len(kinds) > 0 {
			kind = "`" + strings.Join(kinds, "` on a login, else `") + "`"
		}
		if meaning == "" {
			return "", fmt.Errorf("the code %s has no text of its own", literal(entry.Key))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", literal(entry.Key), kind, cell(meaning))
	}
	return b.String(), nil
}

func literal(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
		return e.Value
	case *ast.UnaryExpr:
		return e.Op.String() + literal(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// Pages are the files of docs/drivers.
func Pages(root string) ([]string, error) {
	return filepath.Glob(filepath.Join(root, "docs", "drivers", "*.md"))
}

// Write makes the generated parts of a file anew, and reports whether they were
// not up to date.
func Write(root, file string, save bool) (stale bool, err error) {
	page, err := os.ReadFile(file)
	if err != nil {
		return false, err
	}
	updated, err := Update(root, string(page))
	if err != nil || updated == string(page) {
		return false, err
	}
	if save {
		err = os.WriteFile(file, []byte(updated), 0o644)
	}
	return true, err
}
