'use strict';
// Draws the plots from what the page carries. Everything that came from users goes through textContent or setAttribute,
// never through markup.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const results = read('results');
const blocks = read('blocks');
const names = results.targets.map((target) => target.name);

// ---- words and figures: as the terminal's table has them ----

function scaled(value, units) {
  const [unit, name] = units.find(([unit]) => Math.abs(value) >= unit * 0.9995) || units[units.length - 1];
  const shown = value / unit, size = Math.abs(shown);
  if (unit === 1 && Number.isInteger(value)) return value + name;
  return shown.toFixed(size < 0.9995 ? 3 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0) + name;
}
const time = (ns) => scaled(ns, [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']]);
const number = (n) => scaled(n, [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k'], [1, '']]);
// 10.0µs is 10µs where it was not measured but chosen.
const round = (text) => text.replace(/\.0+(?=\D|$)|(\.\d*?)0+(?=\D|$)/, '$1');
const ratio = (r) => r.toFixed(r < 0.01 ? 5 : r < 0.1 ? 4 : r < 1 ? 3 : r < 10 ? 2 : r < 100 ? 1 : 0);
// 0.001 is p99.9: no more digits than tell it from its neighbours.
const percentile = (above) => {
  const digits = Math.max(0, Math.ceil(-Math.log10(above)) - 1);
  return 'p' + Number((100 * (1 - above)).toFixed(Math.min(digits, 9)));
};

// ---- elements ----

const SVG = 'http://www.w3.org/2000/svg';
function add(parent, name, attributes = {}, text) {
  const inSvg = name === 'svg' || parent.namespaceURI === SVG;
  const element = inSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  if (text !== undefined) element.textContent = text;
  parent.appendChild(element);
  return element;
}
// What does not fit ends in an ellipsis; the whole is in the title.
function fit(text, width) {
  const whole = text.textContent;
  for (let length = whole.length - 1; length > 0 && text.getComputedTextLength() > width; length--) {
    text.textContent = whole.slice(0, length).trimEnd() + '…';
  }
  if (text.textContent !== whole) add(text, 'title', {}, whole);
}

// Targets differ by colour, dashes and the shape of their points.
const DASHES = ['none', 'none', '7 3', '2 3', '9 3 2 3', '4 2', '12 4', '1 2'];
const style = (name) => {
  const index = Math.max(0, names.indexOf(name));
  return { colour: `var(--c${index % 8})`, dash: DASHES[index % 8], shape: index % 4 };
};
function point(parent, name, x, y, size = 4) {
  const { colour, shape } = style(name);
  const s = size, path = [
    `M${x - s} ${y}a${s} ${s} 0 1 0 ${2 * s} 0a${s} ${s} 0 1 0 ${-2 * s} 0`,
    `M${x - s} ${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    `M${x} ${y - 1.3 * s}l${1.3 * s} ${2.3 * s}h${-2.6 * s}z`,
    `M${x} ${y - 1.4 * s}l${1.4 * s} ${1.4 * s}l${-1.4 * s} ${1.4 * s}l${-1.4 * s} ${-1.4 * s}z`,
  ][shape];
  return add(parent, 'path', { d: path, class: 'point', style: `fill:${colour}` });
}
function legend() {
  const list = document.getElementById('legend');
  for (const name of names) {
    const item = add(list, 'span');
    const svg = add(item, 'svg', { width: 30, height: 12, 'aria-hidden': 'true' });
    const { colour, dash } = style(name);
    add(svg, 'path', { d: 'M0 6H30', style: `stroke:${colour};stroke-dasharray:${dash};stroke-width:2` });
    point(svg, name, 15, 6);
    add(item, 'span', {}, name === results.base ? `${name} (base)` : name);
  }
}

// ---- axes ----

// A logarithmic scale over all of `values`, with a little room at both ends.
function logarithmic(values, from, to, room = 0.04) {
  let low = Math.log10(Math.min(...values)), high = Math.log10(Math.max(...values));
  if (high - low < 0.3) [low, high] = [low - 0.15, high + 0.15];
  const margin = (high - low) * room;
  [low, high] = [low - margin, high + margin];
  const scale = (value) => from + (Math.log10(value) - low) / (high - low) * (to - from);
  // The finest of 1-2-5 and decades whose labels have room.
  const pixels = Math.abs(to - from) / (high - low);
  scale.ticks = (gap) => {
    const steps = pixels * 0.3 > gap ? [1, 2, 5] : [1];
    const skip = Math.max(1, Math.ceil(gap / pixels));
    const ticks = [];
    for (let decade = Math.floor(low); decade <= high; decade++) {
      if (steps.length === 1 && decade % skip !== 0) continue;
      for (const step of steps) {
        const value = step * 10 ** decade;
        if (Math.log10(value) >= low && Math.log10(value) <= high) ticks.push(value);
      }
    }
    return ticks;
  };
  return scale;
}
const path = (points) => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

// ---- reading values: pointer, touch and arrow keys ----

const tip = document.getElementById('tip');
function showTip(title, rows, x, y) {
  tip.replaceChildren();
  add(tip, 'b', {}, title);
  for (const [name, text] of rows) {
    const row = add(tip, 'div');
    add(row, 'i', { style: `background:${style(name).colour}` });
    add(row, 'span', {}, name);
    add(row, 'span', { style: 'text-align:right' }, text);
  }
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 16 + box.width > innerWidth ? x - 16 - box.width : x + 16;
  tip.style.left = Math.max(4, Math.min(left, innerWidth - box.width - 4)) + 'px';
  tip.style.top = Math.max(4, Math.min(y + 16, innerHeight - box.height - 4)) + 'px';
}
// `stops` are {x, y, title, rows}: the pointer chooses the nearest, arrow keys the next.
function explore(svg, stops, nearest, mark) {
  if (!stops.length) return;
  let at = -1;
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('role', 'slider');
  svg.setAttribute('aria-valuemin', '1');
  svg.setAttribute('aria-valuemax', String(stops.length));
  svg.setAttribute('aria-valuenow', '1');
  const say = (stop) => `${stop.title}: ${stop.rows.map((row) => row.join(' ')).join(', ')}`;
  svg.setAttribute('aria-valuetext', say(stops[0]));
  const show = (index, x, y) => {
    at = index;
    const stop = stops[at], box = svg.getBoundingClientRect();
    svg.setAttribute('aria-valuenow', String(at + 1));
    svg.setAttribute('aria-valuetext', say(stop));
    mark(stop);
    showTip(stop.title, stop.rows, x ?? box.left + stop.x, y ?? box.top + stop.y);
  };
  const hide = () => { tip.hidden = true; mark(null); };
  svg.onpointermove = svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    show(nearest(event.clientX - box.left, event.clientY - box.top), event.clientX, event.clientY);
  };
  svg.onpointerleave = svg.onblur = hide;
  svg.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === 'Escape') return hide();
    if (event.key === 'Home') show(0);
    else if (event.key === 'End') show(stops.length - 1);
    else if (step) show(Math.max(0, Math.min(stops.length - 1, at + step)));
    else return;
    event.preventDefault();
  };
}
function closest(stops, distance) {
  let best = 0;
  stops.forEach((stop, index) => { if (distance(stop) < distance(stops[best])) best = index; });
  return best;
}

// A card that is drawn anew when its width changes.
function card(parent, title, small, draw) {
  const figure = add(parent, 'figure', { class: 'card' });
  const heading = add(figure, 'h3', {}, title);
  if (small) add(heading, 'small', {}, small);
  const svg = add(figure, 'svg', { 'aria-label': small ? `${title}, ${small}` : title });
  let drawn = 0;
  const redraw = () => {
    const width = Math.floor(svg.getBoundingClientRect().width);
    if (!width || width === drawn) return;
    drawn = width;
    svg.replaceChildren();
    const height = draw(svg, width);
    svg.setAttribute('height', height);
    // Paper has another width, on which nothing is drawn anew.
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  };
  redraw();
  // In a frame of its own: a new height would be one more change to the observer.
  new ResizeObserver(() => requestAnimationFrame(redraw)).observe(figure);
}
function reveal(id) {
  const section = document.getElementById(id);
  section.hidden = false;
  return section;
}
function frame(svg, x, y, formatX, formatY, box) {
  for (const value of y.ticks(26)) {
    add(svg, 'path', { d: `M${box.left} ${y(value)}H${box.right}`, class: 'grid' });
    add(svg, 'text', { x: box.left - 7, y: y(value) + 4, 'text-anchor': 'end' }, round(formatY(value)));
  }
  for (const value of x.ticks(48)) {
    add(svg, 'path', { d: `M${x(value)} ${box.top}V${box.bottom}`, class: 'grid' });
    const label = add(svg, 'text', { x: x(value), y: box.bottom + 17, 'text-anchor': 'middle' }, round(formatX(value)));
    label.setAttribute('x', Math.min(x(value), box.right + 13 - label.getComputedTextLength() / 2));
  }
  add(svg, 'path', { d: `M${box.left} ${box.bottom}H${box.right}`, class: 'axis' });
}
const boxOf = (width) => ({ left: 54, right: width - 14, top: 8, bottom: 210, height: 234 });

// ---- bars: each target against the base ----

function bars(parent, title, better, measure) {
  const groups = blocks.filter((block) => block.measure === measure)
    .map((block) => ({ block, rows: block.rows.filter((row) => row.ratio !== null) }))
    .filter((group) => group.rows.length);
  if (!groups.length) return;
  card(parent, title, better, (svg, width) => {
    const narrow = width < 560, bar = 18;
    const labels = narrow ? 0 : Math.min(260, width * 0.3), values = narrow ? 120 : 170;
    const ends = groups.flatMap(({ rows }) => rows.flatMap((row) =>
      row.interval ? [row.ratio, row.interval.low, row.interval.high] : [row.ratio]));
    const x = logarithmic([1, ...ends], labels + 8, width - values - 12);
    const stops = [];
    let y = 26;
    const top = y;
    const grid = add(svg, 'g');
    for (const { block, rows } of groups) {
      const label = add(svg, 'g');
      const name = add(label, 'text', { x: 0, y: y + 13, class: 'name' }, block.workload);
      if (narrow) {
        fit(name, width * 0.55);
        const how = add(label, 'text', { x: name.getComputedTextLength() + 8, y: y + 13 }, block.how);
        fit(how, width - name.getComputedTextLength() - 8);
        y += 20;
      } else {
        fit(name, labels - 8);
        fit(add(label, 'text', { x: 0, y: y + 28 }, block.how), labels - 8);
      }
      const first = y;
      for (const row of rows) {
        const middle = y + bar / 2, low = Math.min(x(1), x(row.ratio)), high = Math.max(x(1), x(row.ratio));
        add(svg, 'path', {
          d: `M${low} ${y + 2}H${Math.max(high, low + 1)}V${y + bar - 2}H${low}Z`, class: 'bar', style: `fill:${style(row.target).colour}`,
        });
        if (row.interval) {
          const [a, b] = [x(row.interval.low), x(row.interval.high)];
          add(svg, 'path', { d: `M${a} ${middle}H${b}M${a} ${middle - 4}V${middle + 4}M${b} ${middle - 4}V${middle + 4}`, class: 'whisker' });
        }
        add(svg, 'text', { x: width, y: middle + 4, class: 'value', 'text-anchor': 'end' }, ratio(row.ratio));
        fit(add(svg, 'text', { x: width - values, y: middle + 4 }, row.target), values - 48);
        const range = row.interval ? ` (${ratio(row.interval.low)}–${ratio(row.interval.high)})` : '';
        stops.push({ x: x(row.ratio), y: middle, title: `${block.workload}, ${block.how}`, rows: [[row.target, ratio(row.ratio) + range]] });
        y += bar + 2;
      }
      y = Math.max(y, narrow ? 0 : first + 36) + 10;
    }
    for (const value of x.ticks(44)) {
      add(grid, 'path', { d: `M${x(value)} ${top - 6}V${y - 6}`, class: 'grid' });
      add(grid, 'text', { x: x(value), y: 12, 'text-anchor': 'middle' }, String(Number(value.toPrecision(2))));
    }
    add(svg, 'path', { d: `M${x(1)} ${top - 6}V${y - 6}`, class: 'one' });
    explore(svg, stops, (_, at) => closest(stops, (stop) => Math.abs(stop.y - at)), () => {});
    return y;
  });
}

// ---- percentile curves ----

function curves(parent) {
  for (const block of blocks) {
    const rows = block.rows.filter((row) => row.curve.length);
    if (!rows.length) continue;
    card(parent, block.workload, block.how, (svg, width) => {
      const box = boxOf(width);
      const least = Math.min(...rows.map((row) => row.curve[row.curve.length - 1][0]), 0.05);
      const x = logarithmic([1, 1 / least], box.left, box.right, 0);
      const values = rows.flatMap((row) => row.curve.map(([, ns]) => ns));
      const y = logarithmic(values, box.bottom, box.top);
      // Ticks are 1/above: 1 is the fastest, 10 is p90.
      const ticks = x.ticks;
      x.ticks = (gap) => [...new Set([1, ...ticks(gap).filter((t) => Number.isInteger(Math.log10(t)))])];
      frame(svg, x, y, (t) => (t === 1 ? 'p0' : percentile(1 / t)), time, box);
      for (const row of rows) {
        const { colour, dash } = style(row.target);
        const points = [[1, row.curve[0][1]], ...row.curve].map(([above, ns]) => [x(1 / above), y(ns)]);
        add(svg, 'path', { d: path(points), class: 'curve', style: `stroke:${colour};stroke-dasharray:${dash}` });
      }
      const cross = add(svg, 'path', { class: 'cross' });
      const stops = [];
      const last = Math.log10(1 / least);
      for (let step = 0; step <= 60; step++) {
        const above = 10 ** (-last * step / 60);
        const values = rows.map((row) => [row.target, (row.curve.find(([rest]) => rest <= above) || row.curve.at(-1))[1]]);
        stops.push({
          x: x(1 / above), y: box.top + 20, title: step ? percentile(above) : 'fastest',
          rows: values.map(([name, ns]) => [name, time(ns)]),
        });
      }
      explore(svg, stops, (at) => closest(stops, (stop) => Math.abs(stop.x - at)),
        (stop) => cross.setAttribute('d', stop ? `M${stop.x} ${box.top}V${box.bottom}` : ''));
      return box.height;
    });
  }
}

// ---- rate against latency ----

function sweeps() {
  const groups = new Map();
  for (const block of blocks) {
    if (block.load.kind === 'job') continue;
    const key = JSON.stringify([block.workload, block.load.kind]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(block);
  }
  const words = { closed: 'closed loop, more and more clients', open: 'open loop, more and more a second', depth: 'io_uring, more and more in flight' };
  const asked = ({ load }) => load.rate ?? load.clients ?? load.depth;
  for (const group of groups.values()) {
    const lines = names.map((name) => ({
      name,
      points: group.slice().sort((a, b) => asked(a) - asked(b)).flatMap((block) =>
        block.rows.filter((row) => row.target === name && row.rate !== null && row.p99 !== null).map((row) => ({ block, row }))),
    })).filter((line) => line.points.length > 1);
    if (!lines.length) continue;
    const plots = reveal('sweeps').querySelector('.plots');
    card(plots, group[0].workload, words[group[0].load.kind], (svg, width) => {
      const box = boxOf(width);
      const all = lines.flatMap((line) => line.points.map((p) => p.row));
      const x = logarithmic(all.map((row) => row.rate), box.left, box.right);
      const y = logarithmic(all.flatMap((row) => [row.p50, row.p99]), box.bottom, box.top);
      frame(svg, x, y, (rate) => number(rate) + '/s', time, box);
      const stops = [];
      for (const { name, points } of lines) {
        const { colour, dash } = style(name);
        const draw = (figure, kind) => add(svg, 'path', {
          d: path(points.map(({ row }) => [x(row.rate), y(row[figure])])), class: kind, style: `stroke:${colour};stroke-dasharray:${dash}`,
        });
        draw('p50', 'curve faint');
        draw('p99', 'curve');
        for (const { block, row } of points) {
          point(svg, name, x(row.rate), y(row.p99));
          stops.push({
            x: x(row.rate), y: y(row.p99), title: block.how,
            rows: [[name, `${number(row.rate)}/s`], [name, `p50 ${time(row.p50)}`], [name, `p99 ${time(row.p99)}`]],
          });
        }
      }
      const ring = add(svg, 'circle', { r: 9, class: 'one', fill: 'none', visibility: 'hidden' });
      explore(svg, stops, (px, py) => closest(stops, (stop) => Math.hypot(stop.x - px, stop.y - py)), (stop) => {
        ring.setAttribute('visibility', stop ? 'visible' : 'hidden');
        if (stop) { ring.setAttribute('cx', stop.x); ring.setAttribute('cy', stop.y); }
      });
      return box.height;
    });
  }
}

// ---- the page ----

function scheme() {
  const button = document.getElementById('scheme'), root = document.documentElement;
  const prefersDark = matchMedia('(prefers-color-scheme: dark)');
  const dark = () => (root.dataset.scheme ? root.dataset.scheme === 'dark' : prefersDark.matches);
  const name = () => { button.textContent = dark() ? 'Light' : 'Dark'; };
  button.onclick = () => { root.dataset.scheme = dark() ? 'light' : 'dark'; name(); };
  prefersDark.onchange = name;
  button.setAttribute('aria-label', 'Change between dark and light');
  button.hidden = false;
  name();
}
function save() {
  const link = document.getElementById('save');
  const text = document.getElementById('results').textContent;
  link.href = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  link.hidden = false;
}
legend();
scheme();
save();
if (blocks.some((block) => block.rows.some((row) => row.ratio !== null))) {
  const plots = reveal('bars').querySelector('.plots');
  plots.classList.add('wide');
  bars(plots, 'Rate', `as part of ${results.base}'s: the shorter the bar, the nearer to it; to the right is better`, 'rate');
  bars(plots, 'Median latency at the same rate', `as multiple of ${results.base}'s: the shorter the bar, the nearer to it; to the left is better`, 'latency');
}
sweeps();
if (blocks.some((block) => block.rows.some((row) => row.curve.length))) curves(reveal('curves').querySelector('.plots'));
