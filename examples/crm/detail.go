package main

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// detailPage is the page of one PBX.
type detailPage struct {
	base
	ID        int64
	Name      string
	Brand     string
	Host      string
	Simulated bool
	Unusable  bool   // it can only be removed
	Lists     string // what the CRM's own request lists; empty: it knows none for this brand
	Mischiefs []mischief
	Blocks    map[string]template.HTML
}

func (s *server) detail(w http.ResponseWriter, r *http.Request) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	now := time.Now()
	d, _ := pbx.Lookup(settings.Driver)
	path := "/pbx/" + settings.key()
	p := detailPage{
		base: s.base(r, settings.Name, settings.Name, path+"/events"), ID: settings.ID, Name: settings.Name,
		Brand: shortTitle(d, settings.Driver), Host: settings.host(), Unusable: unusable(settings),
		Blocks: map[string]template.HTML{},
	}
	if how, ok := listingOf(settings); ok {
		p.Lists = how.Noun() + "s"
	}
	if sim := s.sims.at(settings.host()); sim != nil {
		p.Simulated, p.Mischiefs = true, sim.mischiefs()
	}
	for id, text := range s.detailBlocks(e, now) {
		p.Blocks[id] = template.HTML(text) // from the same templates
	}
	s.render(w, http.StatusOK, "detail", p)
}

// unusable reports whether no session can be made of settings: their PBX can only be
// removed.
func unusable(s Settings) bool {
	_, known := pbx.Lookup(s.Driver)
	return !known || s.Damaged
}

// detailBlocks are the parts of a PBX's page that the stream replaces.
func (s *server) detailBlocks(e *entry, now time.Time) map[string]string {
	f := s.facts(e)
	f.hold = holds(s.fleet.Hosts())[f.settings.key()]
	r := present(f, now)
	events := e.journal.all()
	t := timeline{now: now, events: events, expires: f.token.expires, next: f.status.Next}
	t.live = f.token.expires.After(now) || f.status.State == session.Live
	switch {
	case r.Group == needsYou:
		t.nextIs, t.next = "nothing until you act", time.Time{}
	case r.At != 0:
		t.next, t.nextIs = time.UnixMilli(r.At), nextOf(f, r)
	}
	data := struct {
		row
		Since      string
		SinceAt    string
		Text       string
		TextAt     string // Text with a time of day, for a page that is no longer live
		Tally      string
		Slimmer    string // the tally of the narrow picture
		Wide, Slim template.HTML
		Story      []line
		Details    []detail
		Closed     bool
		Unusable   bool
	}{row: r, Closed: !f.settings.Disconnected.IsZero(), Unusable: unusable(f.settings), Since: r.since(now), SinceAt: clock(time.UnixMilli(r.Since), now), Text: r.expand(now), TextAt: r.expandAt(now), Tally: t.tally(wide.past).String(), Slimmer: t.tally(narrow.past).String(),
		Wide:  t.draw(wide, "The session of "+r.Name+", last 10 minutes", t.desc(r, wide.past)),
		Slim:  t.draw(narrow, "The session of "+r.Name+", last 5 minutes", t.desc(r, narrow.past)),
		Story: story(events, 50), Details: s.detailsOf(f, r, now)}
	blocks := map[string]string{}
	for _, id := range []string{"head", "buttons", "trouble", "times", "story", "details"} {
		blocks[id] = s.fragment("detail-"+id, data)
	}
	return blocks
}

// detail is one line of the details.
type detail struct {
	Label, Text string
	Mono        string
}

// nextOf is what the session does at r.At.
func nextOf(f facts, r row) string {
	switch {
	case r.Group == loggedIn && r.Technical == "":
		return "next " + strings.ToLower(strings.TrimSuffix(renewalOf(f.traits, 1), " {in}"))
	case !f.status.Check.IsZero():
		return "next check"
	}
	return "next try"
}

func (a *app) detailsOf(f facts, r row, now time.Time) []detail {
	s := f.settings
	secret := passwordLabel(f.driver)
	if key, ok := keyOption(f.driver); ok && s.Password.IsZero() {
		secret = key.Label
	}
	var details []detail
	if s.Username != "" {
		details = append(details, detail{Label: userLabel(f.driver), Text: s.Username})
	}
	kept := "set, not shown"
	if s.Damaged {
		kept = "damaged"
	}
	details = append(details, detail{Label: secret, Text: kept})
	token := "none"
	if !f.token.expires.IsZero() {
		token = "valid until " + exact(f.token.expires, now)
	} else if f.status.State == session.Live {
		token = "valid, no known expiry"
	}
	details = append(details, detail{Label: "Token", Text: token})
	if by := processOf(f.status); by != "" {
		details = append(details, detail{Label: "Brought by", Text: "process " + by})
	}
	if r.At != 0 {
		details = append(details, detail{Label: "Next", Text: strings.TrimPrefix(nextOf(f, r), "next ") + " " + moment(time.UnixMilli(r.At), now)})
	}
	switch {
	case s.Damaged: // nothing says that a person has trusted this pin
	case s.Pin != "":
		details = append(details, detail{Label: "Certificate", Text: "trusted by pin", Mono: fmt.Sprintf("%.8s…", strings.TrimPrefix(s.Pin, "sha256/"))})
	case strings.HasPrefix(s.URL, "http:"):
		details = append(details, detail{Label: "Certificate", Text: "none: plain http"})
	default:
		details = append(details, detail{Label: "Certificate", Text: "verified by this system"})
	}
	if f.open {
		lock := "this brand locks nobody out"
		if !f.traits.Lockout.None {
			used, most := spent(a.fleet.Hosts(), f.traits)
			lock = fmt.Sprintf("%d of %s used", used, many(most, "wrong login"))
		}
		details = append(details, detail{Label: "Lockout", Text: lock})
	}
	if r.Technical != "" {
		details = append(details, detail{Label: "Last error", Mono: r.Technical})
	}
	return details
}

// connect, disconnect and retry are the buttons of a row and of the page.

func (s *server) connect(w http.ResponseWriter, r *http.Request) {
	s.switchTo(w, r, "Connect", time.Time{}, "")
}

func (s *server) disconnect(w http.ResponseWriter, r *http.Request) {
	s.switchTo(w, r, "Disconnect", time.Now(), "")
}

func (s *server) switchTo(w http.ResponseWriter, r *http.Request, label string, disconnected time.Time, notice string) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	e.journal.add(event{At: time.Now(), Kind: pressed, Label: label})
	settings.Disconnected = disconnected
	_, err := s.save(r.Context(), settings)
	if errors.Is(err, errChanged) { // by another window or process: that change stays
		s.reload(context.WithoutCancel(r.Context()))
		if _, changed, ok := s.entry(settings.ID); ok {
			changed.Disconnected = disconnected
			_, err = s.save(r.Context(), changed)
		}
	}
	if err != nil {
		notice = sentence(err.Error())
	}
	s.finish(w, r, notice, back(r, "/pbx/"+settings.key()))
}

func (s *server) retry(w http.ResponseWriter, r *http.Request) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	notice := ""
	e.journal.add(event{At: time.Now(), Kind: pressed, Label: "Try now"})
	if err := s.fleet.Retry(r.Context(), settings.key()); err != nil {
		notice = unsent(err)
	}
	s.hub.changed(settings.ID)
	s.finish(w, r, notice, back(r, "/pbx/"+settings.key()))
}

// unsent says why a retry did nothing.
func unsent(err error) string {
	if errors.Is(err, pbx.ErrLocked) {
		return heldBackText
	}
	var of *session.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	text := err.Error()
	var failure *pbx.Error
	if errors.As(err, &failure) {
		text = failure.Message
	}
	return sentence("not sent: " + strings.TrimPrefix(strings.TrimPrefix(text, "not retried: "), "not sent: "))
}

const heldBackText = "Not sent: logins to this host are held back. The list of connections says by whom and until when."

// question is asked before an action that can hurt. Under script it is a dialog.
type question struct {
	base
	Question, Text string
	Problem        string // why nothing was done; empty: not tried yet
	Tick           string // what has to be ticked; empty: nothing
	Verb           string // of the button
	Action, Back   string // where the buttons lead
}

func (s *server) ask(w http.ResponseWriter, r *http.Request, q question) {
	q.base = s.base(r, q.Question, q.Verb, "")
	s.render(w, http.StatusOK, "confirm", q)
}

func (s *server) askRemove(w http.ResponseWriter, r *http.Request) {
	if _, settings, ok := s.find(w, r); ok {
		path, text := "/pbx/"+settings.key(), "Its session logs out. Settings and password are deleted."
		if settings.Damaged {
			text = "What is left of its settings is deleted from the settings file."
		}
		s.ask(w, r, question{Question: "Remove " + settings.Name + "?", Text: text,
			Verb: "Remove", Action: path + "/remove", Back: path})
	}
}

func (s *server) askAgain(w http.ResponseWriter, r *http.Request) {
	if e, settings, ok := s.find(w, r); ok {
		path := "/pbx/" + settings.key()
		text := "One login with the same password is sent. "
		f := s.facts(e)
		used, most := spent(s.fleet.Hosts(), f.traits)
		switch {
		case f.traits.Lockout.None:
			text += "This brand locks nobody out."
		case used < most:
			text += "If it is wrong, " + ofBudget(used+1, most) + "."
		default:
			text = "Nothing is sent until our budget allows it: " + ofBudget(used, most) + "."
		}
		s.ask(w, r, question{Question: "Send the same password again?", Text: text, Verb: "Send the same again", Action: path + "/retry", Back: path})
	}
}

func (s *server) removePBX(w http.ResponseWriter, r *http.Request) {
	_, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	if err := s.remove(r.Context(), settings.ID); err != nil {
		s.fail(w, r, http.StatusInternalServerError, "Not removed", sentence(err.Error()))
		return
	}
	notice := fmt.Sprintf("“%s” is removed.", settings.Name)
	if !settings.Damaged {
		notice += " Its session logs out."
	}
	s.say(r, notice)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// extensions makes a request of the CRM's own.
func (s *server) extensions(w http.ResponseWriter, r *http.Request) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	o := s.listExtensions(r.Context(), e, settings)
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]any{"result": o.Text, "ok": o.OK})
		return
	}
	s.finish(w, r, o.Text, "/pbx/"+settings.key())
}

// misbehave is a button of a simulated PBX.
func (s *server) misbehave(w http.ResponseWriter, r *http.Request) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	sim := s.sims.at(settings.host())
	if sim == nil {
		s.fail(w, r, http.StatusNotFound, "This is not a simulated PBX", "Only simulated PBXs have these buttons.")
		return
	}
	label, err := sim.misbehave(r.PathValue("what"))
	notice := ""
	if err != nil {
		notice = sentence(err.Error())
	} else {
		e.journal.add(event{At: time.Now(), Kind: pressed, Label: label})
	}
	if label == "Change password on" {
		s.print(sim.announce())
		notice = "The PBX has a new password. This program’s terminal shows it."
	}
	s.hub.changed(settings.ID)
	if wantsJSON(r) {
		on := map[string]bool{}
		for _, m := range sim.mischiefs() {
			on[m.Name] = m.On
		}
		writeJSON(w, http.StatusOK, map[string]any{"notice": notice, "pressed": on})
		return
	}
	s.finish(w, r, notice, "/pbx/"+settings.key())
}
