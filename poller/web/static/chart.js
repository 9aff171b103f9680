// The chart of an Org page: lines, minimum to maximum, gaps, seats, forecast and events, from figure[data-chart].
import { span } from "./times.js";

const DAY = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");
const whole = (value) => Math.round(value).toLocaleString("en-GB");

// A canvas knows no custom properties, and their text may be light-dark(…): read the colour off a hidden element.
function colors(figure) {
  const probe = document.createElement("span");
  probe.hidden = true;
  figure.append(probe);
  const read = (name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const found = { ink: read("ink"), soft: read("soft"), grid: read("chart-grid"), surface: read("surface") };
  found.lines = [1, 2, 3, 4, 5].map((place) => read(`chart-${place}`));
  probe.remove();
  return found;
}

const faint = (color, alpha) => color.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

// Whole days are days of UTC; shorter steps are shown in the reader's zone.
function dates(step) {
  const utc = step >= DAY;
  return (at) => {
    const date = new Date(at * 1000);
    return utc
      ? { y: date.getUTCFullYear(), m: date.getUTCMonth(), d: date.getUTCDate(), h: date.getUTCHours(), min: date.getUTCMinutes() }
      : { y: date.getFullYear(), m: date.getMonth(), d: date.getDate(), h: date.getHours(), min: date.getMinutes() };
  };
}

// One x for everything: the steps, the days of the forecast, and the moments at which the number of seats changes.
function columns(data) {
  const xs = [...new Set([...data.t, ...data.fan.map((day) => day[0]), ...data.seats.map((change) => change[0])])].sort((a, b) => a - b);
  const place = new Map(xs.map((x, n) => [x, n]));
  // undefined is "no point here", null is a gap.
  const spread = (times, values) => {
    const column = new Array(xs.length);
    times.forEach((at, n) => { column[place.get(at)] = values[n]; });
    return column;
  };
  const fanTimes = data.fan.map((day) => day[0]);
  let seats = null, next = 0;
  const stairs = xs.map((x) => {
    while (next < data.seats.length && data.seats[next][0] <= x) seats = data.seats[next++][1];
    return seats;
  });
  return { xs, spread, fan: (n) => spread(fanTimes, data.fan.map((day) => day[n])), stairs };
}

// Readings between two gaps: a line has no length there, so they are always drawn as dots.
function alone(values) {
  const known = values.map((value, n) => [value, n]).filter(([value]) => value !== undefined);
  return known.filter(([value], n) => value !== null && (known[n - 1]?.[0] ?? null) === null && (known[n + 1]?.[0] ?? null) === null).map(([, n]) => n);
}

// At least a tenth of the level high, so that noise looks like noise.
function scaleOf(_, low, high) {
  if (low === null) return [0, 10];
  const least = Math.max(0.1 * Math.max(Math.abs(low), Math.abs(high)), 2);
  const middle = (low + high) / 2, half = Math.max((high - low) * 1.08, least) / 2;
  return [low >= 0 ? Math.max(middle - half, 0) : middle - half, middle + half];
}

function series(data, paint) {
  const { xs, spread, fan, stairs } = columns(data);
  const values = [xs], described = [{}], bands = [];
  const hidden = { stroke: "transparent", width: 0, points: { show: false } };
  const add = (column, options) => values.push(column) && described.push(options) && described.length - 1;
  if (data.fan.length) {
    for (const [low, high, alpha] of [[4, 5, 0.1], [2, 3, 0.16]]) {
      bands.push({ series: [add(fan(high), hidden), add(fan(low), hidden)], fill: faint(paint.lines[0], alpha) });
    }
    add(fan(1), { label: "forecast", stroke: paint.lines[0], width: 1.25, dash: [4, 4], points: { show: false } });
  }
  data.lines.forEach((line, n) => {
    const color = paint.lines[n % 5], last = spread(data.t, line.last), lone = alone(last);
    if (line.min) bands.push({ series: [add(spread(data.t, line.max), hidden), add(spread(data.t, line.min), hidden)], fill: faint(color, 0.16) });
    add(last, {
      label: line.type, stroke: color, width: 1.75, dash: n >= 5 ? [6, 4] : undefined,
      points: { show: true, size: 6, fill: color, stroke: color, filter: () => lone },
    });
  });
  if (data.seats.length) add(stairs, { label: "seats", stroke: paint.soft, width: 1.25, dash: [2, 4], points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) });
  return { values, described, bands };
}

function background(data, paint) {
  return (u) => {
    const { ctx, bbox } = u, ratio = devicePixelRatio;
    const x = (at) => Math.min(Math.max(u.valToPos(at, "x", true), bbox.left), bbox.left + bbox.width);
    ctx.save();
    ctx.fillStyle = faint(paint.soft, 0.14);
    for (const [begin, end] of data.gaps) {
      const left = x(begin), width = x(end) - left;
      if (width > 0) ctx.fillRect(left, bbox.top, Math.max(width, ratio), bbox.height);
    }
    ctx.strokeStyle = ctx.fillStyle = paint.soft;
    ctx.lineWidth = ratio;
    if (data.now > data.begin && data.now < data.end) {
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(x(data.now), bbox.top);
      ctx.lineTo(x(data.now), bbox.top + bbox.height);
      ctx.stroke();
    }
    // A triangle at the foot marks an event.
    for (const [at] of data.events) {
      const foot = bbox.top + bbox.height, middle = x(at), size = 5 * ratio;
      ctx.beginPath();
      ctx.moveTo(middle, foot - 1.6 * size);
      ctx.lineTo(middle - size, foot);
      ctx.lineTo(middle + size, foot);
      ctx.fill();
    }
    ctx.restore();
  };
}

function moment(data, at) {
  const { y, m, d, h, min } = dates(data.step)(at);
  return `${d} ${MONTHS[m]} ${y}` + (data.step < DAY ? ` ${two(h)}:${two(min)}` : "");
}

function words(data, at) {
  const near = data.events.filter(([time]) => time >= at && time < at + data.step).map(([, , text]) => text);
  const day = data.fan.find((one) => one[0] === at);
  if (day && at > data.now) return [`forecast ${whole(day[1])}, 80 %: ${whole(day[2])}–${whole(day[3])}, 95 %: ${whole(day[4])}–${whole(day[5])}`];
  const n = data.t.indexOf(at);
  if (n < 0) return near;
  const gap = data.gaps.find(([begin, end]) => begin < at + data.step && end > at);
  const numbers = data.lines.map((line) => {
    if (line.last[n] === null) return [line.type, `unknown: ${gap ? `${gap[2]} for ${span(gap[1] - gap[0])}` : "no poll"}`];
    const range = line.min && line.min[n] !== line.max[n] ? ` (${whole(line.min[n])}–${whole(line.max[n])})` : "";
    return [line.type, whole(line.last[n]) + range];
  });
  return [...numbers, ...near];
}

function show(output, data, at) {
  output.replaceChildren();
  if (at === undefined) {
    output.textContent = matchMedia("(pointer: coarse)").matches ? "Two fingers zoom. A tap shows a value." : "Drag to zoom. Arrow keys show a value.";
    return;
  }
  const strong = document.createElement("b");
  strong.textContent = moment(data, at);
  output.append(strong);
  for (const part of words(data, at)) output.append(` · ${Array.isArray(part) ? part.join(" ") : part}`);
}

function axes(data, paint) {
  const parts = dates(data.step);
  const common = { stroke: paint.soft, font: `12px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false } };
  const label = (at, n, all, increment) => {
    const { y, m, d, h, min } = parts(at);
    if (increment < DAY && (h || min)) return `${two(h)}:${two(min)}`;
    const before = n ? parts(all[n - 1]) : null;
    return `${d} ${MONTHS[m]}` + ((before ? before.y : parts(data.now).y) !== y ? ` ${y}` : "");
  };
  return [
    { ...common, grid: { show: false }, size: 28, space: 70, values: (_, all, __, ___, increment) => all.map((at, n) => label(at, n, all, increment)) },
    { ...common, grid: { stroke: paint.grid, width: 1 }, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 1e6], values: (_, all) => all.map(whole) },
  ];
}

function moveByKeys(figure, u, data, { onZoom, onZoomOut }) {
  figure.addEventListener("keydown", (event) => {
    if (event.target !== figure || event.ctrlKey || event.metaKey || event.altKey) return;
    const xs = u.data[0], last = xs.length - 1, here = u.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
    const by = event.shiftKey ? 10 : 1;
    const places = { ArrowLeft: here - by, ArrowRight: here + by, Home: 0, End: last };
    if (event.key in places) {
      const n = Math.min(Math.max(places[event.key], 0), last);
      u.setCursor({ left: u.valToPos(xs[n], "x"), top: u.over.clientHeight / 2 });
    } else if (event.key === "+") {
      const middle = xs[Math.min(Math.max(here, 0), last)] ?? data.end, half = (data.end - data.begin) / 4;
      onZoom(Math.max(middle - half, data.begin), Math.min(middle + half, data.now));
    } else if (event.key === "-" || event.key === "Escape") onZoomOut();
    else return;
    event.preventDefault();
  });
}

// One finger moves the cursor, two fingers zoom. Vertical moves scroll the page (touch-action: pan-y).
function moveByTouch(u, data, { onZoom }) {
  const fingers = new Map();
  let from = null;
  const left = (event) => event.clientX - u.over.getBoundingClientRect().left;
  u.over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, left(event));
    from = fingers.size === 2 ? [...fingers.values()].sort((a, b) => a - b).map((at) => u.posToVal(at, "x")) : null;
  });
  u.over.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, left(event));
    if (!from) return u.setCursor({ left: left(event), top: 10 });
    const [a, b] = [...fingers.values()].sort((one, other) => one - other);
    const perPixel = (from[1] - from[0]) / Math.max(b - a, 1);
    u.setScale("x", { min: from[0] - a * perPixel, max: from[1] + (u.over.clientWidth - b) * perPixel });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    u.over.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (!from || fingers.size) return;
      from = null;
      onZoom(Math.max(u.scales.x.min, 0), Math.min(u.scales.x.max, data.now));
    });
  }
}

// Draws the chart into the figure. `onZoom(from, to)` and `onZoomOut()` change the range. Returns how to remove it.
export function drawChart(figure, actions) {
  const data = JSON.parse(figure.dataset.chart);
  if (!data.lines.some((line) => line.last.some((value) => value !== null))) return () => {};
  const output = document.createElement("output");
  output.className = "readout";
  figure.prepend(output);
  figure.classList.add("live");
  figure.tabIndex = 0;
  figure.setAttribute("role", "group");
  figure.setAttribute("aria-label", `Chart of ${data.lines.map((line) => line.type).join(", ")}. Arrow keys move the cursor, plus zooms in, Escape zooms out.`);
  show(output, data);
  let chart = null;
  const build = () => {
    chart?.destroy();
    const paint = colors(figure), { values, described, bands } = series(data, paint);
    const size = () => ({ width: figure.clientWidth, height: figure.clientWidth < 500 ? 240 : 330 });
    chart = new uPlot({
      ...size(), padding: [8, 24, 0, 0], series: described, bands, axes: axes(data, paint), legend: { show: false },
      tzDate: (at) => (data.step >= DAY ? uPlot.tzDate(new Date(at * 1e3), "UTC") : new Date(at * 1e3)),
      scales: { x: { time: true, range: (_, low, high) => [low ?? data.begin, high ?? data.end] }, y: { range: scaleOf } },
      cursor: {
        y: false, drag: { x: true, y: false, setScale: false },
        points: { size: 7, stroke: paint.surface, width: 2, show: (u, n) => (described[n].label && described[n].label !== "seats" ? pointOf(described[n].stroke) : false) },
        bind: { dblclick: () => () => { actions.onZoomOut(); return null; } },
      },
      hooks: {
        drawClear: [background(data, paint)],
        setCursor: [(u) => show(output, data, u.cursor.idx === null || u.cursor.idx === undefined ? undefined : u.data[0][u.cursor.idx])],
        setSelect: [(u) => {
          const { left, width } = u.select;
          if (width > 8) actions.onZoom(u.posToVal(left, "x"), Math.min(u.posToVal(left + width, "x"), data.now));
          if (width) u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    }, values, figure);
    chart.setScale("x", { min: data.begin, max: data.end });
    moveByTouch(chart, data, actions);
    resized.observe(figure);
  };
  const pointOf = (color) => {
    const dot = document.createElement("div");
    dot.className = "u-cursor-pt";
    dot.style.background = color;
    return dot;
  };
  const resized = new ResizeObserver(() => {
    if (chart && figure.clientWidth !== chart.width) chart.setSize({ width: figure.clientWidth, height: chart.height });
  });
  build();
  moveByKeys(figure, { get data() { return chart.data; }, get cursor() { return chart.cursor; }, get over() { return chart.over; }, valToPos: (...at) => chart.valToPos(...at), setCursor: (at) => chart.setCursor(at) }, data, actions);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.addEventListener("theme", build);
  dark.addEventListener("change", build);
  return () => {
    document.removeEventListener("theme", build);
    dark.removeEventListener("change", build);
    resized.disconnect();
    chart.destroy();
  };
}
