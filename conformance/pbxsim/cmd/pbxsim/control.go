package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// control is the HTTP API that makes simulators misbehave.
type control struct {
	url    string
	server *http.Server
	served sync.WaitGroup
}

func newControl(address string, pbxs []running) (*control, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &control{url: "http://" + l.Addr().String(), server: &http.Server{Handler: controlHandler(pbxs), ReadHeaderTimeout: 10 * time.Second}}
	c.served.Go(func() { c.server.Serve(l) })
	return c, nil
}

func (c *control) close() {
	c.server.Close()
	c.served.Wait()
}

// outages are the modes of POST /NAME/down.
var outages = map[string]pbxsim.Outage{
	"refusing": pbxsim.Refusing, "resetting": pbxsim.Resetting, "silent": pbxsim.Silent, "502": pbxsim.BadGateway,
	"500": pbxsim.Failing, "503": pbxsim.Unavailable, "404": pbxsim.Starting, "api-down": pbxsim.APIDown,
	"401": pbxsim.AsksForPassword, "407": pbxsim.ProxyAsksForPassword, "403": pbxsim.Forbidden,
	"302": pbxsim.Redirecting, "200": pbxsim.Maintaining, "no-route": pbxsim.NoRoute,
}

// seen is what GET /NAME returns.
type seen struct {
	Name    string        `json:"name"`
	URL     string        `json:"url"`
	Counts  pbxsim.Counts `json:"counts"`
	Locked  bool          `json:"locked"` // 127.0.0.1 is
	Unlocks time.Time     `json:"locked_until,omitzero"`
}

func look(p running) seen {
	until, locked := p.sim.Locked("127.0.0.1")
	return seen{p.name, p.server.URL, p.sim.Counts(), locked, until}
}

// actions are what can be done to a PBX by POST /NAME/ACTION. The body is a form.
var actions = map[string]func(p running, r *http.Request) error{
	"restart": func(p running, _ *http.Request) error { p.sim.Restart(); return nil },
	"up":      func(p running, _ *http.Request) error { p.sim.Up(); return nil },
	"down": func(p running, r *http.Request) error {
		o, ok := outages[r.PostFormValue("mode")]
		if !ok {
			return fmt.Errorf("mode %q is not one of %s", r.PostFormValue("mode"), strings.Join(keys(outages), ", "))
		}
		p.sim.Down(o)
		return nil
	},
	"lock": func(p running, r *http.Request) error {
		if user := r.PostFormValue("user"); user != "" {
			p.sim.LockAccount(user)
			return nil
		}
		p.sim.Lock(address(r))
		return nil
	},
	"unlock": func(p running, r *http.Request) error {
		if user := r.PostFormValue("user"); user != "" {
			p.sim.UnlockAccount(user)
			return nil
		}
		p.sim.Unlock(address(r))
		return nil
	},
	"password": func(p running, r *http.Request) error {
		user, password := r.PostFormValue("user"), r.PostFormValue("password")
		if user == "" || password == "" {
			return errors.New("send user and password")
		}
		p.sim.SetPassword(user, password)
		return nil
	},
	"slow": func(p running, r *http.Request) error {
		delay, err := time.ParseDuration(r.PostFormValue("delay"))
		if err != nil || delay < 0 {
			return errors.New("send delay, as in 2s; 0s ends it")
		}
		p.sim.ClearFaults()
		if delay > 0 {
			p.sim.Fault(pbxsim.Fault{Delay: delay, Times: -1})
		}
		return nil
	},
	"lose": func(p running, _ *http.Request) error { // the response to the next login
		p.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropAfter})
		return nil
	},
}

// address is the client's address in a form; 127.0.0.1 without one.
func address(r *http.Request) string {
	if a := r.PostFormValue("address"); a != "" {
		return a
	}
	return "127.0.0.1"
}

func controlHandler(pbxs []running) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		all := []seen{}
		for _, p := range pbxs {
			all = append(all, look(p))
		}
		respond(w, all)
	})
	find := func(w http.ResponseWriter, r *http.Request) (running, bool) {
		var names []string
		for _, p := range pbxs {
			if p.name == r.PathValue("name") {
				return p, true
			}
			names = append(names, p.name)
		}
		http.Error(w, fmt.Sprintf("there is no PBX %q%s", r.PathValue("name"), nearest(r.PathValue("name"), names)), http.StatusNotFound)
		return running{}, false
	}
	mux.HandleFunc("GET /{name}", func(w http.ResponseWriter, r *http.Request) {
		if p, ok := find(w, r); ok {
			respond(w, look(p))
		}
	})
	mux.HandleFunc("POST /{name}/{action}", func(w http.ResponseWriter, r *http.Request) {
		p, ok := find(w, r)
		if !ok {
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		act, ok := actions[r.PathValue("action")]
		if !ok {
			http.Error(w, fmt.Sprintf("there is no action %q%s", r.PathValue("action"), nearest(r.PathValue("action"), keys(actions))), http.StatusNotFound)
			return
		}
		if err := act(p, r); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		respond(w, look(p))
	})
	// A page in a browser must not reach this API by a host name of its own.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" {
			http.Error(w, "not for web pages", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func respond(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	io.WriteString(w, string(text)+"\n")
}
