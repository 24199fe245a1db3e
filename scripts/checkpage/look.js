(() => {
  const all = (q, root = document) => [...root.querySelectorAll(q)];
  const report = JSON.parse(document.getElementById('report').textContent);
  const cut = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  const overlaps = [];
  for (const g of all('.chart > svg')) {
    const texts = all('text', g).map(e => [e.textContent, e.getBoundingClientRect()]), box = g.getBoundingClientRect();
    texts.forEach(([name, r], i) => {
      if (r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1) overlaps.push(name + ' leaves its chart');
      texts.slice(i + 1).forEach(([other, s]) => { if (cut(r, s)) overlaps.push(name + ' and ' + other); });
    });
  }
  const behind = document.getElementById('behind');
  return {
    ready: document.body.dataset.ready === 'yes',
    title: document.title,
    headings: all('h2').map(e => e.textContent),
    charts: all('.chart > svg').map(g => ({
      label: g.getAttribute('aria-label'),
      lines: all('path.serie', g).map(p => ({name: p.dataset.name, drawn: p.getTotalLength() > 10 && !/NaN|Infinity/.test(p.getAttribute('d'))})),
      titles: all('text.title', g).map(e => e.textContent).filter(t => t),
      legend: all('.legend span', g.parentElement.parentElement).map(e => e.textContent),
      marks: all('line.mark', g).map(e => e.dataset.what),
    })),
    caughtUp: behind ? all('rect.catchup', behind).length : 0,
    heat: all('.heat').map(t => all('td[data-pair]', t).filter(c => /\d/.test(c.textContent) && c.style.background).map(c => c.dataset.pair)),
    wantLines: {behind: report.pairs.length, sites: report.settings.datacenters.length},
    wantMarks: report.faults.map(f => f.what),
    wantCaughtUp: report.faults.filter(f => f.heal && f.caught_up_ms >= 1).length,
    wantPairs: report.pairs.map(p => p.from + ' ' + p.to),
    overlaps,
    tooWide: document.documentElement.scrollWidth - innerWidth,
    loaded: performance.getEntriesByType('resource').map(e => e.name),
    background: getComputedStyle(document.body).backgroundColor,
    ink: getComputedStyle(document.body).color,
  };
})()
