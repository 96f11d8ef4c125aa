// The pages work without this script. It keeps them up to date, filters and
// sorts at once, and shows a connection test step by step.
'use strict';
const $ = id => document.getElementById(id);
const root = document.documentElement;
root.classList.add('scripted');
const token = () => document.querySelector('#act [name=token]').value;

// Text of the page is set only where it differs, so that nothing else moves.
function put(node, text) { if (node && node.textContent !== text) node.textContent = text; }
function attr(node, name, value) { if (node.getAttribute(name) !== value) node.setAttribute(name, value); }

// --- Time: the server's clock and zone, as clock.go writes it ---
let offset = 0, zone = -new Date().getTimezoneOffset() * 60, frozen = 0;
const now = () => frozen || Date.now() + offset;
const s = ms => Math.floor(Math.max(ms, 0) / 1000);
function ago(ms) {
  const t = s(ms);
  if (t < 120) return t + ' s';
  if (t < 7200) return Math.floor(t / 60) + ' min';
  if (t < 172800) return Math.floor(t / 3600) + ' h';
  if (t < 1209600) return Math.floor(t / 86400) + ' days';
  return Math.floor(t / 604800) + ' weeks';
}
function left(ms) {
  const t = s(ms), m = Math.floor(t / 60) % 60;
  if (t < 120) return t + ' s';
  if (t < 3600) return m + ' min';
  if (t < 86400) return Math.floor(t / 3600) + ' h' + (m ? ' ' + m + ' min' : '');
  return t < 172800 ? '1 day' : Math.floor(t / 86400) + ' days';
}
const clock = (at, to = 16) => new Date(at + zone * 1000).toISOString().slice(11, to);

// --- The table ---
const rows = new Map(); // by id: what the server says, and the tr
const tbody = $('rows');
const groups = ['stop', 'wait', 'busy', 'ok', 'off'];
let order = [], arrived = new Set(), slices = 0;

function tick(r) {
  const since = r.since ? (frozen ? 'since ' + clock(r.since) : ago(now() - r.since)) : '';
  put(r.at$.since, r.who && since ? r.who + ' · ' + since : (r.who || '') + since);
  const when = frozen ? 'at ' + clock(r.at) : 'in ' + left(r.at - now());
  put(r.at$.rest, (r.rest || '').replace(r.at ? '{in}' : ' {in}', r.at ? when : ''));
  if (!r.expires) return;
  put(r.at$.left, frozen ? 'until ' + clock(r.expires) : left(r.expires - now()));
  const share = Math.min(Math.max((r.expires - now()) / (r.expires - r.issued), 0), 1);
  attr(r.at$.fill, 'width', String(Math.round(share * 88)));
  r.tr.classList.toggle('low', share < .1);
}

function draw(r, old) {
  const q = c => r.tr.querySelector(c);
  r.at$ = old ? old.at$ : { since: q('.since'), rest: q('.rest'), left: q('.left'), fill: q('.fill') };
  if (!r.tr.id) r.tr.id = 'r' + r.id;
  if (old && old.group !== r.group || !r.tr.className) r.tr.className = 'g-' + r.group;
  if (old && (old.state !== r.state || old.group !== r.group) && order.length) {
    r.tr.classList.remove('fresh'); void r.tr.offsetWidth; r.tr.classList.add('fresh');
  }
  attr(q('use'), 'href', '#i-' + r.icon);
  q('.i').classList.toggle('turn', r.icon === 'connecting' || r.icon === 'renewing');
  put(q('.word'), r.state);
  const name = q('.name');
  put(name, r.name); attr(name, 'href', '/pbx/' + r.id);
  put(q('.host'), r.host); put(q('td.c-brand'), r.brand); put(q('.fact'), r.fact || '');
  if (!r.expires) {
    if (r.at$.left.textContent !== '–no token') {
      r.at$.left.innerHTML = '<span aria-hidden="true">–</span><span class="unseen">no token</span>';
    }
  }
  q('svg.bar').toggleAttribute('hidden', !r.expires);
  act(q('td.c-act'), r);
  tick(r);
}

function act(cell, r) {
  const a = r.action || {}, had = cell.firstElementChild;
  const tag = !a.label ? '' : a.post ? 'BUTTON' : 'A';
  let el = had;
  if ((had ? had.tagName : '') !== tag) {
    cell.textContent = '';
    if (!tag) return;
    el = document.createElement(tag);
    el.className = a.post ? 'small' : 'button small';
    cell.append(el);
  }
  if (!tag) return;
  el.removeAttribute('form'); // with 1,000 of them, a browser takes half a second to move the rows
  put(el, a.label);
  attr(el, a.post ? 'formaction' : 'href', a.path);
  attr(el, 'aria-label', a.label + ': ' + r.name);
}

function choice() {
  const f = new FormData($('filters'));
  const sort = document.querySelector('[aria-sort]');
  return { show: f.get('show') || '', brand: f.get('brand'), q: f.get('q').trim().toLowerCase(),
    key: sort ? sort.querySelector('button').dataset.sort : 'state', desc: !!sort && sort.getAttribute('aria-sort') === 'descending' };
}
const shows = { you: 'stop', wait: 'wait', in: 'ok' };
const matches = (r, c) => (!c.show || shows[c.show] === r.group) && (!c.brand || c.brand === r.brand) &&
  (!c.q || (r.name + '\n' + r.host + '\n' + (r.account || '')).toLowerCase().includes(c.q));

function sorted(c) {
  const by = { name: () => 0, brand: (a, b) => a.brand < b.brand ? -1 : a.brand > b.brand ? 1 : 0,
    token: (a, b) => (a.expires || 1e15) - (b.expires || 1e15),
    state: (a, b) => groups.indexOf(a.group) - groups.indexOf(b.group) || a.since - b.since }[c.key];
  const byName = (a, b) => { const x = a.name.toLowerCase(), y = b.name.toLowerCase(); return x < y ? -1 : x > y ? 1 : a.id - b.id; };
  return [...rows.values()].filter(r => !r.gone).sort((a, b) => (by(a, b) || byName(a, b)) * (c.desc ? -1 : 1));
}

// arrange shows order and filter: at load and on the user's own action only.
function arrange() {
  for (const [id, r] of rows) if (r.gone) { r.tr.remove(); rows.delete(id); }
  const c = choice();
  arrived.clear();
  order = sorted(c);
  const active = document.activeElement;
  let at = tbody.firstElementChild, seen = 0;
  for (const r of order) {
    const show = matches(r, c);
    r.tr.hidden = !show; seen += show;
    if (at && r.tr === at.nextElementSibling) { tbody.append(at); at = r.tr; } // one row has moved down, not all others up
    if (r.tr === at) at = at.nextElementSibling; else tbody.insertBefore(r.tr, at);
  }
  if (active && active !== document.activeElement && tbody.contains(active)) active.focus();
  put($('shown'), seen + ' of ' + rows.size + ' shown');
  $('nomatch').hidden = seen > 0;
  put($('nomatch-text'), 'No PBX matches' + (c.q ? ' “' + document.querySelector('[name=q]').value.trim() + '”' : '') + '.');
  const p = new URLSearchParams();
  if (c.show) p.set('show', c.show);
  if (c.brand) p.set('brand', c.brand);
  if (c.q) p.set('q', document.querySelector('[name=q]').value.trim());
  if (c.key !== 'state' || c.desc) p.set('sort', (c.desc ? '-' : '') + c.key);
  history.replaceState(null, '', '/' + (p.size ? '?' + p : '') + location.hash);
  $('moved').hidden = true;
  $('moved').dataset.text = '';
}

// moved says when order and filter no longer fit what is shown.
function moved() {
  const c = choice(), want = new Map();
  for (const r of sorted(c)) if (matches(r, c) && !arrived.has(r.id)) want.set(r.id, want.size);
  const runs = []; // the longest run of shown rows that still stand in order
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
  const gone = [...rows.values()].filter(r => r.gone).length;
  const el = $('moved');
  const text = [n && (n === 1 ? '1 row has changed place. ' : n + ' rows have changed place. '), arrived.size && (arrived.size === 1 ? '1 new PBX. ' : arrived.size + ' new PBXs. '), gone && (gone + ' removed. ')].filter(Boolean).join('');
  el.hidden = !text;
  if (!text) { el.dataset.text = ''; return; }
  if (el.dataset.text === text) return;
  el.dataset.text = text;
  let button = el.querySelector('button');
  if (!button) {
    button = document.createElement('button');
    button.className = 'link'; button.type = 'button';
    button.onclick = () => { arrange(); $('shown').focus(); };
    el.append(' · ', document.createElement('span'), button);
  }
  put(el.querySelector('span'), text);
  put(button, arrived.size && !n ? 'Show' : 'Sort again');
}

function chips() {
  for (const el of document.querySelectorAll('[data-chip]')) {
    put(el, String([...rows.values()].filter(r => !r.gone && (!el.dataset.chip || shows[el.dataset.chip] === r.group)).length));
  }
}

const news = new Map();
let spoke = 0;
function speak() {
  if (!news.size || Date.now() - spoke < 10000) return;
  spoke = Date.now();
  const need = [...news.values()].filter(r => r.group === 'stop');
  put($('says'), news.size === 1 ? [...news.values()].map(r => r.group === 'stop' ? r.name + ' needs you: ' + r.state.toLowerCase() + '.' : r.name + ': ' + r.state.toLowerCase() + '.')[0]
    : news.size + ' connections changed' + (need.length ? ', ' + need.length + (need.length === 1 ? ' needs you.' : ' need you.') : '.'));
  news.clear();
}

function take(m) {
  if (!tbody) { if (m.all && m.rows && m.rows.length) location.reload(); return; }
  const first = m.all && !order.length;
  if (m.all) for (const [id, r] of rows) if (!m.rows.some(x => x.id === id)) m.gone = [...(m.gone || []), id];
  const fresh = [];
  for (const r of m.rows || []) {
    const old = rows.get(r.id);
    r.tr = old ? old.tr : $('r' + r.id);
    if (!r.tr) { fresh.push(r); continue; }
    rows.set(r.id, r);
    if (old && old.state !== r.state) news.set(r.id, r);
    draw(r, old);
  }
  for (const id of m.gone || []) {
    const r = rows.get(id);
    if (!r || r.gone) continue;
    r.gone = true; r.tr.classList.add('gone');
    put(r.tr.querySelector('.word'), 'Removed'); r.tr.querySelector('td.c-act').textContent = '';
  }
  const add = () => {
    const part = fresh.splice(0, 200);
    for (const r of part) {
      r.tr = $('row').content.firstElementChild.cloneNode(true);
      r.tr.hidden = true;
      rows.set(r.id, r); tbody.append(r.tr); draw(r);
      if (!first) { arrived.add(r.id); order.push(r); }
    }
    if (fresh.length) return requestAnimationFrame(add);
    if (first && more) return arrange();
    if (first) order = [...tbody.children].map(tr => rows.get(+tr.id.slice(1))).filter(Boolean);
    moved(); chips();
  };
  const more = fresh.length; // rows that the first HTML does not have
  add();
  chips(); speak();
}

if (tbody) {
  const filters = $('filters');
  let wait;
  filters.addEventListener('input', e => { clearTimeout(wait); wait = setTimeout(arrange, e.target.name === 'q' ? 30 : 0); });
  filters.addEventListener('submit', e => { e.preventDefault(); arrange(); });
  document.querySelector('thead').addEventListener('click', e => {
    const b = e.target.closest('button');
    if (!b) return;
    e.preventDefault();
    sortBy(b.dataset.sort, b.closest('th').getAttribute('aria-sort') === 'ascending');
  });
  filters.querySelector('[name=by]').addEventListener('change', e => sortBy(e.target.value.replace(/^-/, ''), e.target.value[0] === '-'));
}
function sortBy(key, desc) {
  for (const th of document.querySelectorAll('thead th')) {
    const b = th.querySelector('button');
    if (b && b.dataset.sort === key) th.setAttribute('aria-sort', desc ? 'descending' : 'ascending'); else th.removeAttribute('aria-sort');
  }
  arrange();
}

// --- The stream ---
const stream = document.body.dataset.stream;
const waits = [1, 2, 4, 8, 15];
let source, heard = 0, tries = 0, retry, retryAt = 0;

function blocks(b) {
  for (const [id, html] of Object.entries(b || {})) {
    const el = $(id) || $('b-' + id);
    if (!el || el.dataset.html === html) continue;
    const focus = el.contains(document.activeElement) ? document.activeElement.id : '';
    const open = el.querySelector('details') && [...el.querySelectorAll('details')].map(d => d.open);
    el.innerHTML = el.dataset.html = html;
    if (open) el.querySelectorAll('details').forEach((d, i) => { if (i in open) d.open = open[i]; });
    else shut(el);
    if (focus && $(focus)) $(focus).focus();
  }
}
// On a phone the hosts in trouble are closed behind one line.
function shut(el) { if (innerWidth <= 860) el.querySelectorAll('.hosts').forEach(d => { d.open = false; }); }

function listen() {
  clearTimeout(retry);
  if (source) source.close();
  source = new EventSource(stream);
  source.onmessage = e => {
    const m = JSON.parse(e.data);
    heard = Date.now(); tries = 0; frozen = 0;
    offset = m.now - Date.now(); zone = m.zone;
    root.classList.add('is-live'); root.classList.remove('is-lost');
    put($('live-text'), 'Live updates on');
    $('lost').hidden = true;
    blocks(m.blocks);
    if (m.rows || m.gone || m.all) tbody || m.all ? take(m) : m.gone && location.assign('/');
  };
  source.onerror = lost;
}
function lost() {
  source.close();
  if (document.hidden) return;
  if (!frozen) frozen = (heard || Date.now()) + offset;
  root.classList.remove('is-live'); root.classList.add('is-lost');
  put($('live-text'), 'Not live since ' + clock(frozen, 19));
  const wait = waits[Math.min(tries++, waits.length - 1)] * 1000;
  retryAt = Date.now() + wait;
  clearTimeout(retry);
  retry = setTimeout(listen, wait);
  $('lost').hidden = false;
  second();
}
function second() {
  if (frozen) put($('lost-text'), 'Live updates stopped at ' + clock(frozen, 19) + '. The page shows that moment. Sessions go on without this page. Trying again in ' + Math.max(1, Math.ceil((retryAt - Date.now()) / 1000)) + ' s.');
  else if (heard && Date.now() - heard > 35000) lost();
  for (const r of rows.values()) if (!r.gone && !r.tr.hidden) tick(r);
  speak();
}
if (stream) {
  shut(document);
  listen();
  setInterval(() => { if (!document.hidden) second(); }, 1000);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) { source.close(); clearTimeout(retry); } else { heard = Date.now(); listen(); }
  });
}

// --- Buttons that act at once ---
function notice(text) { const n = $('notice'); put(n, text || ''); n.hidden = !text; }
async function press(button) {
  if (button.getAttribute('aria-disabled')) return;
  const label = button.textContent, path = button.getAttribute('formaction');
  button.style.width = button.offsetWidth + 'px';
  put(button, 'Sending…'); button.setAttribute('aria-disabled', 'true');
  try {
    const resp = await fetch(path, { method: 'POST', headers: { Accept: 'application/json' }, body: new URLSearchParams({ token: token() }) });
    const m = await resp.json();
    if ('result' in m) { put($('result'), m.result); $('result').className = m.ok ? '' : 'bad'; } else notice(m.notice);
    for (const b of document.querySelectorAll('[data-mischief][aria-pressed]')) if (m.pressed) attr(b, 'aria-pressed', String(!!m.pressed[b.dataset.mischief]));
    if (/\/(dis)?connect$/.test(path) && !tbody) location.reload();
  } catch { notice('Not sent: this program does not respond.'); }
  if (button.textContent === 'Sending…') put(button, label);
  button.style.width = ''; button.removeAttribute('aria-disabled');
}
document.addEventListener('submit', e => {
  const b = e.submitter;
  if (e.target.id !== 'act' || !b || b.getAttribute('formaction') === '/simulated') return;
  e.preventDefault(); press(b);
});
document.addEventListener('click', e => {
  const b = e.target.closest('button[formaction]:not([form])');
  if (b) return press(b);
  const a = e.target.closest('a[href^="/#host-"]');
  if (!a || !tbody) return;
  e.preventDefault();
  showHost(a.getAttribute('href').slice(1));
});
function showHost(hash) {
  const el = hash.startsWith('#host-') && $(hash.slice(1));
  if (!el) return;
  for (let d = el.closest('details'); d; d = d.parentElement.closest('details')) d.open = true;
  el.scrollIntoView({ block: 'center' }); el.focus();
}
if (tbody) showHost(location.hash);

// A link to a page that asks first opens as a dialog.
const dialog = $('dialog');
let asked;
document.addEventListener('click', async e => {
  const a = e.target.closest('a[data-dialog], a[data-cancel]');
  if (!a || a.matches('[data-cancel]') && !dialog.open) return;
  e.preventDefault();
  if (dialog.open) return dialog.close();
  asked = a.id;
  const resp = await fetch(a.href).catch(() => null);
  const ask = resp && resp.ok && new DOMParser().parseFromString(await resp.text(), 'text/html').getElementById('confirm');
  if (!ask) return location.assign(a.href);
  ask.querySelector('h1').id = 'dialog-title';
  dialog.replaceChildren(document.importNode(ask, true));
  dialog.showModal();
  dialog.querySelector('[data-cancel]').focus();
});
dialog.addEventListener('close', () => { if ($(asked)) $(asked).focus(); });
if ($('repeat')) setInterval(() => { if ($('repeat').checked) press($('extensions')); }, 5000);

// --- The form ---
const form = $('settings');
if (form) {
  const brand = $('driver');
  brand.addEventListener('change', () => form.requestSubmit($('use-brand')));
  form.addEventListener('submit', e => {
    const b = e.submitter;
    if (b && b.id === 'test') { e.preventDefault(); test(); }
    if (b && b.id === 'trust') { e.preventDefault(); $('pin').value = b.value.slice(6); test(); }
  });
  document.querySelectorAll('[name=login]').forEach(r => r.addEventListener('change', () => form.requestSubmit($('use-brand'))));
  if (!$('summary').hidden) $('summary').focus();
}
function field(id, text) {
  const input = $(id), error = $(id + '-error');
  if (!error) return;
  put(error.querySelector('span'), text); error.hidden = !text;
  input.closest('.field').classList.toggle('wrong', !!text);
  text ? input.setAttribute('aria-invalid', 'true') : input.removeAttribute('aria-invalid');
  const more = text && input.closest('details');
  if (more) more.open = true;
}
function step(st) {
  const li = document.querySelector('[data-step="' + st.name + '"]');
  li.className = 's-' + st.state;
  const icon = { done: 'live', failed: 'rejected', running: 'connecting', skipped: 'closed', decide: 'held' }[st.state] || 'todo';
  attr(li.querySelector('use'), 'href', '#i-' + icon);
  li.querySelector('.i').classList.toggle('turn', st.state === 'running');
  put(li.querySelector('.ms'), /done|failed/.test(st.state) ? st.ms + ' ms' : '');
  const said = li.querySelector('.said');
  put(said, st.text || ''); said.hidden = !st.text;
}
function inFours(node, pin) {
  node.textContent = '';
  for (const four of pin.replace('sha256/', '').match(/.{1,4}/g) || []) {
    const span = document.createElement('span'); span.textContent = four; node.append(span);
  }
}
function decide(c) {
  $('decision').hidden = !c;
  if (!c) return;
  put($('cert-fingerprint'), c.fingerprint); put($('cert-name'), c.name); put($('cert-valid'), c.valid);
  inFours($('cert-pin'), c.pin);
  $('cert-was').hidden = $('cert-was-label').hidden = !c.trusted;
  if (c.trusted) inFours($('cert-was'), c.trusted);
  $('trust').value = 'trust:' + c.pin;
}
function result(m) {
  const summary = $('summary');
  summary.hidden = !m.problems;
  decide(m.cert);
  if (!m.problems) { document.title = document.title.replace(/^Error: /, ''); return; }
  put($('summary-title'), m.title);
  const ul = summary.querySelector('ul');
  ul.textContent = '';
  for (const p of m.problems) {
    const li = document.createElement('li');
    let to = li;
    if (p.Field) { to = document.createElement('a'); to.href = '#' + p.Field; li.append(to); field(p.Field, p.Text); }
    to.textContent = p.Text; ul.append(li);
  }
  if (!document.title.startsWith('Error: ')) document.title = 'Error: ' + document.title;
  summary.focus();
}
async function test() {
  const b = $('test');
  if (b.getAttribute('aria-disabled')) return;
  b.style.width = b.offsetWidth + 'px'; put(b, 'Sending…'); b.setAttribute('aria-disabled', 'true');
  for (const e of document.querySelectorAll('.field .error')) field(e.id.slice(0, -6), '');
  for (const li of document.querySelectorAll('[data-step]')) step({ name: li.dataset.step, state: 'todo' });
  decide(null);
  try {
    const resp = await fetch('/test', { method: 'POST', headers: { Accept: 'application/json' }, body: new URLSearchParams(new FormData(form)) });
    const text = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { value, done } = await text.read();
      if (done) break;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) { const m = JSON.parse(line); m.done ? result(m) : step(m); }
    }
    if (!resp.ok) notice(JSON.parse(rest).notice);
  } catch { notice('The test broke off: this program does not respond.'); }
  put(b, 'Test connection'); b.style.width = ''; b.removeAttribute('aria-disabled');
}
