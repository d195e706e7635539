// The figures of a page at a step of training: their cursors, the points that ride on their curves, and what a
// figure has a frame of. Nothing here touches a figure's data: plotly draws over it whenever it draws anew.

const SVG = "http://www.w3.org/2000/svg";
const NUMBERS = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array,
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
const decoded = new WeakMap();  // numbers of frames, which come as base64
const framed = new WeakMap();   // frames of a figure by their step
const flags = new WeakMap();    // the size that plotly gave a cursor's flag
const drawn = new WeakMap();    // the path that was drawn for a frame
const riders = new WeakMap();   // the points that ride on a figure's curves

const words = (step) => `step ${step.toLocaleString("en-US")}`;
const position = (step, scale) => (scale === "log" ? Math.log10(1 + step) : step);
const axisOf = (layout, id) => layout[id[0] + "axis" + id.slice(1)];
const put = (node, name, value) => { if (node.getAttribute(name) !== value) node.setAttribute(name, value); };
const figures = () => [...document.querySelectorAll('[data-testid="stMain"] .js-plotly-plot')]
  .filter((plot) => plot._fullLayout && plot.calcdata);

// Draw all figures where `at` is: between checkpoints `steps[floor(at)]` and the next, with the values of the nearest.
// A figure that plotly is drawing anew can lack parts for a moment.
function show(steps, at, scale) {
  const before = Math.floor(at), after = Math.min(before + 1, steps.length - 1);
  const low = position(steps[before], scale), high = position(steps[after], scale);
  const place = low + (at - before) * (high - low);
  const step = steps[Math.round(at)];
  for (const plot of figures()) {
    const axes = moveCursors(plot, place, step);
    if (axes.size) ride(plot, axes, place, position(step, scale));
    playFrame(plot, step);
  }
}

function clear() {
  for (const plot of figures()) {
    riders.get(plot)?.remove();
    riders.delete(plot);
  }
}

function moveCursors(plot, place, step) {
  const layout = plot._fullLayout, axes = new Set();
  for (const shape of layout.shapes) {
    if (shape.name !== "cursor") continue;
    const axis = axisOf(layout, shape.xref), x = axis._offset + axis.c2p(place);
    axes.add(shape.xref);
    for (const path of plot.querySelectorAll(`.shapelayer path[data-index="${shape._index}"]`)) {
      const ends = [...path.getAttribute("d").matchAll(/,([-\d.]+)/g)].map((found) => found[1]);
      if (ends.length === 2) put(path, "d", `M${x},${ends[0]}L${x},${ends[1]}`);
    }
  }
  for (const note of layout.annotations) {
    if (note.name !== "cursor") continue;
    const flag = plot.querySelector(`.annotation[data-index="${note._index}"]`);
    if (flag?.querySelector("text")) moveFlag(flag, axisOf(layout, note.xref), note.x, place, words(step));
  }
  return axes;
}

function moveFlag(flag, axis, from, place, text) {
  const label = flag.querySelector("text"), box = flag.querySelector("rect.bg"), x = axis.c2p(place);
  if (!flags.has(flag)) {
    flags.set(flag, { length: label.getComputedTextLength(), width: +box.getAttribute("width"),
      left: +box.getAttribute("x"), text: label.textContent });
  }
  const own = flags.get(flag);
  if (label.textContent !== text) {
    label.textContent = text;
    const more = text === own.text ? 0 : label.getComputedTextLength() - own.length;
    box.setAttribute("width", own.width + more);
    box.setAttribute("x", own.left - more / 2);
  }
  put(flag, "transform", `translate(${x - axis.c2p(from)},0)`);
  flag.style.visibility = x < -1 || x > axis._length + 1 ? "hidden" : "visible";
}

// A point on every curve over the step, and its value where it is not one of many.
function ride(plot, axes, place, measured) {
  const layout = plot._fullLayout, found = [], crowd = {};
  for (const points of plot.calcdata) {
    const { trace } = points[0];
    if (trace.visible !== true || trace.type !== "scatter" || !trace.mode.includes("lines")) continue;
    const next = axes.has(trace.xaxis) ? after(points, place) : 0;
    if (next === 0) continue;
    const [xs, ys] = [axisOf(layout, trace.xaxis), axisOf(layout, trace.yaxis)];
    const [low, high] = [points[next - 1], points[next]], share = (place - low.x) / (high.x - low.x);
    const x = xs.c2p(place), y = ys.c2p(low.y) * (1 - share) + ys.c2p(high.y) * share;
    if (!(x > -1 && x < xs._length + 1 && y > -1 && y < ys._length + 1)) continue;
    const nearest = Math.abs(low.x - measured) <= Math.abs(high.x - measured) ? low.y : high.y;
    const value = trace.hoverinfo === "skip" ? told(plot, trace, measured) : nearest;
    found.push({ trace, xs, ys, x, y, value });
    crowd[trace.yaxis] = (crowd[trace.yaxis] ?? 0) + 1;
  }
  const layer = layerOf(plot);
  while (layer.childElementCount < found.length) layer.append(rider(layout));
  while (layer.childElementCount > found.length) layer.lastChild.remove();
  found.forEach(({ trace, xs, ys, x, y, value }, index) => {
    const node = layer.children[index], [dot, text] = node.children;
    put(node, "transform", `translate(${xs._offset + x},${ys._offset + y})`);
    put(dot, "fill", trace.line.color);
    put(dot, "stroke", layout.paper_bgcolor);
    put(text, "stroke", layout.paper_bgcolor);
    put(text, "fill", layout.font.color);
    const room = crowd[trace.yaxis] <= 2 && Number.isFinite(value);
    text.style.display = room ? "" : "none";
    if (!room) return;
    const beside = found.find((other, place) => other.trace.yaxis === trace.yaxis && place !== index);
    const under = beside && Math.abs(beside.y - y) < 16 && y > beside.y;
    const left = x > 0.85 * xs._length;
    put(text, "x", left ? "-8" : "8");
    put(text, "y", under ? "15" : "-6");
    put(text, "text-anchor", left ? "end" : "start");
    if (text.textContent !== number(value)) text.textContent = number(value);
  });
}

// The value that another trace of a line's panel tells there: the line itself may be cut between checkpoints.
function told(plot, line, place) {
  for (const points of plot.calcdata) {
    const { trace } = points[0];
    if (trace.xaxis !== line.xaxis || trace.yaxis !== line.yaxis || trace.hoverinfo === "skip") continue;
    const found = points.find((point) => Math.abs(point.x - place) < 1e-9 * (1 + place));
    if (found) return found.y;
  }
  return NaN;
}

function layerOf(plot) {
  let layer = riders.get(plot);
  if (!layer?.isConnected) {
    layer = document.createElementNS(SVG, "g");
    layer.style.pointerEvents = "none";
    plot.querySelector(".main-svg .infolayer").parentNode.append(layer);
    riders.set(plot, layer);
  }
  return layer;
}

function rider(layout) {
  const node = document.createElementNS(SVG, "g"), dot = document.createElementNS(SVG, "circle");
  const value = document.createElementNS(SVG, "text");
  dot.setAttribute("r", 4.5);
  dot.setAttribute("stroke-width", 1.5);
  value.setAttribute("style", `font: 600 12px ${layout.font.family}; paint-order: stroke; stroke-width: 3px;
    font-variant-numeric: tabular-nums`);
  node.append(dot, value);
  return node;
}

function number(value) {
  const size = Math.abs(value);
  return size >= 1000 ? Math.round(value).toLocaleString("en-US") : size >= 100 ? value.toFixed(1)
    : size >= 0.001 || size === 0 ? value.toFixed(3) : value.toExponential(1);
}

// Index of the point that ends the piece of a curve over a place; 0 where there is none. Curves can have gaps.
function after(points, place) {
  for (let i = 1; i < points.length; i++) if (points[i - 1].x <= place && place <= points[i].x) return i;
  return 0;
}

function playFrame(plot, step) {
  const list = plot._transitionData?._frames;
  if (!list?.length) return;
  if (framed.get(plot)?.list !== list) {
    framed.set(plot, { list, steps: list.map((frame) => Number(frame.name)) });
  }
  const { steps } = framed.get(plot);
  let best = 0;
  steps.forEach((known, index) => { if (Math.abs(known - step) < Math.abs(steps[best] - step)) best = index; });
  list[best].data.forEach((data, index) => redraw(plot, list[best].traces[index], data, steps[best]));
}

// What plotly would draw of a trace with a frame's values: its line, its points and its name.
function redraw(plot, index, data, step) {
  const trace = plot._fullData[index], points = plot.calcdata[index];
  const node = trace.visible === true && plot.querySelector(`.trace${trace.uid}`);
  const line = node && node.querySelector(".js-line");
  if (!line) return;
  const [xs, ys] = [axisOf(plot._fullLayout, trace.xaxis), axisOf(plot._fullLayout, trace.yaxis)];
  const key = [step, xs.range, ys.range, xs._length, ys._length].join();
  const last = drawn.get(line);
  if (last?.key === key && last.path === line.getAttribute("d")) return;
  const x = numbers(data.x), y = numbers(data.y);
  const places = points.map((point, i) => [xs.c2p(x ? x[i] : point.x), ys.c2p(y ? y[i] : point.y)]);
  const path = places.filter(([a, b]) => Number.isFinite(a) && Number.isFinite(b))
    .map(([a, b], i) => `${i ? "L" : "M"}${a.toFixed(2)},${b.toFixed(2)}`).join("");
  line.setAttribute("d", path);
  drawn.set(line, { key, path });
  node.querySelectorAll(".points path").forEach((mark, i) => {
    if (places[i]) mark.setAttribute("transform", `translate(${places[i]})`);
  });
  for (const label of plot.querySelectorAll(".legendtext")) {
    if (label.dataset.unformatted === trace.name && data.name) label.textContent = data.name;
  }
}

function numbers(values) {
  if (!values || !values.bdata) return values;
  if (!decoded.has(values)) {
    const bytes = Uint8Array.from(atob(values.bdata), (letter) => letter.charCodeAt(0));
    decoded.set(values, new NUMBERS[values.dtype](bytes.buffer));
  }
  return decoded.get(values);
}
