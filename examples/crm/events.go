package main

import (
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"time"
)

const (
	batch     = 50 * time.Millisecond // between two messages: a change is to be on the page within 100 ms
	heartbeat = 15 * time.Second      // without a message; pages give up after 35 s
	redraw    = time.Second           // of a timeline
	quiet     = 10 * time.Second      // at least, between two sentences for a screen reader
)

// stream is an open connection of server-sent events.
type stream struct {
	w    http.ResponseWriter
	ctrl *http.ResponseController
}

func openStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return &stream{w, http.NewResponseController(w)}
}

// send writes one message. It returns false when the browser is gone.
func (s *stream) send(message any) bool {
	text, err := json.Marshal(message)
	if err != nil {
		return false
	}
	for _, part := range [][]byte{[]byte("data: "), text, []byte("\n\n")} {
		if _, err := s.w.Write(part); err != nil {
			return false
		}
	}
	return s.ctrl.Flush() == nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(text)
}

// message is what a page is sent. Times are Unix milliseconds of this machine.
type message struct {
	Now    int64             `json:"now"`
	Zone   int               `json:"zone"`           // seconds east of UTC
	All    bool              `json:"all,omitempty"`  // Rows are all there are
	Rows   []row             `json:"rows,omitempty"` // new or changed
	Gone   []int64           `json:"gone,omitempty"`
	Blocks map[string]string `json:"blocks,omitempty"` // parts of the page by their id, as HTML
}

func newMessage(now time.Time) message {
	_, zone := now.Zone()
	return message{Now: now.UnixMilli(), Zone: zone}
}

// tableEvents is the table's stream: all rows, and then those that change.
func (s *server) tableEvents(w http.ResponseWriter, r *http.Request) {
	p := s.hub.open()
	defer p.close()
	out := openStream(w)
	now := time.Now()
	first := newMessage(now)
	first.All, first.Rows = true, s.rows(now)
	groupOf := groupsOf(first.Rows)
	blocks := s.tableBlocks(groupOf, now)
	first.Blocks = blocks
	if !out.send(first) {
		return
	}
	sent := time.Now()
	beat := time.NewTimer(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-beat.C:
			if !out.send(newMessage(time.Now())) {
				return
			}
			beat.Reset(heartbeat)
			continue
		case <-p.signal:
		}
		// The first change goes out at once, those that follow it together.
		wait := time.NewTimer(time.Until(sent.Add(batch)))
		select {
		case <-wait.C:
		case <-r.Context().Done():
			wait.Stop()
			return
		}
		now := time.Now()
		m := newMessage(now)
		changed := p.take()
		m.Rows = s.rowsOf(maps.Keys(changed), now)
		for _, r := range m.Rows {
			groupOf[r.ID] = r.Group
			delete(changed, r.ID)
		}
		for id := range changed {
			m.Gone = append(m.Gone, id)
			delete(groupOf, id)
		}
		m.Blocks = map[string]string{}
		for id, text := range s.tableBlocks(groupOf, now) {
			if text != blocks[id] {
				m.Blocks[id], blocks[id] = text, text
			}
		}
		if !out.send(m) {
			return
		}
		sent = time.Now()
		beat.Reset(heartbeat)
	}
}

// detailEvents is the stream of a PBX's own page: its parts, once a second where
// they have changed.
func (s *server) detailEvents(w http.ResponseWriter, r *http.Request) {
	e, settings, ok := s.find(w, r)
	if !ok {
		return
	}
	out := openStream(w)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	blocks := map[string]string{}
	said, spoke := s.row(e, time.Now()).State, time.Time{}
	for {
		now := time.Now()
		m := newMessage(now)
		m.Blocks = map[string]string{}
		if _, _, there := s.entry(settings.ID); !there {
			m.Gone = []int64{settings.ID}
			out.send(m)
			return
		}
		for id, text := range s.detailBlocks(e, now) {
			if text != blocks[id] {
				m.Blocks[id], blocks[id] = text, text
			}
		}
		if r := s.row(e, now); r.State != said && now.Sub(spoke) >= quiet {
			said, spoke = r.State, now
			m.Blocks["says"] = template.HTMLEscapeString(r.spoken())
		}
		if !out.send(m) {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-tick.C:
		}
	}
}
