package asterisksim

import (
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Challenge is the first step of a login, for faults.
const Challenge pbxsim.Action = "challenge"

const (
	maxBody = 40 << 10 // bytes of a form
	maxLine = 4093     // bytes of a request line
	refusal = time.Second
)

func (a *asterisk) Action(r *pbxsim.Request) pbxsim.Action {
	if a.format(r.URL.Path) == none {
		return pbxsim.Web
	}
	switch strings.ToLower(parameters(r).action()) {
	case "challenge":
		return Challenge
	case "login":
		return pbxsim.Login
	case "ping":
		return pbxsim.KeepAlive
	case "logoff":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (a *asterisk) Serve(accounts *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	format := a.format(r.URL.Path)
	switch {
	case len(r.Method+" "+r.RequestURI+" "+r.Proto) > maxLine:
		return page(http.StatusBadRequest, "Bad Request", "Request line too long")
	case a.HTTPDenied:
		return page(http.StatusForbidden, "Forbidden", "Access denied by ACL")
	case format == none:
		return a.neighbour(r)
	case a.WebDisabled:
		return page(http.StatusNotFound, "Not Found", "The requested URL was not found on this server.")
	case r.Method != http.MethodPost && r.Method != http.MethodGet && r.Method != http.MethodHead:
		return page(http.StatusNotImplemented, "Not Implemented", "Attempt to use unimplemented / unsupported method")
	case len(r.Body) > maxBody:
		return page(http.StatusRequestEntityTooLarge, "Request Entity Too Large", "Body too large")
	}

	in := parameters(r)
	log := &journal{r: r, user: in.get("Username")}
	a.mu.Lock()
	reply, refused := a.act(accounts, r, in, log)
	a.mu.Unlock()
	if a.Log != nil {
		io.WriteString(a.Log, log.lines.String())
	}
	format.write(&reply)
	if refused {
		wait := time.NewTimer(refusal)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done():
		}
	}
	return reply
}

// act responds to an action, in its session or in a new one. refused says that the
// answer takes its time. a.mu is held.
func (a *asterisk) act(accounts *pbxsim.Accounts, r *pbxsim.Request, in params, log *journal) (reply pbxsim.Reply, refused bool) {
	id := cookie(r)
	session := a.find(id) // nil: logged in, or none
	live := false
	if session == nil && id != "" {
		switch r.Action {
		case pbxsim.KeepAlive:
			live = accounts.KeepAlive(id) == pbxsim.OK
		case pbxsim.Logout:
			live = accounts.Logout(id) == pbxsim.OK
		default:
			live = accounts.Use(id) == pbxsim.OK
		}
	}
	if session == nil && !live {
		id, session = a.open()
	}
	if session != nil {
		a.touch(session)
	}
	answer := func(response string, lines ...string) pbxsim.Reply {
		return a.answer(id, block(in, response, lines...))
	}
	fail := func(message string) pbxsim.Reply { return answer("Error", "Message: "+message) }

	action, user := in.action(), a.account(log.user)
	denied := func() pbxsim.Reply {
		log.notAllowed(a.owner(accounts, id), action)
		return fail("Permission denied")
	}
	switch {
	case action == "":
		log.security("RequestBadFormat", "", `RequestType="Action: NONE",`)
		return fail("Missing action in request"), false
	case a.ShuttingDown:
		return fail("Asterisk is shutting down"), false
	case r.Action == pbxsim.Logout:
		delete(a.waiting, id)
		return answer("Goodbye", "Message: Thanks for all the fish."), false
	case session != nil && r.Action != pbxsim.Login && r.Action != Challenge:
		return denied(), false
	case session != nil && a.SingleLogin && len(accounts.Tokens(user)) > 0:
		delete(a.waiting, id)
		log.security("SessionLimit", "", "")
		return fail("Login Already In Use"), true
	case r.Action == Challenge && !strings.EqualFold(in.get("AuthType"), "MD5"):
		return fail("Must specify AuthType"), false
	case r.Action == Challenge:
		challenge := fmt.Sprint(100_000_000 + rand.IntN(900_000_000))
		if session != nil {
			if session.challenge == "" {
				session.challenge = challenge
			}
			challenge = session.challenge
		}
		return answer("Success", "Challenge: "+challenge), false
	case r.Action == pbxsim.Login && live:
		return answer("Success", "Message: Already authenticated"), false
	case r.Action == pbxsim.Login:
		delete(a.waiting, id)
		a.reserved.Store(&id)
		known, expected := false, ""
		token, v := accounts.Login(user, func(secret string) bool {
			known, expected = true, session.key(secret)
			return !a.denied(user) && session.proves(in, secret)
		})
		a.reserved.Store(nil)
		if v != pbxsim.OK {
			log.refused(known, a.denied(user), in, session.challenge, expected)
			return fail("Authentication failed"), true
		}
		log.security("SuccessfulAuth", log.user, `UsingPassword="0",`)
		id = token.Value
		return a.answer(id, block(in, "Success", "Message: Authentication accepted")+a.fullyBooted(in)), false
	case r.Action == pbxsim.KeepAlive:
		now := time.Now()
		return answer("Success", "Ping: Pong", fmt.Sprintf("Timestamp: %d.%06d", now.Unix(), now.Nanosecond()/1000)), false
	}
	if own, ok := accounts.Respond("text/plain"); ok {
		return a.answer(id, string(own.Body)), false
	}
	switch strings.ToLower(action) {
	case "listcommands": // as a user with write= empty sees them
		return answer("Success",
			"Challenge: Generate Challenge for MD5 Auth.  (Priv: <none>)",
			"ListCommands: List available manager commands.  (Priv: <none>)",
			"Login: Login Manager.  (Priv: <none>)",
			"Logoff: Logoff Manager.  (Priv: <none>)",
			"Ping: Keepalive command.  (Priv: <none>)"), false
	case "pjsipshowendpoints":
		if a.SystemPermission {
			reply := answer("Success", "EventList: start", "Message: A listing of Endpoints follows, presented as EndpointList events")
			reply.Body = append(reply.Body, a.endpoints(in)...)
			return reply, false
		}
		return denied(), false
	case "corestatus":
		if a.SystemPermission {
			return answer("Success", "CoreStartupDate: 2026-01-01", "CoreStartupTime: 00:00:00", "CoreReloadDate: 2026-01-01", "CoreReloadTime: 00:00:00", "CoreCurrentCalls: 0"), false
		}
		return denied(), false
	case "command", "originate": // which take other permissions
		return denied(), false
	}
	log.security("RequestBadFormat", a.owner(accounts, id), fmt.Sprintf("RequestType=%q,", "Action: "+action))
	return fail("Invalid/unknown command: " + action + ". Use Action: ListCommands to show available commands."), false
}

// fullyBooted is what follows a login that asks for events.
func (a *asterisk) fullyBooted(in params) string {
	if !strings.EqualFold(in.get("Events"), "on") {
		return ""
	}
	return "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: 113\r\nLastReload: 62\r\nStatus: Fully Booted\r\n\r\n"
}

// params are a request's parameters, in their order.
type params [][2]string

// parameters reads them from a POST's form, or else from the query, as Asterisk
// does: a POST's query is not looked at, and neither is a body that is no form.
func parameters(r *pbxsim.Request) params {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		text = string(r.Body)
		if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/x-www-form-urlencoded" {
			return nil
		}
	}
	var all params
	for part := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(part, "=")
		all = append(all, [2]string{decode(name), decode(value)})
	}
	return all
}

func decode(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// get returns the last value of a name in any case, without what is not above a
// blank at its beginning.
func (p params) get(name string) (value string) {
	for _, pair := range p {
		if strings.EqualFold(pair[0], name) {
			value = strings.TrimLeftFunc(pair[1], func(r rune) bool { return r <= ' ' })
		}
	}
	return value
}

// action returns the first action that is not empty.
func (p params) action() string {
	for _, pair := range p {
		if one := (params{pair}).get("Action"); one != "" {
			return one
		}
	}
	return ""
}

// block is one response. An ActionID comes back as it was sent.
func block(in params, response string, lines ...string) string {
	text := "Response: " + response + "\r\n"
	if id := in.get("ActionID"); id != "" {
		text += "ActionID: " + id + "\r\n"
	}
	for _, line := range lines {
		text += line + "\r\n"
	}
	return text + "\r\n"
}

const server = "Asterisk/22.10.1+dfsg+~cs6.17.60671434-1" // Debian's

// answer sends a text, and the session's cookie, which every response brings.
func (a *asterisk) answer(id, text string) pbxsim.Reply {
	life := max(1, int(a.life/time.Second))
	return pbxsim.Reply{
		Header: http.Header{
			"Server":        {server},
			"Cache-Control": {"no-cache, no-store"},
			"Content-Type":  {"text/plain"},
			"Set-Cookie":    {fmt.Sprintf(`mansession_id="%s"; Version=1; Max-Age=%d`, id, life)},
			"Pragma":        {"SuppressEvents"},
		},
		Body: []byte(text),
	}
}

// page is an error of the HTTP server itself.
func page(status int, title, text string) pbxsim.Reply {
	reply := pbxsim.Reply{
		Status: status,
		Header: http.Header{
			"Server":        {server},
			"Cache-Control": {"no-cache, no-store"},
			"Content-Type":  {"text/html"},
		},
		Body: fmt.Appendf(nil, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\r\n<html><head>\r\n<title>%d %s</title>\r\n</head><body>\r\n"+
			"<h1>%s</h1>\r\n<p>%s</p>\r\n<hr />\r\n<address>%s</address>\r\n</body></html>\r\n", status, title, title, text, server),
	}
	if status == http.StatusBadRequest || status == http.StatusRequestEntityTooLarge {
		reply.Header.Set("Connection", "close")
	}
	return reply
}
