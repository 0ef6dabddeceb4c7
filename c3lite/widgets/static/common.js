// What all explorers share: a panel with labelled controls, charts, and arrays from Python.
//
// A widget's file follows this one in the same module and ends with `export default { render }`.
// Every control works by keyboard, has a name and says its value in words. Nothing here talks to
// a server: the same text runs in a notebook and in an exported page.

const SVG_TAGS = new Set(["svg", "g", "path", "line", "rect", "circle", "text", "title"]);
const FOCUSED_TAGS = new Set(["button", "canvas", "input", "select"]);

function make(tag, attributes = {}, ...children) {
  const node = SVG_TAGS.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  // JupyterLab keeps its shortcuts (d d deletes a cell) from a focused element that has this mark
  if (FOCUSED_TAGS.has(tag)) node.dataset.lmSuppressShortcuts = "true";
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// ---------------------------------------------------------------- the panel and its controls

function panel(el, model, title, help) {
  const alert = make("div", { class: "c3-error", role: "alert", hidden: true });
  const body = make("div", { class: "c3-body" });
  // the second class is the one by which ipywidgets and tools know a widget's view
  const root = make("section", { class: "c3 jupyter-widgets", "aria-label": title },
    make("div", { class: "c3-title" }, title),
    make("div", { class: "c3-help" }, help), body, alert);
  el.replaceChildren(root);

  // an exception in an event handler would vanish in the console
  function fail(error) {
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error ?? "");
    alert.textContent = text;
    alert.hidden = !text;
    if (error instanceof Error) console.error(error);
  }
  const guard = (f) => (...args) => {
    try {
      const result = f(...args);
      return result instanceof Promise ? result.catch(fail) : result;
    } catch (error) {
      fail(error);
    }
  };
  const listen = (node, type, f) => node.addEventListener(type, guard(f));
  fail(model.get("error"));
  model.on("change:error", () => fail(model.get("error")));

  const ui = { root, body, fail, guard, listen };

  // {label, min, max, step, value, show: number -> text, hint}
  ui.slider = (parent, options, change) => {
    const show = options.show ?? String;
    const input = make("input", { type: "range", min: options.min, max: options.max,
      step: options.step ?? 1, "aria-label": options.label, title: options.hint ?? options.label });
    const output = make("output", { class: "c3-value" });
    const set = (value) => {
      input.value = value;
      output.textContent = show(value);
      input.setAttribute("aria-valuetext", show(value));
    };
    set(options.value ?? options.min);
    listen(input, "input", () => {
      set(input.valueAsNumber);
      change(input.valueAsNumber);
    });
    parent.append(make("label", { class: "c3-slider" },
      make("span", { class: "c3-label" }, options.label), input, output));
    return { input, set, say: (text) => {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    } };
  };

  ui.button = (parent, label, hint, press) => {
    const button = make("button", { type: "button", class: "c3-button", title: hint }, label);
    listen(button, "click", press);
    parent.append(button);
    return button;
  };

  ui.check = (parent, label, checked, change) => {
    const input = make("input", { type: "checkbox" });
    input.checked = checked;
    listen(input, "change", () => change(input.checked));
    parent.append(make("label", { class: "c3-check" }, input, label));
    return input;
  };

  // one of several, as a drop-down list
  ui.choice = (parent, label, names, value, change) => {
    const select = make("select", { "aria-label": label },
      ...names.map((name, i) => make("option", { value: i }, name)));
    select.value = value;
    listen(select, "change", () => change(Number(select.value)));
    parent.append(make("label", { class: "c3-choice" }, make("span", {}, label), select));
    return select;
  };

  // a canvas that is a picture to a screen reader, and can be moved in with the arrow keys:
  // move(dx, dy, event) for keys, point(x, y, event) in pixels of the canvas for the mouse
  ui.picture = (parent, label, width, height, { move, point, hint } = {}) => {
    const canvas = make("canvas", { width, height, role: "img", "aria-label": label, title: hint,
      tabindex: move ? 0 : undefined, class: "c3-canvas" });
    if (move) listen(canvas, "keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 8 : 1;
      move(step[0] * far, step[1] * far, event);
    });
    const at = (event) => {
      const box = canvas.getBoundingClientRect();
      point(((event.clientX - box.left) * canvas.width) / box.width,
        ((event.clientY - box.top) * canvas.height) / box.height, event);
    };
    if (point) for (const type of ["pointerdown", "pointermove"]) listen(canvas, type, at);
    parent.append(canvas);
    return canvas;
  };

  ui.row = (parent = body, kind = "c3-row") => {
    const row = make("div", { class: kind });
    parent.append(row);
    return row;
  };

  // text that changes and is read out
  ui.readout = (parent) => {
    const node = make("div", { class: "c3-readout", role: "status", "aria-live": "polite" });
    parent.append(node);
    return (text) => { node.textContent = text; };
  };
  return ui;
}

// small pictures are enlarged by a whole factor, so that their pixels stay squares
const pictureWidth = (width, most) => (width > most ? most : width * Math.floor(most / width));

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

// a small ring over a canvas: call it with a place in 0..1 along both sides
function marker(canvas, parent) {
  const ring = make("div", { class: "c3-mark", "aria-hidden": "true" });
  const frame = make("div", { class: "c3-frame" });
  parent.replaceChild(frame, canvas);
  frame.append(canvas, ring);
  return (x, y) => {
    ring.style.left = `${100 * x}%`;
    ring.style.top = `${100 * y}%`;
  };
}

// ---------------------------------------------------------------- charts

// blue and orange are lighter in a dark theme: widgets.css
const INK = "currentColor", BLUE = "var(--c3-blue)", ORANGE = "var(--c3-orange)", GRAY = "#888888";
const number = (value, digits = 3) => Number(value.toPrecision(digits)).toLocaleString("en-US",
  { maximumFractionDigits: 6 }).replace("-", "\u2212");
const fixed = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

// round values between low and high, some 4 of them
function ticks(low, high) {
  const raw = (high - low) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
  return found;
}

// An SVG chart. draw({x: [low, high], y: [low, high], logY, items, text}) redraws it; items are
// {line: [xs, ys]}, {band: [xs, lows, highs]}, {bars: [xs, heights], width, colors},
// {dots: [xs, ys]} and {vline: x}, each with a color; text says in words what is seen.
function chart(parent, title, xLabel, width = 300, height = 210) {
  const left = 44, right = 8, top = 24, bottom = 36;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "c3-chart",
    style: `width:${width}px` });
  parent.append(svg);

  function draw({ x, y, logY = false, items, text }) {
    const fy = logY ? Math.log10 : (v) => v;
    const [y0, y1] = y.map(fy);
    const px = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (width - left - right);
    const py = (v) => {  // kept near the frame, where the clip path hides it
      const at = height - bottom - ((fy(v) - y0) / (y1 - y0)) * (height - top - bottom);
      return Math.min(2 * height, Math.max(-height, at));
    };
    const path = (xs, ys) => Array.from(xs, (v, i) => `${px(v).toFixed(1)},${py(ys[i]).toFixed(1)}`);
    svg.setAttribute("aria-label", `${title}. ${text}`);
    const frame = make("g", { class: "c3-axes" });
    for (const v of ticks(...x)) {
      frame.append(make("line", { x1: px(v), x2: px(v), y1: top, y2: height - bottom }),
        make("text", { x: px(v), y: height - bottom + 14, "text-anchor": "middle" }, number(v)));
    }
    const yTicks = logY && y1 - y0 >= 1.5
      ? ticks(y0, y1).filter(Number.isInteger).map((v) => 10 ** v)
      : ticks(...y);
    for (const v of yTicks) {
      frame.append(make("line", { x1: left, x2: width - right, y1: py(v), y2: py(v) }),
        make("text", { x: left - 4, y: py(v) + 4, "text-anchor": "end" }, number(v)));
    }
    // a nested svg clips to the plotting area, without an id that two charts would share
    const inner = make("svg", { x: left, y: top, width: width - left - right, height: height - top - bottom,
      viewBox: `${left} ${top} ${width - left - right} ${height - top - bottom}` });
    for (const item of items) {
      const stroke = { stroke: item.color, "stroke-width": item.width ?? 2, fill: "none",
        "stroke-dasharray": item.dash };
      if (item.line) inner.append(make("path", { d: "M" + path(...item.line).join("L"), ...stroke }));
      if (item.band) {
        const [xs, low, high] = item.band;
        inner.append(make("path", { fill: item.color, opacity: 0.25, d: "M" +
          [...path(xs, high), ...path(xs, low).reverse()].join("L") + "Z" }));
      }
      if (item.bars) item.bars[0].forEach((v, i) => {
        const w = Math.max(1, (0.8 * (width - left - right)) / (x[1] - x[0])), h = py(item.bars[1][i]);
        inner.append(make("rect", { x: px(v) - w / 2, width: w, y: h, fill: item.colors[i],
          height: Math.max(0, height - bottom - h) }));
      });
      if (item.dots) item.dots[0].forEach((v, i) => inner.append(make("circle",
        { cx: px(v), cy: py(item.dots[1][i]), r: 4, fill: item.color })));
      if (item.vline !== undefined) inner.append(make("line", { x1: px(item.vline), x2: px(item.vline),
        y1: top, y2: height - bottom, ...stroke, "stroke-width": item.width ?? 1 }));
    }
    svg.replaceChildren(frame, inner,
      make("text", { x: left, y: 15, class: "c3-chart-title" }, title),
      make("text", { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, xLabel));
  }
  return { svg, draw };
}

// ---------------------------------------------------------------- from Python

// every {type, shape, zlib} below `value` becomes a typed array with that shape
async function unpack(value) {
  if (Array.isArray(value)) return Promise.all(value.map(unpack));
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
  if (value.zlib) {
    const stream = new Blob([value.zlib]).stream().pipeThrough(new DecompressionStream("deflate"));
    const buffer = await new Response(stream).arrayBuffer();
    const types = { uint8: Uint8Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
      float32: Float32Array };
    return Object.assign(new types[value.type](buffer), { shape: value.shape });
  }
  const names = Object.keys(value);
  const parts = await Promise.all(names.map((name) => unpack(value[name])));
  return Object.fromEntries(names.map((name, i) => [name, parts[i]]));
}

// Run f(0), ..., f(times - 1), a task each. Browsers compile what has run for a while: what a slider
// calls is run before the slider is there, so that its first moves are as fast as all others.
async function warmUp(times, f) {
  for (let i = 0; i < times; i++) {
    f(i);
    await new Promise((done) => setTimeout(done));
  }
}

// a picture of `lossless` in Python, to be drawn
const bitmap = (picture) => createImageBitmap(new Blob([picture.bytes], { type: picture.mime }),
  { colorSpaceConversion: "none", premultiplyAlpha: "none" });

const FRAME_BYTES = 16e6;  // of decoded frames in memory

// Frames of a clip as bitmaps, by number: those of `clip.frames` that Python sent at once, and others
// when they are asked for; until they come they are undefined, and then `arrived` is called.
function clipFrames(ui, model, clip, arrived) {
  const kept = new Map(), asked = new Set();
  const most = Math.max(4, Math.floor(FRAME_BYTES / (4 * clip.width * clip.height)));
  const keep = (t, image) => {
    kept.set(t, image);
    while (kept.size > most) {
      const [oldest, old] = kept.entries().next().value;
      old.close();
      kept.delete(oldest);
    }
  };
  model.on("msg:custom", ui.guard(async (message, buffers) => {
    if (message.frame === undefined) return;
    const image = await bitmap({ mime: message.mime, bytes: buffers[0] });
    asked.delete(message.frame);
    keep(message.frame, image);
    arrived(message.frame);
  }));
  return async (t) => {
    if (!kept.has(t) && clip.frames[t]) keep(t, await bitmap(clip.frames[t]));
    else if (!kept.has(t) && !model.exported && !asked.has(t)) {
      asked.add(t);
      model.send({ frame: t });
    }
    return kept.get(t);
  };
}
