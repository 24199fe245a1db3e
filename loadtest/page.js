'use strict';
const report = JSON.parse(document.getElementById('report').textContent);
const NS = 'http://www.w3.org/2000/svg';
const color = i => `var(--c${i % 8})`;
const ms = v => v >= 10000 ? (v / 1000).toFixed(0) + ' s' : v >= 1000 ? (v / 1000).toFixed(1) + ' s' : v >= 10 ? v.toFixed(0) + ' ms' : v >= 1 ? v.toFixed(1) + ' ms' : v > 0 ? (v * 1000).toFixed(0) + ' µs' : '0';
const num = v => v >= 1e6 ? (v / 1e6).toFixed(1) + 'M' : v >= 1e4 ? (v / 1e3).toFixed(0) + 'k' : v >= 1e3 ? (v / 1e3).toFixed(1) + 'k' : v >= 10 || v === 0 ? v.toFixed(0) : v.toFixed(1);
const sec = v => (Math.abs(v) < 10 && v % 1 ? v.toFixed(1) : v.toFixed(0)) + ' s';

function svg(name, attrs, parent, text) {
  const e = document.createElementNS(NS, name);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  if (text !== undefined) e.textContent = text;
  if (parent) parent.appendChild(e);
  return e;
}
function html(name, cls, parent, text) {
  const e = document.createElement(name);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  if (parent) parent.appendChild(e);
  return e;
}

// steps are round numbers from 0 to most.
function steps(most, n) {
  const raw = most / n, unit = Math.pow(10, Math.floor(Math.log10(raw)));
  const by = [1, 2, 2.5, 5, 10].map(f => f * unit).find(s => s >= raw);
  const out = [];
  for (let i = 0; i * by <= most * 1.0001; i++) out.push(i * by);
  return out;
}

// chart draws lines: series are {name, points: [[x, y], ...]}, the points of a
// line in the order of x; null is a gap.
function chart(id, series, o) {
  const root = document.getElementById(id);
  series = series.filter(s => s.points.some(p => p[1] !== null));
  if (!series.length) { html('p', 'note', root, 'nothing was measured'); return; }
  const W = o.width || 1120, H = (o.height || 270) + 22, L = 76, R = 14, B = 46;
  const legend = html('div', 'legend', root);
  series.forEach((s, i) => { const l = html('span', '', legend); html('i', '', l).style.background = color(i); l.append(s.name); });
  const holder = html('div', 'chart', root);
  const g = svg('svg', {viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': o.label}, holder);
  const all = series.flatMap(s => s.points.filter(p => p[1] !== null));
  const x0 = o.x0 ?? Math.min(...all.map(p => p[0])), x1 = o.x1 ?? Math.max(...all.map(p => p[0]));
  let top = Math.max(...all.map(p => p[1])) || 1, low = 0;
  if (o.log) {
    low = Math.pow(10, Math.floor(Math.log10(Math.max(1e-3, Math.min(...all.map(p => p[1]).filter(v => v > 0))))));
    top = Math.pow(10, Math.ceil(Math.log10(top) * 1.0001));
    if (top <= low) top = low * 10;
  } else { const s = steps(top * 1.05, 5); top = Math.max(top * 1.05, s[s.length - 1]); }
  const names = o.marks ? markNames(x => L + (x - x0) / ((x1 - x0) || 1) * (W - L - R), L, x1) : [];
  const T = o.marks ? 16 + 13 * Math.max(0, ...names.map(n => n.row + 1)) : 12;
  const X = x => L + (x - x0) / ((x1 - x0) || 1) * (W - L - R);
  const Y = y => o.log ? H - B - (Math.log10(Math.max(y, low)) - Math.log10(low)) / (Math.log10(top) - Math.log10(low)) * (H - T - B) : H - B - y / top * (H - T - B);
  const ticks = o.log ? [] : steps(top, 5);
  if (o.log) for (let v = low; v <= top * 1.001; v *= 10) ticks.push(v);
  ticks.forEach(v => {
    svg('line', {x1: L, x2: W - R, y1: Y(v), y2: Y(v), class: 'grid'}, g);
    svg('text', {x: L - 8, y: Y(v) + 4, 'text-anchor': 'end'}, g, o.y(v));
  });
  (o.ticks || steps(Math.max(x1 - Math.max(0, x0), 1e-9), 10).map(v => [v + Math.max(0, x0), sec(v)])).forEach(([v, text]) => {
    if (v < x0 || v > x1) return;
    svg('line', {x1: X(v), x2: X(v), y1: H - B, y2: H - B + 4, class: 'axis'}, g);
    svg('text', {x: X(v), y: H - B + 18, 'text-anchor': 'middle'}, g, text);
  });
  svg('line', {x1: L, x2: W - R, y1: H - B, y2: H - B, class: 'axis'}, g);
  svg('text', {x: (L + W - R) / 2, y: H - 6, 'text-anchor': 'middle', class: 'title'}, g, o.xTitle);
  svg('text', {x: 0, y: 0, transform: `translate(13 ${(T + H - B) / 2}) rotate(-90)`, 'text-anchor': 'middle', class: 'title'}, g, o.yTitle);
  if (o.marks) marks(g, X, x1, T, H - B, names, o.catchUp);
  series.forEach((s, i) => {
    let d = '', pen = false;
    for (const [x, y] of s.points) {
      if (y === null) { pen = false; continue; }
      d += (pen ? 'L' : 'M') + X(x).toFixed(1) + ' ' + Y(y).toFixed(1);
      pen = true;
    }
    svg('path', {d, class: 'serie', stroke: color(i), 'data-name': s.name, 'data-max': Math.max(...s.points.map(p => p[1] || 0)).toFixed(1)}, g);
  });
  hover(holder, g, series, {W, L, R, T, B, H, X, x0, x1, o});
}

// markNames finds room above a chart for the names of faults, in up to three
// rows. What finds none has its name in the table of faults.
function markNames(X, left, x1) {
  const free = [-1e9, -1e9, -1e9], names = []; // where each row is free from
  const place = (text, start, heal) => {
    const width = 6.6 * text.length + 8, from = Math.min(start, 1120 - width), row = free.findIndex(end => end <= from);
    if (row < 0) return;
    free[row] = from + width;
    names.push({text, x: from, row, heal});
  };
  if (X(0) > left + 10) place('quiet, warm-up', left, 'soft');
  report.faults.filter(f => f.t <= x1).forEach(f => place(f.what.length > 30 ? f.what.slice(0, 29) + '…' : f.what, X(f.t) + 4, f.heal ? 'heal' : ''));
  return names;
}

// marks draws faults: a line for each, a band from the first to the last, and,
// where it is asked for, how long catching up took after a heal.
function marks(g, X, x1, top, bottom, names, catchUp) {
  names.forEach(n => svg('text', {x: n.x, y: top - 6 - n.row * 13, class: 'marktext ' + n.heal}, g, n.text));
  const open = report.faults.filter(f => !f.heal).map(f => f.t), heals = report.faults.filter(f => f.heal).map(f => f.t);
  if (open.length) {
    const from = X(Math.min(...open)), to = X(Math.min(x1, heals.length ? Math.max(...heals) : x1));
    svg('rect', {x: from, y: top, width: Math.max(0, to - from), height: bottom - top, class: 'band'}, g);
  }
  report.faults.forEach(f => {
    if (f.t > x1) return;
    const x = X(f.t), heal = f.heal ? ' heal' : '';
    svg('line', {x1: x, x2: x, y1: top, y2: bottom, class: 'mark' + heal, 'data-what': f.what}, g);
    if (!catchUp || f.caught_up_ms === null || f.caught_up_ms < 1) return;
    const until = X(Math.min(x1, f.t + f.caught_up_ms / 1000)), label = 'caught up after ' + ms(f.caught_up_ms);
    svg('rect', {x: x, y: top, width: Math.max(1, until - x), height: bottom - top, class: 'catchup', 'data-ms': f.caught_up_ms}, g);
    const right = until + 6 + 6.6 * label.length > 1120;
    svg('text', {x: right ? x - 6 : until + 6, y: top + 14, 'text-anchor': right ? 'end' : 'start', class: 'marktext heal'}, g, label);
  });
  svg('line', {x1: X(0), x2: X(0), y1: top, y2: bottom, class: 'axis'}, g);
}

// hover shows the values under the pointer.
function hover(holder, g, series, c) {
  const tip = html('div', 'tip', holder);
  const cross = svg('line', {y1: c.T, y2: c.H - c.B, class: 'cross', visibility: 'hidden'}, g);
  holder.addEventListener('pointerleave', () => { tip.style.display = 'none'; cross.setAttribute('visibility', 'hidden'); });
  holder.addEventListener('pointermove', e => {
    const box = g.getBoundingClientRect(), x = (e.clientX - box.left) / box.width * c.W;
    const at = c.x0 + (x - c.L) / (c.W - c.L - c.R) * (c.x1 - c.x0);
    if (at < c.x0 || at > c.x1) return;
    tip.textContent = '';
    let near = null;
    const rows = series.map((s, i) => {
      let best = null;
      for (const p of s.points) if (p[1] !== null && (!best || Math.abs(p[0] - at) < Math.abs(best[0] - at))) best = p;
      if (best && (near === null || Math.abs(best[0] - at) < Math.abs(near - at))) near = best[0];
      return [s.name, best, i];
    });
    html('div', '', tip, c.o.x ? c.o.x(near) : sec(near)).style.color = 'var(--soft)';
    rows.filter(r => r[1]).forEach(([name, p, i]) => { const d = html('div', '', tip); html('i', '', d).style.background = color(i); d.append(name + '  ' + c.o.y(p[1])); });
    cross.setAttribute('x1', c.X(near)); cross.setAttribute('x2', c.X(near)); cross.setAttribute('visibility', 'visible');
    tip.style.display = 'block';
    const px = c.X(near) / c.W * box.width;
    tip.style.left = (px > box.width * .6 ? px - tip.offsetWidth - 14 : px + 14) + 'px';
    tip.style.top = '34px';
  });
}

const pairs = report.series.filter(s => s.to), sites = report.series.filter(s => !s.to && !s.op);
const to = Math.max(report.seconds, ...report.series.flatMap(s => s.points.map(p => p.t)));
const from = Math.min(0, ...report.series.flatMap(s => s.points.map(p => p.t)));
const time = {x0: from, x1: to, marks: true, xTitle: 'time since the measured load began'};
chart('behind', pairs.map(s => ({name: s.dc + ' → ' + s.to, points: s.points.map(p => [p.t, p.max])})), {...time, y: ms, label: 'how far behind', yTitle: 'how far behind', height: 300, catchUp: true});
chart('throughput', sites.map(s => ({name: s.dc, points: s.points.map(p => [p.t, p.n / report.slice_seconds])})), {...time, y: num, label: 'operations a second', yTitle: 'operations a second'});
chart('latency', sites.map(s => ({name: s.dc, points: s.points.map(p => [p.t, p.n ? p.p99 : null])})), {...time, y: ms, log: true, label: 'p99 latency', yTitle: 'p99 latency'});
const depth = p => p >= 100 ? 5.3 : -Math.log10(1 - p / 100);
const deepest = Math.max(1, ...report.operations.flatMap(o => (o.curve || []).filter(c => c[0] < 100).map(c => depth(c[0]))));
const pct = [0, 50, 90, 99, 99.9, 99.99, 99.999].map(p => [depth(p), 'p' + p]);
for (const sort of ['read', 'write']) {
  const ops = report.operations.filter(o => o.write === (sort === 'write') && o.count);
  chart(sort + 's', ops.map(o => ({name: o.dc + ' ' + o.op, points: (o.curve || []).filter(c => c[0] < 100).map(c => [depth(c[0]), c[1]])})),
    {y: ms, x: d => 'p' + +(100 * (1 - Math.pow(10, -d))).toFixed(3), log: true, ticks: pct, x0: 0, x1: deepest, width: 560, height: 270, label: 'latency of ' + sort + 's', yTitle: 'latency', xTitle: 'percentile of operations'});
}

// The matrix of regions, once for each phase, and the scale of its colours.
const heat = v => `rgba(var(--heat),${(.05 + .5 * Math.min(1, Math.log10(1 + v) / 4.5)).toFixed(2)})`;
const scale = document.getElementById('scale');
if (scale) [1, 10, 100, 1000, 10000].forEach(v => { html('span', '', scale, ms(v)).style.background = heat(v); });
const names = report.settings.datacenters;
const phases = [['quiet', 'quiet: no load'], ['load', 'under load'], ['fault', 'during faults'], ['after', 'after the last heal']]
  .filter(([k]) => report.pairs.some(p => p.phases[k]));
phases.forEach(([key, title]) => {
  const box = html('div', '', document.getElementById('maps'));
  html('h3', '', box, title);
  const t = html('table', 'heat', box), head = html('tr', '', t);
  html('th', '', head, 'from \\ to');
  names.forEach(n => html('th', '', head, n));
  names.forEach(a => {
    const row = html('tr', '', t);
    html('th', '', row, a);
    names.forEach(b => {
      const p = report.pairs.find(p => p.from === a && p.to === b), ph = p && p.phases[key];
      const td = html('td', ph ? 'pair' : 'none', row, ph ? ms(ph.visible_ms.p50) : a === b ? '·' : 'no probes');
      if (a !== b) td.dataset.pair = a + ' ' + b;
      if (!ph) return;
      html('small', '', td, 'p99 ' + ms(ph.visible_ms.p99));
      if (p.one_way_ms !== null) html('small', '', td, '+' + ms(ph.excess_ms.p50) + ' over link');
      td.style.background = heat(ph.visible_ms.p50);
      td.title = `${ph.probes} probes, max ${ms(ph.visible_ms.max)}` + (p.one_way_ms !== null ? `, link ${ms(p.one_way_ms)} one way` : '');
    });
  });
});
document.getElementById('theme').addEventListener('click', () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === 'dark';
  document.documentElement.dataset.theme = dark ? 'light' : 'dark';
});
document.body.dataset.ready = 'yes';
