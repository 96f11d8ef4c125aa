package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// formPage is the form to add or edit a PBX.
type formPage struct {
	base
	Form form
	Name string // of a saved PBX
}

func (s *server) showForm(w http.ResponseWriter, r *http.Request, status int, f form) {
	p := formPage{Form: f}
	title := "Add a PBX"
	if f.ID != 0 {
		if _, saved, ok := s.entry(f.ID); ok {
			p.Name, title = saved.Name, "Edit "+saved.Name
		}
	}
	if len(f.Problems) > 0 {
		p.base = s.base(r, "Error: "+title, title, "")
	} else {
		p.base = s.base(r, title, title, "")
	}
	if p.Form.Steps == nil {
		p.Form.Steps = plannedSteps()
	}
	s.render(w, status, "form", p)
}

func (s *server) addForm(w http.ResponseWriter, r *http.Request) {
	e := entered{settings: Settings{Driver: r.FormValue("driver")}}
	if _, ok := keyOption(e.driver()); ok {
		e.byKey = r.FormValue("login") == "key"
	}
	s.showForm(w, r, http.StatusOK, e.draw(nil))
}

func (s *server) editForm(w http.ResponseWriter, r *http.Request) {
	entry, saved, ok := s.find(w, r)
	if !ok {
		return
	}
	if saved.Damaged {
		s.fail(w, r, http.StatusOK, "The saved settings of this PBX are damaged", sentence(errDamaged.Error()))
		return
	}
	d, known := pbx.Lookup(saved.Driver)
	if !known {
		s.fail(w, r, http.StatusOK, fmt.Sprintf("This program has no driver “%s”", saved.Driver), "The settings are kept. Start a program that has the driver, or remove the PBX on its page.")
		return
	}
	e := entered{settings: saved, saved: saved}
	if key, ok := keyOption(d); ok && !saved.Secrets[key.Name].IsZero() {
		e.byKey = true
	}
	var problems []problem
	row := s.row(entry, time.Now())
	if row.State == "Rejected" && row.Action.Label == "Edit password" {
		problems = append(problems, problem{passwordField(saved, d), "The PBX refused this password. It is not sent again until you change it."})
	} else if err := s.fleet.Check(saved.Driver, saved.config()); err != nil {
		problems = append(problems, problemOf(err, d))
	}
	f := e.draw(problems)
	f.Failed = "Not connected"
	if n := len(f.Unknown); n > 0 {
		f.Problems = []problem{{"unknown", unknownText(n)}}
	}
	if r.FormValue("key") != "" { // a person wants to see the PBX's certificate
		t := s.newTrial(e, func(step) {})
		t.lookAtCertificate(r.Context())
		f.Steps, f.Cert = t.steps, t.cert
	}
	s.showForm(w, r, http.StatusOK, f)
}

func unknownText(n int) string {
	return fmt.Sprintf("This driver does not know %s. Remove what is not needed, then save.", many(n, "setting"))
}

// savedOf is what the form was made from: nothing for a new PBX.
func (s *server) savedOf(r *http.Request) (Settings, bool) {
	id, err := strconv.ParseInt(r.PostForm.Get("id"), 10, 64)
	if err != nil || id == 0 {
		return Settings{}, true
	}
	_, saved, ok := s.entry(id)
	return saved, ok
}

func (s *server) add(w http.ResponseWriter, r *http.Request) { s.submit(w, r) }

func (s *server) edit(w http.ResponseWriter, r *http.Request) {
	if r.PostForm.Get("id") != r.PathValue("id") {
		s.notFound(w, r)
		return
	}
	s.submit(w, r)
}

// submit is every button of the form but "Test connection" under script.
func (s *server) submit(w http.ResponseWriter, r *http.Request) {
	saved, ok := s.savedOf(r)
	if !ok {
		s.notFound(w, r)
		return
	}
	do := r.PostForm.Get("do")
	if pin, ok := strings.CutPrefix(do, "trust:"); ok {
		r.PostForm.Set("pin", pin)
	}
	e := read(r.PostForm, saved)
	if do == "brand" || changed(r.PostForm) {
		f := e.draw(nil)
		f.Focus = "driver"
		if strings.TrimSuffix(r.PostForm.Get("drawn"), byKeySuffix) == e.settings.Driver {
			f.Focus = "login"
		}
		s.showForm(w, r, http.StatusOK, f)
		return
	}
	if twin, ok := s.twin(e.settings); ok && do == "save" && saved.ID == 0 {
		http.Redirect(w, r, "/pbx/"+twin.key(), http.StatusSeeOther)
		return
	}
	problems := e.check(s.fleet, s.nameTaken)
	f := e.draw(problems)
	if n := len(f.Unknown); n > 0 {
		f.Problems = []problem{{"unknown", unknownText(n)}}
	}
	if len(f.Problems) > 0 {
		f.Failed = "Not saved"
		if do != "save" {
			f.Failed = "Not tested"
		}
		s.showForm(w, r, http.StatusUnprocessableEntity, withSecretsAgain(f, e))
		return
	}
	if do != "save" {
		t := s.newTrial(e, func(step) {})
		t.run(r.Context())
		f = e.draw(t.problem(e.driver(), e.settings))
		f.Failed, f.Steps, f.Cert = "The test failed", t.steps, t.cert
		if t.err == nil && t.cert == nil {
			f.Notice = "The test went well. Nothing is saved yet."
		}
		s.showForm(w, r, http.StatusOK, withSecretsAgain(f, e))
		return
	}
	if entry, _, ok := s.entry(saved.ID); ok {
		entry.journal.add(event{At: time.Now(), Kind: pressed, Label: "Save"})
	}
	e.settings.Disconnected = time.Time{}
	now, err := s.save(r.Context(), e.settings)
	failed := func(status int, p problem) {
		f = e.draw([]problem{p})
		f.Failed = "Not saved"
		s.showForm(w, r, status, withSecretsAgain(f, e))
	}
	if errors.Is(err, errChanged) {
		s.reload(context.WithoutCancel(r.Context()))
	}
	if errors.Is(err, errChanged) || errors.Is(err, errNameTaken) {
		if twin, ok := s.twin(e.settings); ok {
			now, err = twin, nil
		}
	}
	switch {
	case errors.Is(err, errChanged):
		_, now, _ = s.entry(saved.ID)
		e.settings.Rev = now.Rev
		failed(http.StatusConflict, problem{Text: "This PBX was changed after this form was opened. Open the form again to see the change, or press “Save and connect” again to replace it."})
	case errors.Is(err, errNameTaken):
		failed(http.StatusUnprocessableEntity, problem{"name", fmt.Sprintf("The name “%s” is taken. Choose another one.", e.settings.Name)})
	case errors.Is(err, errDamaged):
		s.fail(w, r, http.StatusConflict, "Not saved", sentence(err.Error()))
	case errors.Is(err, errGone):
		s.fail(w, r, http.StatusNotFound, "Not saved", sentence(err.Error()))
	case err != nil:
		failed(http.StatusInternalServerError, problem{Text: sentence(err.Error())})
	default:
		if entry, _, ok := s.entry(now.ID); ok && now.connectsLike(saved) {
			if row := s.row(entry, time.Now()); row.Icon == "rejected" {
				s.say(r, fmt.Sprintf("Not sent: the PBX refused exactly this password %s. Change it, or press “Send the same again”.", moment(time.UnixMilli(row.Since), time.Now())))
			}
		}
		http.Redirect(w, r, "/pbx/"+now.key(), http.StatusSeeOther)
	}
}

func (e entered) driver() pbx.Driver {
	d, _ := pbx.Lookup(e.settings.Driver)
	return d
}

// withSecretsAgain says which secrets have to be typed again: they are in no page.
func withSecretsAgain(f form, e entered) form {
	for _, fields := range [][]field{f.Account, f.Needed, f.More} {
		for i := range fields {
			if in := &fields[i]; slices.Contains(e.typed, in.Name) {
				in.Help = "Type the " + lowerFirst(in.Label) + " again: this page does not hold secrets."
			}
		}
	}
	f.Open = f.Open || slices.ContainsFunc(f.More, func(in field) bool { return slices.Contains(e.typed, in.Name) })
	return f
}

func (s *server) newTrial(e entered, report func(step)) *trial {
	t := &trial{fleet: s.fleet, driver: e.settings.Driver, cfg: e.settings.config(), report: report}
	if set := e.saved.PinSet; !set.IsZero() && e.settings.Pin == e.saved.Pin {
		t.since = day(set, time.Now())
	}
	return t
}

// test runs the connection test for the script: a line of JSON per step, and one
// at the end.
func (s *server) test(w http.ResponseWriter, r *http.Request) {
	saved, ok := s.savedOf(r)
	if !ok {
		s.notFound(w, r)
		return
	}
	e := read(r.PostForm, saved)
	w.Header().Set("Content-Type", "application/x-ndjson")
	ctrl := http.NewResponseController(w)
	send := func(v any) {
		text, err := json.Marshal(v)
		if err != nil {
			return
		}
		w.Write(append(text, '\n')) // an error means that the browser is gone, and r's context ends
		ctrl.Flush()
	}
	type result struct {
		Title    string    `json:"title,omitempty"`
		Problems []problem `json:"problems,omitempty"`
		Decision string    `json:"decision,omitempty"` // about a certificate, as HTML
		Done     bool      `json:"done"`
	}
	sendStep := func(st step) { send(map[string]string{"name": st.Name, "html": s.fragment("step", st)}) }
	for _, st := range plannedSteps() {
		sendStep(st)
	}
	problems := e.check(s.fleet, s.nameTaken)
	if n := len(e.draw(nil).Unknown); n > 0 && !changed(r.PostForm) {
		problems = []problem{{"unknown", unknownText(n)}}
	}
	if len(problems) > 0 {
		send(result{Title: form{Failed: "Not tested", Problems: problems}.Title(), Problems: problems, Done: true})
		return
	}
	t := s.newTrial(e, sendStep)
	t.run(r.Context())
	problems = t.problem(e.driver(), e.settings)
	end := result{Problems: problems, Done: true}
	if t.cert != nil {
		end.Decision = s.fragment("decision", t.cert)
	}
	if len(problems) > 0 {
		end.Title = form{Failed: "The test failed", Problems: problems}.Title()
	}
	send(end)
}

// addSimulated adds a PBX that runs in this program.
func (s *server) addSimulated(w http.ResponseWriter, r *http.Request) {
	if s.sims == nil {
		s.notFound(w, r)
		return
	}
	driver := r.PostForm.Get("driver")
	if driver == "" {
		driver = "yeastar-p"
	}
	sim, err := s.sims.add(driver, false, pbxsim.Options{})
	if err != nil {
		s.fail(w, r, http.StatusInternalServerError, "No PBX was added", sentence(err.Error()))
		return
	}
	settings := sim.settings("")
	for n := 1; settings.Name == "" || s.nameTaken(settings.Name, 0); n++ {
		settings.Name = fmt.Sprintf("Simulated PBX %d", n)
	}
	saved, err := s.save(r.Context(), settings)
	if err != nil {
		s.fail(w, r, http.StatusInternalServerError, "No PBX was added", sentence(err.Error()))
		return
	}
	http.Redirect(w, r, "/pbx/"+saved.key(), http.StatusSeeOther)
}
