package golden

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Replay is an [http.RoundTripper] that plays exchanges, each one once and in
// their order, and notes how the requests differ from them. It sends nothing
// anywhere, and starts no goroutine.
type Replay struct {
	mu   sync.Mutex // guards all below
	left []Exchange
	diff []string
}

// NewReplay returns a Replay of these exchanges.
func NewReplay(exchanges ...Exchange) *Replay {
	return &Replay{left: slices.Clone(exchanges)}
}

// Diff returns what differed so far, with all that was expected and has not
// come; "" if nothing.
func (p *Replay) Diff() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	diff := slices.Clone(p.diff)
	for _, x := range p.left {
		diff = append(diff, x.Name+": was not asked for: "+x.Request.Line)
	}
	return strings.Join(diff, "\n")
}

// RoundTrip responds to r with the next exchange, also where r differs from it.
// It fails when there is none left.
func (p *Replay) RoundTrip(r *http.Request) (*http.Response, error) {
	// Written out and read back, r is what goes over the wire.
	var sent bytes.Buffer
	if err := r.Write(&sent); err != nil { // closes the body
		return nil, err
	}
	line, _, _ := strings.Cut(sent.String(), "\r\n")
	got, err := http.ReadRequest(bufio.NewReader(&sent))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return nil, err
	}
	got.Header.Set("Host", got.Host) // ReadRequest takes it out
	request := Message{Line: line, Header: got.Header, Body: string(body)}

	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.left) == 0 {
		p.diff = append(p.diff, "one request too many: "+line)
		return nil, fmt.Errorf("golden: no exchange is left for this %s", r.Method)
	}
	x := p.left[0]
	p.left = p.left[1:]
	made, diff := x.compare(request)
	p.diff = append(p.diff, diff...)
	return http.ReadResponse(bufio.NewReader(strings.NewReader(x.Response.wire(made))), r)
}

// compare returns what the client made up, in the form of a [strings.Replacer],
// and how got differs.
func (x Exchange) compare(got Message) (made, diff []string) {
	differs := func(what, want, got string) {
		diff = append(diff, fmt.Sprintf("%s: %s:\n\twant %#q\n\t got %#q", x.Name, what, want, got))
	}
	if x.Request.Line != got.Line {
		differs("request line", x.Request.Line, got.Line)
	}
	for _, name := range slices.Sorted(maps.Keys(x.Request.Header)) {
		want, got := strings.Join(x.Request.Header[name], "\n"), strings.Join(got.Header[name], "\n")
		if want != got {
			differs(name, want, got)
		}
	}
	// What lies between the made-up texts is literal.
	names := invented.FindAllString(x.Request.Body, -1)
	pattern := regexp.QuoteMeta(x.Request.Body)
	for _, name := range names {
		pattern = strings.Replace(pattern, regexp.QuoteMeta(name), `([^"'<>]+)`, 1)
	}
	match := regexp.MustCompile(`^` + pattern + `$`).FindStringSubmatch(got.Body)
	if match == nil {
		differs("body", x.Request.Body, got.Body)
		return nil, diff
	}
	for i, name := range names {
		made = append(made, name, match[i+1])
	}
	return made, diff
}

// wire writes out a response.
func (m Message) wire(made []string) string {
	body := strings.NewReplacer(made...).Replace(m.Body)
	header := m.Header.Clone()
	header.Set("Content-Length", fmt.Sprint(len(body)))
	var out strings.Builder
	out.WriteString(m.Line + "\r\n")
	header.Write(&out)
	out.WriteString("\r\n" + body)
	return out.String()
}
