package main

import (
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pbxauth/pbx/session"
)

// timeline is what the picture of a PBX's session is drawn from.
type timeline struct {
	now     time.Time
	events  []event   // oldest first
	expires time.Time // of the token at hand; zero: none, or unknown
	live    bool      // there is a token
	next    time.Time // when the session acts by itself; zero: not at all
	nextIs  string    // as in "next heartbeat"
}

// frame is the geometry of a picture, in pixels.
type frame struct {
	id           string // prefix of ids within the picture
	left, width  float64
	height       float64
	past, future time.Duration
	grid         time.Duration
	flags, lanes float64 // top of the flags, and of the first lane
	step         float64 // from lane to lane
	above        bool    // the names of the lanes stand above them
}

var (
	wide   = frame{id: "w", left: 92, width: 1024, height: 236, past: 10 * time.Minute, future: 3 * time.Minute, grid: 2 * time.Minute, flags: 12, lanes: 30, step: 46}
	narrow = frame{id: "n", left: 0, width: 316, height: 284, past: 5 * time.Minute, future: 75 * time.Second, grid: 2 * time.Minute, flags: 12, lanes: 44, step: 56, above: true}
)

// picture draws an SVG.
type picture struct {
	strings.Builder
	t timeline
	f frame
}

func (p *picture) put(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// x is where a moment stands, cut to the frame.
func (p *picture) x(at time.Time) float64 {
	d := at.Sub(p.t.now.Add(-p.f.past))
	share := float64(d) / float64(p.f.past+p.f.future)
	return p.f.left + min(max(share, 0), 1)*p.f.width
}

func (p *picture) within(at time.Time) bool {
	return !at.Before(p.t.now.Add(-p.f.past)) && !at.After(p.t.now.Add(p.f.future))
}

func (p *picture) text(x, y float64, class, anchor, s string) {
	p.put(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(s))
}

// lane is the top of a lane: state, token, sent, requests.
func (p *picture) lane(i int) float64 { return p.f.lanes + float64(i)*p.f.step }

// draw makes the picture. title and desc are for those who do not see it.
func (t timeline) draw(f frame, title, desc string) template.HTML {
	p := &picture{t: t, f: f}
	bottom := p.lane(3) + 34
	total := f.left + f.width
	p.put(`<svg class="timeline %s" viewBox="0 0 %.0f %.0f" role="img" aria-labelledby="%s-title %s-desc"><title id="%s-title">%s</title><desc id="%s-desc">%s</desc>`,
		f.id, total, f.height, f.id, f.id, f.id, html.EscapeString(title), f.id, html.EscapeString(desc))
	p.put(`<defs>`)
	for _, g := range []group{waits, needsYou} {
		p.put(`<pattern id="%s-stripes-%s" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="3" height="6" class="f-%[2]s"/></pattern><pattern id="%[1]s-dots-%[2]s" width="6" height="4" patternUnits="userSpaceOnUse"><circle cx="2" cy="2" r="1.7" class="f-%[2]s"/></pattern>`, f.id, g)
	}
	p.put(`</defs>`)

	top := f.flags + 8
	p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="future"/>`, p.x(t.now), top, total-p.x(t.now), bottom-top)
	for at := t.now.Add(-f.past).Truncate(f.grid); !at.After(t.now.Add(f.future)); at = at.Add(f.grid) {
		if !p.within(at) {
			continue
		}
		x := p.x(at)
		p.put(`<path d="M%.1f %.1fV%.1f" class="grid"/>`, x, top, bottom)
		if x-f.left > 14 && total-x > 14 {
			p.text(x, bottom+20, "tick", "middle", at.Format("15:04"))
		}
	}
	for i, name := range []string{"State", "Token", "Session sent", "Your requests"} {
		if f.above {
			p.text(0, p.lane(i)-6, "halo", "start", name)
		} else {
			p.text(0, p.lane(i)+17, "lane", "start", name)
		}
	}
	if !f.above {
		p.text(0, f.flags+4, "lane", "start", "You pressed")
	}
	p.states()
	spans := slices.DeleteFunc(t.spans(), func(s span) bool { return !p.within(s.until) })
	p.tokens(spans)
	free := p.flags(bottom)
	p.put(`<path d="M%.1f %.1fV%.1f" class="line-now"/>`, p.x(t.now), f.flags+2, bottom)
	p.ends(spans)
	p.sent()
	p.requests()
	if x := p.x(t.now); free > x-14 {
		p.text(max(free, x+4), f.flags+2, "nowtext", "start", "now") // beside the last flag
	} else {
		p.text(x, f.flags-2, "nowtext", "middle", "now")
	}
	p.put(`</svg>`)
	return template.HTML(p.String())
}

func (p *picture) states() {
	y := p.lane(0)
	var changes []event
	for _, e := range p.t.events {
		if e.Kind == stateChanged {
			changes = append(changes, e)
		}
	}
	for i, e := range changes {
		end := p.t.now
		if i+1 < len(changes) {
			end = changes[i+1].At
		}
		if !p.within(end) {
			continue
		}
		x := p.x(e.At)
		w := p.x(end) - x
		fill := "f-" + string(e.Group)
		switch e.State {
		case session.Connecting:
			p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="26" class="%s"/>`, x, y, max(w, 3), fill)
			continue
		case session.Closed:
			continue
		}
		p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="26" class="t-%s"/>`, x, y, max(w, 1), e.Group)
		foot := fmt.Sprintf(`class="%s"`, fill)
		switch {
		case e.Label == "Held back":
			foot = fmt.Sprintf(`fill="url(#%s-dots-%s)"`, p.f.id, e.Group)
		case e.State == session.Unavailable:
			foot = fmt.Sprintf(`fill="url(#%s-stripes-%s)"`, p.f.id, e.Group)
		}
		p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="4" %s/>`, x, y+22, max(w, 1), foot)
		if w >= 60 {
			p.text(x+8, y+15, "c-"+string(e.Group), "start", e.Label)
		}
	}
}

// span is one token: from its issue until it ended.
type span struct {
	from, until time.Time
	how         string // it ended: "refused", "expired", "" if it was replaced or is valid
}

// spans reads the tokens from the events.
func (t timeline) spans() []span {
	var spans []span
	var open *span
	var expires time.Time
	end := func(at time.Time, how string) {
		if open != nil {
			open.until, open.how = at, how
			spans = append(spans, *open)
			open = nil
		}
	}
	expire := func(at time.Time) {
		if open != nil && !expires.IsZero() && expires.Before(at) {
			end(expires, "expired")
		}
	}
	// A token begins when the response that brought it is here.
	events := slices.Clone(t.events)
	for i := range events {
		if e := &events[i]; e.Kind == sentLogin || e.Kind == sentKeepAlive {
			e.At = e.At.Add(e.Took)
		}
	}
	slices.SortStableFunc(events, func(a, b event) int { return a.At.Compare(b.At) })
	for _, e := range events {
		switch {
		case e.Kind == sentLogin && !e.Failed:
			expire(e.At)
			end(e.At, "")
			open, expires = &span{from: e.At}, e.Expires
		case (e.Kind == sentKeepAlive || e.Kind == adopted) && !e.Failed:
			if open == nil {
				open = &span{from: e.At}
			}
			expires = e.Expires
		case e.Kind == tokenRefused, e.Kind == sentKeepAlive && e.Dead:
			end(e.At, "refused")
		case e.Kind == sentLogout:
			end(e.At, "")
		case e.Kind == stateChanged && e.State != session.Live && e.State != session.Renewing && open != nil && e.At.After(open.from.Add(time.Second)):
			how := "" // the session gave it up, because its settings changed
			if !expires.IsZero() && e.At.After(expires.Add(-5*time.Second)) {
				how = "expired"
			}
			end(e.At, how)
		}
	}
	if open != nil {
		if !t.live {
			expire(t.now)
			end(t.now, "")
		} else {
			end(t.now, "")
		}
	}
	return spans
}

func (p *picture) tokens(spans []span) {
	y := p.lane(1) + 8
	for _, s := range spans {
		x, end := p.x(s.from), p.x(s.until)
		p.put(`<rect x="%.1f" y="%.1f" width="%.1f" height="10" rx="1.5" class="f-ok"/>`, x, y, max(end-x, 2))
	}
	if !p.t.live || p.t.expires.IsZero() {
		return
	}
	x, end := p.x(p.t.now), p.x(p.t.expires)
	p.put(`<path d="M%.1f %.1fH%.1f" class="planned"/><path d="M%.1f %.1fH%.1f" class="planned"/>`, x, y+.5, end, x, y+9.5, end)
	word := "expires " + exact(p.t.expires, p.t.now)
	if p.f.above {
		word = "to " + clock(p.t.expires, p.t.now)
	}
	if p.within(p.t.expires) {
		p.put(`<path d="M%.1f %.1fV%.1f" class="planned"/>`, end, y, y+10)
	}
	p.text(min(max(end, x+float64(len(word))*6.4), p.f.left+p.f.width), y+24, "halo", "end", word)
}

// ends are the signs at the ends of tokens. They are drawn over the tokens that follow
// and over the lines of flags.
func (p *picture) ends(spans []span) {
	y := p.lane(1) + 8
	for _, s := range spans {
		if s.how != "" {
			end := p.x(s.until)
			p.cross(end, y+5)
			p.text(max(end-2, p.f.left+46), y+24, "halo", "end", s.how)
		}
	}
}

func (p *picture) cross(x, y float64) {
	p.put(`<path d="M%.1f %.1fl8 8m0 -8l-8 8" class="cross"/>`, x-4, y-4)
}

func (p *picture) triangle(x, y float64, class string) {
	p.put(`<path d="M%.1f %.1fl6 11h-12z" class="%s"/>`, x, y-6, class)
}

// flagLabel is the label of a flag, or of several that stand too close to be
// labelled one by one.
type flagLabel struct {
	first, last float64 // x of the first and the last
	count       int
	text        string
	at          float64 // where it begins
}

func (g flagLabel) width() float64 { return float64(utf8.RuneCountInString(g.text)) * 6.8 }

// placed returns where the labels stand, so that none covers another: to the right of
// its flag before now, else to the left, else beyond now. Where there is no room,
// flags are counted together.
func placed(labels []flagLabel, left, now, right float64) []flagLabel {
	for {
		free, crowded := left, -1 // free is where the next label may begin
		for i := range labels {
			g := &labels[i]
			end := now - 16
			if i+1 < len(labels) {
				end = labels[i+1].first - 4
			}
			switch {
			case g.last+10+g.width() <= end:
				g.at = g.last + 10
			case g.first-4-g.width() >= free:
				g.at = g.first - 4 - g.width()
			case i+1 == len(labels) && g.last+10+g.width() <= right:
				g.at = g.last + 10
			case crowded < 0:
				crowded = i
			}
			free = max(g.last+10, g.at+g.width()+4)
		}
		if crowded < 0 || len(labels) == 1 {
			return labels
		}
		// The crowded one and its nearer neighbour become one.
		i := crowded
		if i+1 == len(labels) || i > 0 && labels[i].first-labels[i-1].last < labels[i+1].first-labels[i].last {
			i--
		}
		both := flagLabel{first: labels[i].first, last: labels[i+1].last, count: labels[i].count + labels[i+1].count}
		both.text = fmt.Sprintf("×%d", both.count)
		labels = append(append(slices.Clone(labels[:i]), both), labels[i+2:]...)
	}
}

// flags are what a person pressed. It returns where there is room for "now".
func (p *picture) flags(bottom float64) float64 {
	var labels []flagLabel
	last := ""
	for _, e := range p.t.events {
		if e.Kind == pressed && p.within(e.At) {
			x, y := p.x(e.At), p.f.flags
			p.put(`<path d="M%.1f %.1fV%.1f" class="pressed"/><path d="M%.1f %.1fl7 4l-7 4z" class="flag"/>`, x, y-4, bottom, x, y-6)
			text := e.Label
			if text == strings.TrimSuffix(last, " on")+" off" {
				text = "off" // of the button before it
			}
			last = e.Label
			labels = append(labels, flagLabel{first: x, last: x, count: 1, text: text})
		}
	}
	now := p.x(p.t.now)
	free := p.f.left
	for _, g := range placed(labels, p.f.left, now, p.f.left+p.f.width-32) {
		p.text(g.at, p.f.flags+2, "halo flagtext", "start", g.text)
		free = max(g.last+10, g.at+g.width()+4)
	}
	return free
}

// mark is one sign in a lane.
type mark struct {
	x      float64
	failed bool
	wrong  bool // a login whose password was refused
	kind   eventKind
	count  int
}

// maxMarks is how many signs a lane may have; more are merged.
const maxMarks = 200

// merge puts signs together that stand too close.
func merge(marks []mark) []mark {
	if len(marks) <= maxMarks {
		return marks
	}
	var merged []mark
	for _, m := range marks {
		if last := len(merged) - 1; last >= 0 && m.x-merged[last].x < 24 && m.kind == merged[last].kind && m.failed == merged[last].failed && m.wrong == merged[last].wrong {
			merged[last].count += max(m.count, 1)
			continue
		}
		m.count = max(m.count, 1)
		merged = append(merged, m)
	}
	return merged
}

func (p *picture) sent() {
	y := p.lane(2) + 13
	var marks []mark
	for _, e := range p.t.events {
		if !p.within(e.At) || !slices.Contains([]eventKind{sentLogin, sentKeepAlive, sentLogout, sentCheck, adopted}, e.Kind) {
			continue
		}
		if e.Kind == adopted {
			p.triangle(p.x(e.At), y, "other")
			p.text(p.x(e.At)+10, y+4, "halo", "start", strings.TrimPrefix(e.Label, "Token of "))
			continue
		}
		marks = append(marks, mark{x: p.x(e.At), failed: e.Failed, wrong: e.Wrong, kind: e.Kind})
	}
	for _, m := range merge(marks) {
		switch {
		case m.wrong:
			p.triangle(m.x, y, "c-stop solid")
			p.text(max(m.x, p.f.left+25), y+21, "halo", "middle", "refused")
		case m.failed:
			p.cross(m.x, y)
		case m.kind == sentLogin:
			p.triangle(m.x, y, "login")
		case m.kind == sentCheck:
			p.put(`<circle cx="%.1f" cy="%.1f" r="4" class="check"/>`, m.x, y)
		case m.kind == sentLogout:
			p.put(`<rect x="%.1f" y="%.1f" width="8" height="8" class="logout"/>`, m.x-4, y-4)
		default:
			p.put(`<circle cx="%.1f" cy="%.1f" r="4.5" class="c-ok solid"/>`, m.x, y)
		}
		if m.count > 1 {
			p.text(m.x+8, y+4, "halo", "start", fmt.Sprintf("×%d", m.count))
		}
	}
	now := p.x(p.t.now)
	switch {
	case p.t.nextIs == "":
	case p.t.next.IsZero() && p.f.above: // there is no room behind now
		p.text(p.f.left+p.f.width, p.lane(2)-6, "halo", "end", p.t.nextIs)
	case p.t.next.IsZero():
		p.text(now+8, y+4, "halo", "start", p.t.nextIs)
	case p.within(p.t.next) && p.t.next.After(p.t.now):
		x := p.x(p.t.next)
		p.put(`<circle cx="%.1f" cy="%.1f" r="4.5" class="planned"/>`, x, y)
		anchor, at := "start", x+9
		if width := float64(len(p.t.nextIs)) * 6.2; at+width > p.f.left+p.f.width {
			anchor, at = "end", x-9
			if at-width < now {
				return // no room: the table and the details say it
			}
		}
		p.text(at, y+4, "halo", anchor, p.t.nextIs)
	}
}

func (p *picture) requests() {
	y := p.lane(3) + 13
	var marks []mark
	for _, e := range p.t.events {
		if e.Kind != sentRequest || !p.within(e.At) {
			continue
		}
		x, end := p.x(e.At), p.x(e.At.Add(e.Took))
		if e.Took > 1500*time.Millisecond {
			p.put(`<path d="M%.1f %.1fv10" class="waited"/><path d="M%.1f %.1fH%.1f" class="dots"/>`, x, y-5, x, y, end)
		}
		marks = append(marks, mark{x: end, failed: e.Failed, kind: sentRequest})
	}
	for _, m := range merge(marks) {
		if m.failed {
			p.cross(m.x, y)
		} else {
			p.put(`<path d="M%.1f %.1fv10" class="asked"/>`, m.x, y-5)
		}
		if m.count > 1 {
			p.text(m.x+5, y+4, "halo", "start", fmt.Sprintf("×%d", m.count))
		}
	}
}

// tally counts what the picture shows.
type tally struct{ logins, wrong, keepAlives, requests, lost int }

func (t timeline) tally(past time.Duration) tally {
	var n tally
	for _, e := range t.events {
		if e.At.Before(t.now.Add(-past)) {
			continue
		}
		switch e.Kind {
		case sentLogin:
			n.logins++
			if e.Wrong {
				n.wrong++
			}
		case sentKeepAlive:
			n.keepAlives++
		case sentRequest:
			n.requests++
			if e.Failed {
				n.lost++
			}
		}
	}
	return n
}

func (n tally) String() string {
	return fmt.Sprintf("%s · %s · %s · %s, %d failed",
		many(n.logins, "login"), many(n.wrong, "wrong login"), many(n.keepAlives, "keep-alive"), many(n.requests, "request"), n.lost)
}

// desc is the picture in sentences.
func (t timeline) desc(r row, past time.Duration) string {
	n := t.tally(past)
	s := []string{fmt.Sprintf("The session is %s.", strings.ToLower(r.State))}
	s = append(s, fmt.Sprintf("In the last %d minutes it sent %s and %s, of which %s.", int(past.Minutes()), many(n.logins, "login"), many(n.keepAlives, "keep-alive"), wrongly(n.wrong)))
	s = append(s, fmt.Sprintf("The CRM sent %s; %d failed.", many(n.requests, "request"), n.lost))
	if text := strings.TrimSpace(r.Fact + " " + r.expand(t.now)); text != "" {
		s = append(s, strings.TrimSuffix(text, ".")+".")
	}
	return strings.Join(s, " ")
}

func wrongly(n int) string {
	if n == 0 {
		return "none had a wrong password"
	}
	return many(n, "login") + " had a wrong password"
}

// line is one row of the table "What happened".
type line struct {
	Time, Event, Result string
	Failed              bool
}

// story lists the newest events first. Requests in a row that ended alike are one
// line.
func story(events []event, most int) []line {
	var lines []line
	for i := len(events) - 1; i >= 0 && len(lines) < most; i-- {
		e := events[i]
		l := line{e.At.Format(time.TimeOnly), e.Label, e.Result, e.Failed}
		switch e.Kind {
		case pressed:
			l.Event, l.Result = "You pressed", e.Label+"."
		case sentRequest:
			first := i
			for first > 0 && events[first-1].Kind == sentRequest && events[first-1].Failed == e.Failed {
				first--
			}
			if n := i - first + 1; n > 1 {
				l.Event = many(n, "request")
				l.Result = fmt.Sprintf("Since %s. The last one: %s", events[first].At.Format(time.TimeOnly), e.Result)
			}
			i = first
		}
		lines = append(lines, l)
	}
	return lines
}
