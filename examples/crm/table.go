package main

import (
	"cmp"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// firstRows is how many rows the first HTML has. The script adds the others;
// without script there is "Next 100".
const firstRows = 100

// tablePage is the list of connections.
type tablePage struct {
	base
	Rows    []tableRow
	Total   int // of all PBXs
	Matched int // of the filter
	From    int // rows left out before the first
	Next    string
	Query   query
	Brands  []choice
	Chips   []chip
	Columns []column
	Empty   bool
	Sims    bool
	Demo    string
	Process string // this one among several; empty: it is alone
	Store   string // that they share
	Zone    string
	Blocks  map[string]template.HTML
}

// tableRow is a row as the first HTML has it.
type tableRow struct {
	row
	Second, Text, Left string
	Bar                int // of 88 pixels
}

// chip is one of the filters by state.
type chip struct {
	Value, Label string
	Count        int
	On           bool
}

// column is a heading that sorts.
type column struct {
	Label, Class, Sort string // aria-sort; empty: not by this one
	Key, Next          string // its sort key, and what a press asks for
}

func (s *server) table(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	q := queryOf(r)
	all := s.rows(now)
	p := tablePage{
		base: s.base(r, "Telephony", "", "/events"), Total: len(all), Query: q, Demo: s.demo, Process: s.with.process, Store: s.with.kind, Sims: s.sims != nil,
		Zone: now.Format("MST"), Empty: len(all) == 0, Blocks: map[string]template.HTML{},
	}
	var rows []row
	for _, row := range all {
		if q.matches(row) {
			rows = append(rows, row)
		}
	}
	q.order(rows)
	p.Matched = len(rows)
	fmt.Sscan(r.FormValue("from"), &p.From)
	p.From = max(0, min(p.From, len(rows)))
	rows = rows[p.From:]
	if len(rows) > firstRows {
		rows = rows[:firstRows]
		p.Next = q.href(map[string]string{"from": fmt.Sprint(p.From + firstRows)})
	}
	for _, row := range rows {
		p.Rows = append(p.Rows, drawn(row, now))
	}
	for _, c := range []chip{{Value: "", Label: "All"}, {Value: "you", Label: "Needs you"}, {Value: "wait", Label: "Waiting"}, {Value: "in", Label: "Logged in"}} {
		c.On = c.Value == q.Show
		for _, row := range all {
			if (query{Show: c.Value}).matches(row) {
				c.Count++
			}
		}
		p.Chips = append(p.Chips, c)
	}
	p.Brands = brandsOf(all, q.Brand)
	p.Columns = q.columns()
	for id, text := range s.tableBlocks(groupsOf(all), now) {
		p.Blocks[id] = template.HTML(text) // from the same templates
	}
	s.render(w, http.StatusOK, "table", p)
}

// drawn is a row with its times written out.
func drawn(r row, now time.Time) tableRow {
	t := tableRow{row: r, Second: r.second(now), Text: r.expand(now)}
	if r.Expires != 0 {
		t.Left = left(time.UnixMilli(r.Expires).Sub(now))
		t.Bar = int(r.share(now)*88 + .5)
	}
	return t
}

func queryOf(r *http.Request) query {
	q := query{Show: r.FormValue("show"), Brand: r.FormValue("brand"), Search: r.FormValue("q"), Sort: cmp.Or(r.FormValue("sort"), r.FormValue("by"))}
	q.Sort, q.Desc = strings.TrimPrefix(q.Sort, "-"), strings.HasPrefix(q.Sort, "-")
	if _, ok := shown[q.Show]; !ok {
		q.Show = ""
	}
	if !slices.Contains([]string{"name", "brand", "token"}, q.Sort) {
		q.Sort = ""
	}
	return q
}

// href is the table's address with this query, and with more or other values.
func (q query) href(other map[string]string) string {
	values := map[string]string{"show": q.Show, "brand": q.Brand, "q": q.Search, "sort": q.SortKey()}
	for name, value := range other {
		values[name] = value
	}
	var parts []string
	for _, name := range []string{"show", "brand", "q", "sort", "from"} {
		if values[name] != "" {
			parts = append(parts, name+"="+template.URLQueryEscaper(values[name]))
		}
	}
	if len(parts) == 0 {
		return "/"
	}
	return "/?" + strings.Join(parts, "&")
}

// SortKey is the order as the URL has it.
func (q query) SortKey() string {
	if q.Desc {
		return "-" + q.Sort
	}
	return q.Sort
}

// columns are the headings that sort.
func (q query) columns() []column {
	columns := []column{
		{Label: "State", Class: "c-state", Key: "state"}, {Label: "PBX", Class: "c-pbx", Key: "name"},
		{Label: "Brand", Class: "c-brand", Key: "brand"}, {Label: "Token left", Class: "c-left", Key: "token"},
	}
	for i := range columns {
		c := &columns[i]
		c.Next = c.Key
		if c.Key == cmp.Or(q.Sort, "state") {
			c.Sort = "ascending"
			if q.Desc {
				c.Sort = "descending"
			} else {
				c.Next = "-" + c.Key
			}
		}
	}
	return columns
}

// brandsOf are the brands that occur.
func brandsOf(rows []row, chosen string) []choice {
	seen := map[string]bool{}
	choices := []choice{{"", "All brands", chosen == ""}}
	for _, r := range rows {
		if !seen[r.Brand] {
			seen[r.Brand] = true
			choices = append(choices, choice{r.Brand, r.Brand, r.Brand == chosen})
		}
	}
	slices.SortFunc(choices[1:], func(a, b choice) int { return strings.Compare(a.Label, b.Label) })
	return choices
}

// fleetLine is the fleet in one line, with the bar under it.
type fleetLine struct {
	Total    string
	Groups   []fleetGroup
	Segments []segment
	Gaps     []string
}

type fleetGroup struct {
	Count int
	Text  string
}

type segment struct {
	Group    group
	X, Width string // in percent
}

var groupWords = map[group][2]string{
	needsYou:  {"needs you", "need you"},
	waits:     {"waits by itself", "wait by themselves"},
	busy:      {"connecting", "connecting"},
	loggedIn:  {"logged in", "logged in"},
	switchOff: {"closed", "closed"},
}

// groupsOf says, by the ids of the PBXs, which need a person.
func groupsOf(rows []row) map[int64]group {
	of := map[int64]group{}
	for _, r := range rows {
		of[r.ID] = r.Group
	}
	return of
}

func fleetOf(groupOf map[int64]group) fleetLine {
	f := fleetLine{Total: many(len(groupOf), "PBX")}
	count := map[group]int{}
	for _, g := range groupOf {
		count[g]++
	}
	all := float64(len(groupOf))
	const least = 3.6 // percent: 6 pixels and a gap of 3, also on a phone and beside four others
	total, x := 0.0, 0.0
	for _, n := range count {
		total += max(float64(n)/all*100, least)
	}
	for _, g := range groups {
		n := count[g]
		if n == 0 {
			continue
		}
		word := groupWords[g][1]
		if n == 1 {
			word = groupWords[g][0]
		}
		f.Groups = append(f.Groups, fleetGroup{n, word})
		width := max(float64(n)/all*100, least) / total * 100
		if x > 0 {
			f.Gaps = append(f.Gaps, fmt.Sprintf("%.2f%%", x))
		}
		f.Segments = append(f.Segments, segment{g, fmt.Sprintf("%.2f%%", x), fmt.Sprintf("%.2f%%", width)})
		x += width
	}
	return f
}

// tableBlocks are the parts of the table's page that the stream replaces.
func (s *server) tableBlocks(groupOf map[int64]group, now time.Time) map[string]string {
	return map[string]string{
		"fleet": s.fragment("fleet", fleetOf(groupOf)),
		"hosts": s.fragment("hosts", s.hostsInTrouble(now)),
	}
}

// titles are the brands of the empty page.
func titles() string {
	var names []string
	for _, d := range pbx.Drivers() {
		names = append(names, shortTitle(d, d.Name))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " · ")
}

// BrandLine is the brands in one line.
func (tablePage) BrandLine() string { return titles() }
