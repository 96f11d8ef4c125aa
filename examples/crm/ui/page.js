// Pages work without this script. It updates, filters and sorts at once, and
// shows a connection test step by step.
'use strict';
const $ = id => document.getElementById(id);
const each = selector => document.querySelectorAll(selector), one = selector => document.querySelector(selector);
const make = tag => document.createElement(tag), root = document.documentElement;
const on = (node, type, listener) => node.addEventListener(type, listener), { floor, max, min } = Math;
root.className = 'scripted';

// Only what differs is set, so that nothing else moves.
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
function attr(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }

// --- Time, as clock.go writes it
let offset = 0, zone = -new Date().getTimezoneOffset() * 60, frozen = 0;
const now = () => frozen || Date.now() + offset;
const s = ms => floor(max(ms, 0) / 1000);
const units = [[120, 1, 's'], [7200, 60, 'min'], [172800, 3600, 'h'], [1209600, 86400, 'days'], [Infinity, 604800, 'weeks']];
function ago(ms) {
  const t = s(ms), [, size, unit] = units.find(([end]) => t < end);
  return floor(t / size) + ' ' + unit;
}
function left(ms) {
  const t = s(ms), m = floor(t / 60) % 60;
  if (t < 120) return t + ' s';
  if (t < 3600) return m + ' min';
  if (t < 86400) return floor(t / 3600) + ' h' + (m ? ' ' + m + ' min' : '');
  return t < 172800 ? '1 day' : floor(t / 86400) + ' days';
}
const utc = at => new Date(at + zone * 1000).toUTCString(), date = at => utc(at).slice(5, 16);
const clock = (at, exact) => (date(at) === date(now()) ? '' : date(at).slice(0, 7).replace(/^0/, '')) + utc(at).slice(17, exact ? 25 : 22);

// --- The table
const rows = new Map(); // by id: the server's row, its tr, its text to find and sort by
const present = () => [...rows.values()].filter(r => !r.gone);
const tbody = $('rows');
const groups = ['stop', 'wait', 'busy', 'ok', 'off'];
let order = [], arrived = new Set();

function tick(r) {
  const since = r.since && (frozen ? (r.who ? '' : 'since ') + clock(r.since) : ago(now() - r.since));
  put(r.at$.since, [r.who, since].filter(Boolean).join(' · '));
  const when = frozen ? 'at ' + clock(r.at) : 'in ' + left(r.at - now());
  put(r.at$.rest, (r.rest || '').replace(r.at ? '{in}' : ' {in}', r.at ? when : ''));
  if (!r.expires) return;
  put(r.at$.left, frozen ? 'until ' + clock(r.expires) : left(r.expires - now()));
  const share = min(max((r.expires - now()) / (r.expires - r.issued), 0), 1);
  attr(r.at$.fill, 'width', '' + Math.round(share * 88));
  r.tr.classList.toggle('low', share < .1);
}

function draw(r, old) {
  r.text = [r.name, r.host, r.account].join('\n').toLowerCase();
  const q = c => r.tr.querySelector(c);
  r.at$ = old ? old.at$ : { since: q('.since'), rest: q('.rest'), left: q('.left'), fill: q('.fill') };
  r.tr.id = 'r' + r.id;
  if (old && old.group !== r.group || !r.tr.className) r.tr.className = 'g-' + r.group;
  if (old && (old.state !== r.state || old.group !== r.group) && order.length) {
    r.tr.classList.remove('fresh'); void r.tr.offsetWidth; r.tr.classList.add('fresh');
  }
  attr(q('use'), 'href', '#i-' + r.icon);
  put(q('.word'), r.state);
  const name = q('.name');
  put(name, r.name); attr(name, 'href', '/pbx/' + r.id);
  put(q('.host'), r.host); put(q('td.c-brand'), r.brand); put(q('.fact'), r.fact || '');
  if (!r.expires && r.at$.left.textContent !== '–no token') r.at$.left.replaceChildren(...$('row').content.querySelector('.left').cloneNode(true).childNodes);
  q('.gauge').toggleAttribute('hidden', !r.expires);
  act(q('td.c-act'), r);
  tick(r);
}

function act(cell, r) {
  const a = r.action || {}, tag = a.label && (a.post ? 'BUTTON' : 'A'), focus = cell.contains(document.activeElement);
  let el = cell.firstElementChild;
  if (el?.tagName !== tag) {
    cell.textContent = '';
    if (tag) cell.append(el = make(tag));
  }
  if (tag) {
    el.className = a.post ? 'small' : 'button small';
    el.removeAttribute('form'); // 1,000 of them take half a second to move
    put(el, a.label);
    attr(el, a.post ? 'formaction' : 'href', a.path);
    attr(el, 'aria-label', a.label + ': ' + r.name);
  }
  if (focus) (tag ? el : cell.parentNode.querySelector('.name')).focus();
}

function choice() {
  const f = new FormData($('filters')), q = f.get('q').trim(), sort = one('[aria-sort]');
  return { show: f.get('show'), brand: f.get('brand'), q, low: q.toLowerCase(),
    key: sort.querySelector('button').dataset.sort, desc: sort.ariaSort === 'descending' };
}
const shows = { you: 'stop', wait: 'wait', in: 'ok' };
const matches = (r, c) => (!c.show || shows[c.show] === r.group) && (!c.brand || c.brand === r.brand) && r.text.includes(c.low);

const compare = (a, b) => a < b ? -1 : a > b ? 1 : 0;
function sorted(c) {
  const by = { name: () => 0, brand: (a, b) => compare(a.brand, b.brand),
    token: (a, b) => (a.expires || 1e15) - (b.expires || 1e15),
    state: (a, b) => groups.indexOf(a.group) - groups.indexOf(b.group) || a.from - b.from }[c.key];
  return present().sort((a, b) => (by(a, b) || compare(a.text, b.text)) * (c.desc ? -1 : 1));
}

// place puts the shown rows in order, 100 a frame: the first ones at once.
// Where a browser has moveBefore, a row keeps the focus while it moves.
const move = tbody && (tbody.moveBefore || tbody.insertBefore).bind(tbody);
let placing = 0;
function place(shown) {
  const mine = ++placing, active = document.activeElement;
  let at = tbody.firstElementChild, i = 0;
  const part = () => {
    if (mine !== placing) return; // a newer one
    for (const { tr } of shown.slice(i, i += 100)) {
      while (at && at.hidden) at = at.nextElementSibling;
      if (tr === at) at = at.nextElementSibling; else move(tr, at);
    }
    if (active !== document.activeElement && tbody.contains(active)) active.focus();
    if (i < shown.length) requestAnimationFrame(part);
  };
  part();
}

// arrange shows order and filter: at load and on the user's own action only.
function arrange() {
  for (const [id, r] of rows) if (r.gone) { r.tr.remove(); rows.delete(id); }
  const c = choice(), shown = [];
  arrived.clear();
  order = sorted(c);
  for (const r of order) {
    const show = matches(r, c);
    if (r.tr.hidden === show) r.tr.hidden = !show;
    if (show) shown.push(r);
  }
  place(shown);
  put($('shown'), shown.length + ' of ' + rows.size + ' shown');
  $('nomatch').hidden = shown.length > 0;
  put($('nomatch-text'), 'No PBX matches' + (c.q && ' “' + c.q + '”') + '.');
  const sort = (c.desc ? '-' : '') + c.key;
  const p = new URLSearchParams(Object.entries({ show: c.show, brand: c.brand, q: c.q, sort: sort === 'state' ? '' : sort }).filter(([, value]) => value));
  history.replaceState(null, '', '/' + (p.size ? '?' + p : '') + location.hash);
  $('moved').hidden = true;
}

// moved says when order and filter no longer fit what is shown.
function moved() {
  const c = choice(), want = new Map();
  for (const r of sorted(c)) if (matches(r, c) && !arrived.has(r.id)) want.set(r.id, want.size);
  const runs = []; // the longest run of shown rows that are in order
  let shown = 0, n = want.size;
  for (const r of order) {
    if (r.tr.hidden || rows.get(r.id)?.gone) continue;
    const p = want.get(r.id);
    shown++;
    if (p === undefined) continue;
    n--;
    let lo = 0, hi = runs.length;
    while (lo < hi) { const mid = (lo + hi) >> 1; runs[mid] < p ? lo = mid + 1 : hi = mid; }
    runs[lo] = p;
  }
  n += shown - runs.length;
  const gone = rows.size - present().length;
  const text = [n && many(n, 'row has', 'rows have') + ' changed place.', arrived.size && many(arrived.size, 'new PBX.', 'new PBXs.'), gone && gone + ' removed.'].filter(Boolean).join(' ');
  $('moved').hidden = !text;
  put($('moved-text'), text);
  put($('sort-again'), arrived.size && !n ? 'Show' : 'Sort again');
}
const many = (n, one, more) => n + ' ' + (n === 1 ? one : more);

function chips() {
  const all = present();
  for (const el of each('[data-chip]')) put(el, '' + all.filter(r => !el.dataset.chip || shows[el.dataset.chip] === r.group).length);
}

const news = new Map(), fresh = new Map(); // fresh: rows waiting for a frame
let spoke = 0;
function speak() {
  if (!news.size || Date.now() - spoke < 10000) return;
  spoke = Date.now();
  const [r] = news.values(), need = [...news.values()].filter(r => r.group === 'stop').length;
  put($('says'), news.size === 1 ? r.name + (need ? ' needs you: ' : ': ') + r.state.toLowerCase() + '.'
    : news.size + ' connections changed' + (need ? ', ' + many(need, 'needs you.', 'need you.') : '.'));
  news.clear();
}

function take(m) {
  if (!tbody) { if (m.all && m.rows?.length) location.reload(); return; }
  const first = m.all && !order.length;
  const now = new Set((m.rows || []).map(r => r.id));
  if (m.all) m.gone = [...rows.keys(), ...fresh.keys()].filter(id => !now.has(id));
  for (const r of m.rows || []) {
    const old = rows.get(r.id);
    r.tr = old?.tr || $('r' + r.id);
    if (!r.tr) { fresh.set(r.id, r); continue; }
    rows.set(r.id, r);
    if (old && old.group !== r.group) news.set(r.id, r);
    draw(r, old);
  }
  for (const id of m.gone || []) {
    const r = rows.get(id);
    fresh.delete(id);
    if (!r || r.gone) continue;
    r.gone = true; r.tr.classList.add('gone');
    put(r.tr.querySelector('.word'), 'Removed'); act(r.tr.querySelector('td.c-act'), {});
  }
  const add = () => {
    for (const r of [...fresh.values()].slice(0, 200)) {
      fresh.delete(r.id);
      r.tr = $('row').content.firstElementChild.cloneNode(true);
      r.tr.hidden = true;
      rows.set(r.id, r); tbody.append(r.tr); draw(r);
      if (!first) { arrived.add(r.id); order.push(r); }
    }
    if (fresh.size) return requestAnimationFrame(add);
    if (first && more) return arrange();
    if (first) order = [...tbody.rows].map(tr => rows.get(+tr.id.slice(1))).filter(Boolean);
    moved(); chips(); speak();
  };
  const more = fresh.size; // rows not in the HTML
  add();
}

if (tbody) {
  const filters = $('filters');
  let wait;
  on(filters, 'input', e => { clearTimeout(wait); wait = setTimeout(arrange, e.target.name === 'q' ? 30 : 0); });
  $('sort-again').onclick = () => { arrange(); $('shown').focus(); };
  on(filters, 'submit', e => { e.preventDefault(); arrange(); });
  on(one('thead'), 'click', e => {
    const b = e.target.closest('button');
    if (!b) return;
    e.preventDefault();
    sortBy(b.dataset.sort, b.closest('th').ariaSort === 'ascending');
  });
  on(one('[name=by]'), 'change', ({ target: { value } }) => sortBy(value.replace('-', ''), value[0] === '-'));
}
function sortBy(key, desc) {
  for (const b of each('[data-sort]')) b.closest('th').ariaSort = b.dataset.sort !== key ? null : desc ? 'descending' : 'ascending';
  arrange();
}

// --- The stream
const stream = document.body.dataset.stream;
let source, heard = 0, tries = 0, retry, retryAt = 0;

function blocks(b) {
  for (const id in b) {
    const el = $(id) || $('b-' + id);
    if (!el) continue;
    const focus = el.contains(document.activeElement) && document.activeElement.id;
    const all = () => [...el.querySelectorAll('details')], open = all().map(d => d.open);
    el.innerHTML = b[id];
    if (open.length) all().forEach((d, i) => d.open = open[i] ?? d.open);
    else shut(el);
    if (focus) ($(focus) || $('main')).focus({ preventScroll: true });
  }
}
// On a phone the hosts in trouble are closed behind one line.
function shut(el) { if (innerWidth <= 860) el.querySelectorAll('.hosts').forEach(d => d.open = false); }

function live(is, text) {
  root.className = 'scripted is-' + (is ? 'live' : 'lost');
  put($('live-text'), text);
  $('lost').hidden = is;
}
function listen() {
  clearTimeout(retry);
  if (source) source.close();
  source = new EventSource(stream);
  source.onmessage = e => {
    const m = JSON.parse(e.data);
    heard = Date.now(); tries = frozen = 0;
    offset = m.now - Date.now(); zone = m.zone;
    live(true, 'Live updates on');
    blocks(m.blocks);
    if (tbody || m.all) take(m); else if (m.gone) location = '/';
  };
  source.onerror = lost;
}
function lost() {
  source.close();
  if (document.hidden) return;
  if (!frozen) frozen = (heard || Date.now()) + offset;
  live(false, 'Not live since ' + clock(frozen, true));
  for (const e of each('[data-lost]')) put(e, e.dataset.lost);
  const wait = min(2 ** tries++, 15) * 1000;
  retryAt = Date.now() + wait;
  retry = setTimeout(listen, wait);
  second();
}
function second() {
  if (frozen) put($('lost-text'), 'Live updates stopped at ' + clock(frozen, true) + '. The page shows that moment. Sessions go on without this page. Trying again in ' + max(1, Math.ceil((retryAt - Date.now()) / 1000)) + ' s.');
  else if (heard && Date.now() - heard > 35000) lost();
  for (const r of rows.values()) if (!r.gone && !r.tr.hidden) tick(r);
  speak();
}
if (stream) {
  shut(document);
  listen();
  setInterval(() => { if (!document.hidden) second(); }, 1000);
  on(document, 'visibilitychange', () => {
    if (document.hidden) { source.close(); clearTimeout(retry); } else { heard = Date.now(); listen(); }
  });
}

// --- Buttons that act at once
function notice(text = '') { put($('notice'), text); $('notice').hidden = !text; }
async function whileSending(button, work) {
  if (button.ariaDisabled) return;
  const label = button.textContent;
  button.style.width = button.offsetWidth + 'px';
  put(button, 'Sending…'); button.ariaDisabled = 'true';
  try { await work(); } catch { notice('Not sent: this program does not respond.'); }
  if (button.textContent === 'Sending…') put(button, label);
  button.style.width = ''; button.ariaDisabled = null;
}
const post = (path, body) => fetch(path, { method: 'POST', headers: { Accept: 'application/json' }, body: new URLSearchParams(body) });
const press = button => whileSending(button, async () => {
  const m = await (await post(button.formAction, { token: one('#act [name=token]').value })).json();
  if ('result' in m) { put($('result'), m.result); $('result').className = m.ok ? '' : 'bad'; } else notice(m.notice);
  for (const b of each('[data-mischief][aria-pressed]')) if (m.pressed) attr(b, 'aria-pressed', `${!!m.pressed[b.dataset.mischief]}`);
});
on(document, 'click', e => {
  const b = e.target.closest('button[formaction]:not([formaction="/simulated"])');
  if (b) { e.preventDefault(); return press(b); }
  const a = e.target.closest('a[href^="/#host-"]');
  if (!a || !tbody) return;
  e.preventDefault();
  showHost(a.getAttribute('href').slice(1));
});
function showHost(hash) {
  const el = /^#host-/.test(hash) && $(hash.slice(1));
  if (!el) return;
  for (let d = el.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
  el.scrollIntoView({ block: 'center' }); el.focus();
}
if (tbody) showHost(location.hash);

// A link to a page that asks opens as a dialog.
const dialog = $('dialog');
let asked;
on(document, 'click', async e => {
  const a = e.target.closest('a[data-dialog], a[data-cancel]');
  if (!a || a.matches('[data-cancel]') && !dialog.open) return;
  e.preventDefault();
  if (dialog.open) return dialog.close();
  asked = a.id;
  const resp = await fetch(a.href).catch(() => null);
  const ask = resp?.ok && new DOMParser().parseFromString(await resp.text(), 'text/html').getElementById('confirm');
  if (!ask) return location = a.href;
  ask.querySelector('h1').id = 'dialog-title';
  dialog.replaceChildren(document.importNode(ask, true));
  dialog.showModal();
  dialog.querySelector('[data-cancel]').focus();
});
on(dialog, 'close', () => $(asked)?.focus());
if ($('repeat')) setInterval(() => { if ($('repeat').checked) press($('extensions')); }, 5000);

// --- The form
const form = $('settings');
if (form) {
  on(form, 'submit', e => {
    const b = e.submitter;
    if (b?.id === 'trust') $('pin').value = b.value.slice(6);
    if (/^(test|trust)$/.test(b?.id)) { e.preventDefault(); test(); }
  });
  let due; // letters in a row choose one brand
  const redraw = () => { clearTimeout(due); due = setTimeout(() => form.requestSubmit($('use-brand')), 400); };
  on(form, 'change', e => { if (/driver|login/.test(e.target.name)) redraw(); });
  on(form, 'keydown', () => due && redraw());
  one('#summary:not([hidden]),[data-focus]')?.focus();
}
function field(id, text) {
  const input = $(id), error = $(id + '-error');
  if (!error) return;
  put(error.querySelector('span'), text); error.hidden = !text;
  input.closest('.field').classList.toggle('wrong', !!text);
  attr(input, 'aria-invalid', `${!!text}`);
  const more = input.closest('details');
  if (text && more) more.open = true;
}
function result(m) {
  const summary = $('summary'), decision = $('decision');
  summary.hidden = !m.problems;
  decision.hidden = !m.decision;
  decision.innerHTML = m.decision || '';
  document.title = (m.problems ? 'Error: ' : '') + document.title.replace(/^Error: /, '');
  if (!m.problems) return;
  put($('summary-title'), m.title);
  const ul = summary.querySelector('ul');
  ul.textContent = '';
  for (const p of m.problems) {
    const li = make('li'), a = make('a');
    a.textContent = p.Text; a.href = '#' + p.Field;
    li.append(p.Field ? a : p.Text); ul.append(li);
    field(p.Field, p.Text);
  }
  summary.focus();
}
const test = () => whileSending($('test'), async () => {
  for (const e of each('.field .error')) field(e.id.slice(0, -6), '');
  $('decision').hidden = true;
  const text = (await post('/test', new FormData(form))).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (let part; !(part = await text.read()).done;) {
    const lines = (rest + part.value).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      const m = JSON.parse(line);
      if (m.done) result(m); else one('[data-step="' + m.name + '"]').outerHTML = m.html;
    }
  }
  if (rest) notice(JSON.parse(rest).notice);
});
