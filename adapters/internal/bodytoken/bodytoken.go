// Package bodytoken puts a token into the JSON body of an application's request,
// for brands that have it there and nowhere else.
package bodytoken

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Place is where a brand has its token.
type Place struct {
	Driver string
	Object string // the member of the body that has the token, as in "request"
	Field  string // the token's name in it, as in "cookie"
	Form   string // a body for people, as in {"request":{"action":…}}
}

// Put sets the token in r's body, instead of any that is there. The other bytes
// stay as they are. A body without the object, or of more than 1 MiB, is an error
// of kind [pbx.ErrNotSupported], and r is not to be used.
func (p Place) Put(r *http.Request, t *pbx.Token) error {
	fault := func(err error) error {
		return &pbx.Error{Driver: p.Driver, Op: pbx.OpRequest, Kind: pbx.ErrNotSupported,
			Message: "the token goes into a body of the form " + p.Form + ", but " + err.Error()}
	}
	if r.Body == nil || r.Body == http.NoBody {
		return fault(errors.New("the request has none"))
	}
	body, err := readBody(r)
	if err != nil {
		return &pbx.Error{Driver: p.Driver, Op: pbx.OpRequest, Kind: pbx.ErrUnavailable, Message: "nothing was sent, because the request's body cannot be read", Err: err}
	}
	if len(body) > wire.MaxBody {
		return fault(fmt.Errorf("it is larger than %d KiB", wire.MaxBody>>10))
	}
	if body, err = p.set(body, t.Value.Reveal()); err != nil {
		return fault(err)
	}
	// net/http and a session both send the body again through GetBody: it has to
	// be the one with the token.
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(body))
	return nil
}

// readBody reads a request's body up to its bound, and closes it, once. r has none
// afterwards. It returns when the request's context ends, also if the application's
// reader does not.
func readBody(r *http.Request) ([]byte, error) {
	from := r.Body
	r.Body = http.NoBody
	end := sync.OnceFunc(func() { from.Close() })
	read := func() ([]byte, error) {
		defer end()
		return io.ReadAll(io.LimitReader(from, wire.MaxBody+1))
	}
	if r.GetBody != nil || r.Context().Done() == nil { // the body is in memory, or nothing ends the wait
		return read()
	}
	type result struct {
		body []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		body, err := read()
		done <- result{body, err}
	}()
	select {
	case got := <-done:
		return got.body, got.err
	case <-r.Context().Done():
		end() // which ends the read of a pipe or a connection
		return nil, r.Context().Err()
	}
}

// set sets the token in a body. Its errors quote nothing of it.
func (p Place) set(body []byte, token string) ([]byte, error) {
	outer, err := members(body)
	if err != nil {
		return nil, err
	}
	outer = slices.DeleteFunc(outer, func(m member) bool { return m.name != p.Object })
	if len(outer) != 1 {
		return nil, fmt.Errorf("it has %d members %q", len(outer), p.Object)
	}
	from, to := outer[0].from, outer[0].to
	object := body[from:to]
	inner, err := members(object)
	if err != nil {
		return nil, fmt.Errorf("its %q: %w", p.Object, err)
	}
	value, _ := json.Marshal(token) // a string always marshals

	var out []byte
	out = append(out, body[:from]...)
	at, old := 0, 0
	for _, m := range inner {
		if m.name == p.Field {
			out = append(append(out, object[at:m.from]...), value...)
			at = m.to
			old++
		}
	}
	if old == 0 {
		at = len(object) - len("}")
		out = append(out, object[:at]...)
		if len(inner) > 0 {
			out = append(out, ',')
		}
		out = append(append(out, strconv.Quote(p.Field)+":"...), value...)
	}
	return append(append(out, object[at:]...), body[to:]...), nil
}

// member is a direct member of a JSON object, and where its value is.
type member struct {
	name     string
	from, to int
}

// members lists those of an object, which text must be, from its first byte to
// its last.
func members(text []byte) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if brace, err := decoder.Token(); err != nil || brace != json.Delim('{') {
		return nil, errNoObject
	}
	var all []member
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errNoObject
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errNoObject
		}
		to := int(decoder.InputOffset())
		all = append(all, member{name.(string), to - len(value), to})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, errNoObject
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errNoObject
	}
	return all, nil
}

var errNoObject = errors.New("it is not a JSON object")
