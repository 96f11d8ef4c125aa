package session

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mostRows bounds what a [Handler] lists.
const mostRows = 200

// Handler serves a page with the sessions of m that are in trouble, those that
// have been so for longest first, at most 200 of them, for the people who operate
// the program. With ?format=json, or where a client accepts application/json and
// no HTML, it serves the same as JSON.
//
// The page is read-only and holds no secret. It does hold names of sessions,
// addresses of PBXs, and the texts of errors. Handler has no access control of its
// own: put it behind that of the program. A request looks at every session of the
// fleet once. Handler panics if m is nil.
func Handler(m *Manager) http.Handler {
	if m == nil {
		panic("session: Handler needs a Manager, not nil")
	}
	// Not a variable of the package: that would link the template engine into
	// programs that have no such page.
	page := template.Must(template.New("").Parse(pageTemplate))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		header.Set("Vary", "Accept")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "this page is read-only: use GET", http.StatusMethodNotAllowed)
			return
		}
		format := r.URL.Query().Get("format")
		if accept := r.Header.Get("Accept"); format == "" && strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html") {
			format = "json"
		}
		switch format {
		case "json":
			header.Set("Content-Type", "application/json")
			out := json.NewEncoder(w)
			out.SetIndent("", "  ")
			out.Encode(m.report())
		case "", "html":
			header.Set("Content-Type", "text/html; charset=utf-8")
			page.Execute(w, m.report())
		default:
			http.Error(w, "this format does not exist: use format=json or format=html", http.StatusBadRequest)
		}
	})
}

// fleetReport is what a Handler shows.
type fleetReport struct {
	At        time.Time     `json:"at"`
	Sessions  int           `json:"sessions"`
	ByState   map[State]int `json:"by_state"`
	InTrouble int           `json:"in_trouble"`
	NotShown  int           `json:"not_shown"` // of those in trouble
	Rows      []reportRow   `json:"rows"`
}

// reportRow is one session in trouble.
type reportRow struct {
	Session  string     `json:"session"`
	Driver   string     `json:"driver,omitempty"`
	PBX      string     `json:"pbx,omitempty"`
	State    State      `json:"state"`
	Since    time.Time  `json:"since"`
	Next     *time.Time `json:"next,omitempty"`
	LockedBy string     `json:"locked_by,omitempty"`
	Error    string     `json:"error,omitempty"`
	Warning  string     `json:"warning,omitempty"`
}

func (m *Manager) report() fleetReport {
	r := fleetReport{At: time.Now().Truncate(time.Second), ByState: map[State]int{}, Rows: []reportRow{}}
	oldest := func(a, b reportRow) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Session, b.Session)
	}
	for _, s := range m.All() {
		status := s.Status()
		if status.State == Closed {
			continue
		}
		r.Sessions++
		r.ByState[status.State]++
		if !status.troubled() {
			continue
		}
		r.InTrouble++
		r.Rows = append(r.Rows, s.row(status))
		if len(r.Rows) >= 2*mostRows {
			slices.SortFunc(r.Rows, oldest)
			r.Rows = r.Rows[:mostRows]
		}
	}
	slices.SortFunc(r.Rows, oldest)
	r.Rows = r.Rows[:min(len(r.Rows), mostRows)]
	r.NotShown = r.InTrouble - len(r.Rows)
	return r
}

// troubled reports whether a person may want to look at the session.
func (s Status) troubled() bool {
	return s.State == Rejected || s.State == Locked || s.State == Unavailable || s.Err != nil || s.Warning != ""
}

func (s *Session) row(status Status) reportRow {
	l := s.link.Load()
	row := reportRow{Session: l.name, Driver: l.traits.brand().Driver, PBX: l.traits.URL, State: status.State, Since: status.Since,
		LockedBy: status.LockedBy.String(), Warning: status.Warning}
	if !status.Next.IsZero() {
		row.Next = &status.Next
	}
	if status.Err != nil {
		row.Error = status.Err.Error()
	}
	return row
}

// Took says how long the trouble has lasted.
func (r reportRow) Took(at time.Time) string {
	return fmt.Sprint(max(at.Sub(r.Since), 0).Round(time.Second))
}

const pageTemplate = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>PBX sessions</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em }
table { border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .3em 1em .3em 0; border-bottom: 1px solid #ccc }
</style>
<h1>{{.InTrouble}} of {{.Sessions}} PBX sessions are in trouble</h1>
<p>{{range $state, $n := .ByState}}{{$n}} {{$state}}. {{end}}At {{.At.Format "2006-01-02 15:04:05 MST"}}.</p>
{{if .Rows}}<table>
<tr><th>Session<th>Driver<th>PBX<th>State<th>For<th>Reason</tr>
{{range .Rows}}<tr><td>{{.Session}}<td>{{.Driver}}<td>{{.PBX}}<td>{{.State}}{{if .LockedBy}} by the {{.LockedBy}}{{end}}<td>{{.Took $.At}}<td>{{.Error}}{{if .Warning}} {{.Warning}}{{end}}</tr>
{{end}}</table>
{{end}}{{if .NotShown}}<p>{{.NotShown}} more are not shown.</p>
{{end}}</html>
`
