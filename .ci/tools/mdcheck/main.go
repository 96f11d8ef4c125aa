// Command mdcheck checks the Markdown files of a repository: links lead to files
// and headings that exist, Go programs build, Go fragments parse, and shell
// commands run.
//
//	mdcheck [-root DIR] [-run]
//
// A block of shell commands is run from the root if it is fenced as sh. One that
// cannot run here is preceded by a line <!-- not run: reason -->, and is parsed
// only.
package main

import (
	"context"
	"flag"
	"fmt"
	"go/format"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"
)

func main() {
	root := flag.String("root", ".", "repository to check")
	run := flag.Bool("run", false, "run the commands, not only parse them")
	flag.Parse()
	c := &checker{root: *root, run: *run}
	files, err := markdown(*root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mdcheck:", err)
		os.Exit(2)
	}
	for _, file := range files {
		c.check(file)
	}
	fmt.Printf("mdcheck: %d files, %d links, %d Go snippets, %d commands run, %d left out with a reason\n",
		len(files), c.links, c.snippets, c.commands, c.skipped)
	if c.faults > 0 {
		os.Exit(1)
	}
}

// markdown lists the Markdown files below root, without test data.
func markdown(root string) (files []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (name == ".git" || name == "testdata" || name == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, ".md") {
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

type checker struct {
	root string
	run  bool

	links, snippets, commands, skipped, faults int
}

func (c *checker) fault(file string, line int, format string, args ...any) {
	c.faults++
	fmt.Printf("%s:%d: %s\n", file, line, fmt.Sprintf(format, args...))
}

var (
	link   = regexp.MustCompile(`\]\(<?([^)>\s]+)>?(?:\s+"[^"]*")?\)`)
	inline = regexp.MustCompile("`[^`]*`")
	notRun = regexp.MustCompile(`^<!-- not run: (.+) -->$`)
)

func (c *checker) check(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		c.fault(file, 0, "%v", err)
		return
	}
	var fence, reason string
	var block []string
	began := 0
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence == "" && strings.HasPrefix(trimmed, "```"):
			fence, block, began = strings.TrimPrefix(trimmed, "```")+" ", nil, i+1
		case fence != "" && trimmed == "```":
			c.block(file, began, strings.TrimSpace(fence), strings.Join(block, "\n")+"\n", reason)
			fence, reason = "", ""
		case fence != "":
			block = append(block, line)
		case notRun.MatchString(trimmed):
			reason = notRun.FindStringSubmatch(trimmed)[1]
		default:
			if trimmed != "" {
				reason = ""
			}
			for _, m := range link.FindAllStringSubmatch(inline.ReplaceAllString(line, ""), -1) {
				c.link(file, i+1, m[1])
			}
		}
	}
	if fence != "" {
		c.fault(file, began, "a fence is not closed")
	}
}

func (c *checker) link(file string, line int, target string) {
	u, err := url.Parse(target)
	if err != nil {
		c.fault(file, line, "the link %q is no URL", target)
		return
	}
	if u.Scheme != "" {
		return
	}
	c.links++
	path := file
	if u.Path != "" {
		path = filepath.Join(filepath.Dir(file), u.Path)
		if strings.HasPrefix(u.Path, "/") {
			path = filepath.Join(c.root, u.Path)
		}
	}
	if _, err := os.Stat(path); err != nil {
		c.fault(file, line, "the link %q leads to nothing", target)
		return
	}
	if u.Fragment == "" || !strings.HasSuffix(path, ".md") {
		return
	}
	text, err := os.ReadFile(path)
	if err != nil || !headings(string(text))[strings.ToLower(u.Fragment)] {
		c.fault(file, line, "the link %q leads to a heading that is not there", target)
	}
}

// headings are the anchors of a text, as GitHub makes them.
func headings(text string) map[string]bool {
	found := map[string]bool{}
	for _, line := range strings.Split(text, "\n") {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		var b strings.Builder
		for _, r := range strings.ToLower(strings.TrimSpace(title)) {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				b.WriteRune(r)
			case r == ' ':
				b.WriteByte('-')
			}
		}
		found[b.String()] = true
	}
	return found
}

func (c *checker) block(file string, line int, language, text, reason string) {
	switch language {
	case "go":
		c.snippets++
		c.snippet(file, line, text)
	case "sh":
		if out, err := exec.Command("bash", "-n", "-c", text).CombinedOutput(); err != nil {
			c.fault(file, line, "the commands do not parse: %s", out)
			return
		}
		if reason != "" {
			c.skipped++
			return
		}
		c.commands++
		if !c.run {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
		cmd.Dir = c.root
		if out, err := cmd.CombinedOutput(); err != nil {
			c.fault(file, line, "%s fails (%v):\n%s", strings.TrimSpace(text), err, out)
		}
	}
}

// snippet builds a whole program, and parses a fragment.
func (c *checker) snippet(file string, line int, text string) {
	if !strings.HasPrefix(text, "package ") && !strings.Contains(text, "\npackage ") {
		if _, err := format.Source([]byte(text)); err != nil {
			c.fault(file, line, "the Go fragment does not parse: %v", err)
		}
		return
	}
	dir, err := os.MkdirTemp(c.root, ".mdcheck-")
	if err != nil {
		c.fault(file, line, "%v", err)
		return
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(text), 0o600); err != nil {
		c.fault(file, line, "%v", err)
		return
	}
	cmd := exec.Command("go", "vet", "./"+filepath.Base(dir))
	cmd.Dir = c.root
	if out, err := cmd.CombinedOutput(); err != nil {
		c.fault(file, line, "the Go program does not build:\n%s", out)
	}
}
