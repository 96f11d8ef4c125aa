package main

import "sync"

// hub reports to open pages which PBXs have changed. A slow page misses steps, never
// the newest state.
type hub struct {
	mu    sync.Mutex // guards pages and what they hold
	pages map[*listener]struct{}
}

// listener is one open page of a browser.
type listener struct {
	hub     *hub
	pending map[int64]struct{}
	signal  chan struct{} // has room for one
}

func newHub() *hub { return &hub{pages: map[*listener]struct{}{}} }

func (h *hub) open() *listener {
	p := &listener{hub: h, pending: map[int64]struct{}{}, signal: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pages[p] = struct{}{}
	return p
}

func (p *listener) close() {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	delete(p.hub.pages, p)
}

// changed notes that a PBX has changed.
func (h *hub) changed(id int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.pages {
		p.pending[id] = struct{}{}
		select {
		case p.signal <- struct{}{}:
		default:
		}
	}
}

// take returns what has changed since the last take.
func (p *listener) take() map[int64]struct{} {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	pending := p.pending
	p.pending = map[int64]struct{}{}
	return pending
}
