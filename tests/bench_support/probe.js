'use strict';
// Looks at the page from within; the test reads what it leaves in #probe.
(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const found = {};
  found.width = innerWidth;
  found.overflow = document.documentElement.scrollWidth > innerWidth;
  found.tables = all('table').length;
  found.curves = all('#curves path.curve').length;
  found.bars = all('#bars path.bar').length;
  found.whiskers = all('#bars path.whisker').length;
  found.sweepLines = all('#sweeps path.curve').length;
  found.sweepPoints = all('#sweeps path.point').length;
  found.badPaths = all('path').filter((path) => /NaN|Infinity|undefined/.test(path.getAttribute('d') || '')).length;
  found.notes = all('.note').map((note) => note.textContent);
  found.images = all('img').length;
  found.legend = document.getElementById('legend').textContent;
  found.results = document.getElementById('results').textContent;
  found.unnamed = all('figure svg').filter((svg) => !svg.getAttribute('aria-label') || svg.tabIndex !== 0).length;

  // Texts of one plot that lie on each other, or outside of it.
  found.overlaps = [];
  for (const svg of all('figure svg')) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
    texts.forEach(([text, a], i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1) found.overlaps.push([svg.ariaLabel, text, 'outside']);
      for (const [other, b] of texts.slice(i + 1)) {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 3) found.overlaps.push([svg.ariaLabel, text, other]);
      }
    });
  }

  // Figures, and those whose text is not what their value says.
  const units = { ns: 1, 'µs': 1e3, ms: 1e6, s: 1e9 };
  const scales = { '': 1, k: 1e3, M: 1e6, G: 1e9 };
  found.shown = [];
  found.rows = all('tbody tr').map((row) => {
    const figures = {};
    for (const cell of row.querySelectorAll('[data-figure]')) {
      const name = cell.dataset.figure, value = Number(cell.dataset.value);
      figures[name] = value;
      const shown = cell.firstChild.textContent.trim();
      let read;
      if (/^(p|max)/.test(name)) {
        const [, digits, unit] = shown.match(/^([\d.]+)(\D+)$/);
        read = Number(digits) * units[unit];
      } else if (name === 'rate') {
        const [, digits, scale] = shown.match(/^([\d.]+)(\D?)\/s$/);
        read = Number(digits) * scales[scale];
      } else if (name === 'ratio') {
        read = Number(shown);
      } else continue;
      if (Math.abs(read - value) > value * 0.006 + (name === 'ratio' ? 0.00006 : 0)) found.shown.push([name, shown, value]);
    }
    return { target: row.querySelector('th').textContent, figures };
  });

  // By pointer over each kind of plot, and by keys.
  const tip = document.getElementById('tip');
  found.tips = {};
  for (const id of ['bars', 'sweeps', 'curves']) {
    const svg = document.querySelector(`#${id} figure svg`);
    if (!svg) continue;
    const box = svg.getBoundingClientRect();
    const at = { clientX: box.left + box.width / 2, clientY: box.top + 60 };
    svg.dispatchEvent(new PointerEvent('pointermove', at));
    found.tips[id] = tip.hidden ? '' : tip.textContent;
    svg.dispatchEvent(new PointerEvent('pointerleave'));
  }
  const svg = document.querySelector('#curves figure svg');
  if (svg) {
    svg.focus();
    for (const key of ['End', 'ArrowLeft']) svg.dispatchEvent(new KeyboardEvent('keydown', { key, cancelable: true }));
    found.tips.keys = tip.hidden ? '' : svg.getAttribute('aria-valuetext');
    svg.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
  }
  found.tipGone = tip.hidden;

  // Contrasts, as WCAG 2 defines them.
  const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const look = () => {
    const card = document.querySelector('.card, .block');
    const back = card ? getComputedStyle(card).backgroundColor : '';
    const texts = all('h3, td, .card text, .note, .about, dt').map((text) => {
      const own = getComputedStyle(text);
      const behind = text.matches('.note') ? own.backgroundColor : text.matches('.about, dt') ? getComputedStyle(document.body).backgroundColor : back;
      return contrast(text.namespaceURI.endsWith('svg') ? own.fill : own.color, behind);
    });
    const drawn = [...Array(8).keys()].map((i) => {
      const sample = document.createElement('i');
      sample.style.color = `var(--c${i})`;
      document.body.append(sample);
      const colour = getComputedStyle(sample).color;
      sample.remove();
      return contrast(colour, back);
    });
    return { brightness: luminance(getComputedStyle(document.body).backgroundColor), text: Math.min(...texts), drawn: Math.min(...drawn) };
  };
  if (document.querySelector('.card')) {
    found.schemes = [look()];
    document.getElementById('scheme').click();
    found.schemes.push(look());
    document.getElementById('scheme').click();
  }

  // A frame's document is not printed; that around it is.
  const outer = parent.document;
  const out = outer.createElement('pre');
  out.id = 'probe';
  out.hidden = true;
  out.textContent = JSON.stringify(found);
  outer.body.append(out);
})();
