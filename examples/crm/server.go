package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

//go:embed ui
var files embed.FS

// server is the pages over an app.
type server struct {
	*app
	pages   *template.Template
	csrfKey []byte
	host    string // that requests may name beside this machine's own; empty: none
	demo    string // said at the foot of the table
	print   func(line string)
	done    <-chan struct{} // closed when streams are to end

	mu      sync.Mutex // guards notices
	notices map[string]string
}

// maxBody is the largest form in bytes.
const maxBody = 64 << 10

func newServer(a *app, key masterKey, done <-chan struct{}) (*server, error) {
	s := &server{app: a, csrfKey: key.derive("csrf"), notices: map[string]string{}, done: done}
	version := sha256.New()
	for _, name := range []string{"ui/page.css", "ui/page.js"} {
		text, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		version.Write(text)
	}
	v := hex.EncodeToString(version.Sum(nil)[:6])
	var err error
	s.pages, err = template.New("").Funcs(template.FuncMap{"version": func() string { return v }}).ParseFS(files, "ui/*.html")
	return s, err
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.table)
	mux.HandleFunc("GET /events", s.tableEvents)
	mux.HandleFunc("GET /add", s.addForm)
	mux.HandleFunc("POST /add", s.add)
	mux.HandleFunc("POST /test", s.test)
	mux.HandleFunc("GET /host/{host}/forgive", s.askForgive)
	mux.HandleFunc("POST /host/{host}/forgive", s.forgive)
	mux.HandleFunc("POST /simulated", s.addSimulated)
	mux.HandleFunc("GET /pbx/{id}", s.detail)
	mux.HandleFunc("GET /pbx/{id}/events", s.detailEvents)
	mux.HandleFunc("GET /pbx/{id}/edit", s.editForm)
	mux.HandleFunc("POST /pbx/{id}/edit", s.edit)
	mux.HandleFunc("POST /pbx/{id}/connect", s.connect)
	mux.HandleFunc("POST /pbx/{id}/disconnect", s.disconnect)
	mux.HandleFunc("POST /pbx/{id}/retry", s.retry)
	mux.HandleFunc("GET /pbx/{id}/remove", s.askRemove)
	mux.HandleFunc("GET /pbx/{id}/again", s.askAgain)
	mux.HandleFunc("POST /pbx/{id}/remove", s.removePBX)
	mux.HandleFunc("POST /pbx/{id}/extensions", s.extensions)
	mux.HandleFunc("POST /pbx/{id}/simulate/{what}", s.misbehave)
	static, err := fs.Sub(files, "ui")
	if err != nil {
		panic(err) // embedded
	}
	assets := http.StripPrefix("/static/", http.FileServerFS(static))
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) {
		if file := r.PathValue("file"); !slices.Contains([]string{"page.css", "page.js", "icon.svg"}, file) {
			s.notFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		assets.ServeHTTP(w, r)
	})
	mux.HandleFunc("/", s.notFound)
	return s.secure(mux)
}

// patience is how long a browser may take to read what is written to it. It begins
// anew with every write, and not before the first one: a connection test takes longer.
const patience = 10 * time.Second

// hurried is a response that does not wait without end for a browser that reads nothing.
type hurried struct{ http.ResponseWriter }

func (h hurried) WriteHeader(status int) {
	h.hurry()
	h.ResponseWriter.WriteHeader(status)
}

func (h hurried) Write(p []byte) (int, error) {
	h.hurry()
	return h.ResponseWriter.Write(p)
}

func (h hurried) hurry() {
	http.NewResponseController(h.ResponseWriter).SetWriteDeadline(time.Now().Add(patience)) // an error: there is no connection
}

// Unwrap is for http.ResponseController.
func (h hurried) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// secure refuses what no page of ours sends, and tells the browser to do no more
// than our pages need.
func (s *server) secure(next http.Handler) http.Handler {
	// A program at another port of this machine may set our cookie, and it can read a
	// token of its own.
	origins := http.NewCrossOriginProtection()
	if s.host != "" {
		for _, scheme := range []string{"https://", "http://"} {
			_ = origins.AddTrustedOrigin(scheme + s.host) // what stands in front may change Host; a name that is none is trusted with nothing
		}
	}
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := hurried{raw}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.ownHost(r.Host) {
			s.fail(w, r, http.StatusMisdirectedRequest, "This page has another address", "Open it under the address that the program printed when it started.")
			return
		}
		visitor, known := s.visitor(r)
		if !known {
			http.SetCookie(w, &http.Cookie{Name: cookieName, Value: visitor, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			r.AddCookie(&http.Cookie{Name: cookieName, Value: visitor})
		}
		r.Body = http.MaxBytesReader(raw, r.Body, maxBody) // a GET may have one too
		if r.Method == http.MethodPost {
			err := r.ParseForm()
			var large *http.MaxBytesError
			switch {
			case origins.Check(r) != nil:
				s.fail(w, r, http.StatusForbidden, "Not done: another site sent this form", "Nothing was changed. Open the page yourself, then repeat what you did.")
				return
			case errors.As(err, &large):
				s.fail(w, r, http.StatusRequestEntityTooLarge, "Not saved: this form is too large", "Nothing was changed. A form may have 64 KB.")
				return
			case err != nil || !readable(r.PostForm):
				s.fail(w, r, http.StatusBadRequest, "Not saved: this form cannot be read", "Nothing was changed. Open the page again.")
				return
			case !s.genuine(r):
				s.stale(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// readable reports whether a form is text. JSON would change what is not, so that a
// password would be another one after a restart.
func readable(form url.Values) bool {
	for name, values := range form {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return false
		}
	}
	return true
}

// ownHost reports whether a request was made for this server: a page of another
// name that resolves to this machine must not reach it.
func (s *server) ownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && addr.IsLoopback() {
		return true
	}
	return strings.EqualFold(name, "localhost") || s.host != "" && strings.EqualFold(name, s.host)
}

const cookieName = "crm_visitor"

// visitor returns the name that the browser's cookie holds, or a new one.
func (s *server) visitor(r *http.Request) (name string, known bool) {
	if c, err := r.Cookie(cookieName); err == nil && len(c.Value) == 26 {
		return c.Value, true
	}
	return rand.Text(), false
}

// token is what every form of a visitor carries, so that a page of another site
// cannot post one.
func (s *server) token(r *http.Request) string {
	visitor, _ := s.visitor(r)
	mac := hmac.New(sha256.New, s.csrfKey)
	io.WriteString(mac, visitor)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *server) genuine(r *http.Request) bool {
	return hmac.Equal([]byte(r.PostForm.Get("token")), []byte(s.token(r)))
}

// stale says that a form was not accepted. A form with settings comes back with
// what was typed, but for the secrets.
func (s *server) stale(w http.ResponseWriter, r *http.Request) {
	const text = "This page was open for too long. Nothing was changed. Type the password again, then press “Save and connect”."
	if r.PostForm.Has("url") && !wantsJSON(r) {
		if saved, ok := s.savedOf(r); ok {
			e := read(r.PostForm, saved)
			f := e.draw([]problem{{Text: text}})
			f.Failed = "Not saved"
			s.showForm(w, r, http.StatusForbidden, withSecretsAgain(f, e))
			return
		}
	}
	s.fail(w, r, http.StatusForbidden, "Not done: this page was open for too long", "Nothing was changed. Open the page again, then repeat what you did.")
}

// base is what every page needs.
type base struct {
	Title  string // of the window
	Crumb  string // the last part of the path; empty: the table
	Token  string
	Notice string
	Stream string // the address of the page's events; empty: none
}

func (s *server) base(r *http.Request, title, crumb, stream string) base {
	return base{Title: title, Crumb: crumb, Token: s.token(r), Notice: s.takeNotice(r), Stream: stream}
}

// render writes a page, or nothing of it.
func (s *server) render(w http.ResponseWriter, status int, name string, data any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, data); err != nil {
		http.Error(w, "The page cannot be drawn: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(page.Bytes())
}

// fragment is a part of a page, for its stream.
func (s *server) fragment(name string, data any) string {
	var part strings.Builder
	if err := s.pages.ExecuteTemplate(&part, name, data); err != nil {
		return ""
	}
	return part.String()
}

// fail says what went wrong, on a page of its own.
func (s *server) fail(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	if wantsJSON(r) {
		writeJSON(w, status, map[string]string{"notice": title + ". " + text})
		return
	}
	s.render(w, status, "fail", struct {
		base
		Text string
	}{s.base(r, title, title, ""), text})
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, "There is no such page", "The PBX may have been removed. Go back to the list of connections.")
}

// say keeps a notice for the visitor's next page.
func (s *server) say(r *http.Request, text string) {
	visitor, _ := s.visitor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.notices) > 1000 {
		clear(s.notices) // of visitors who never came back
	}
	s.notices[visitor] = text
}

func (s *server) takeNotice(r *http.Request) string {
	visitor, _ := s.visitor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.notices[visitor]
	delete(s.notices, visitor)
	return text
}

// finish ends an action: the script gets the notice, without script the browser
// goes to a page that shows it.
func (s *server) finish(w http.ResponseWriter, r *http.Request, notice, path string) {
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]string{"notice": notice})
		return
	}
	if notice != "" {
		s.say(r, notice)
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func wantsJSON(r *http.Request) bool { return r.Header.Get("Accept") == "application/json" }

// find returns the PBX that the path names, or says that there is none.
func (s *server) find(w http.ResponseWriter, r *http.Request) (*entry, Settings, bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err == nil {
		if e, settings, ok := s.entry(id); ok {
			return e, settings, true
		}
	}
	s.notFound(w, r)
	return nil, Settings{}, false
}

// back is the page that an action was done on: the PBX's own or the table.
func back(r *http.Request, own string) string {
	if from := r.Referer(); strings.HasSuffix(from, own) {
		return own
	}
	return "/"
}
