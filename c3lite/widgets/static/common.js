// What all explorers share: a panel with labelled controls, charts, and arrays from Python.
//
// A widget's file follows this one in the same module and ends with `export default explorer(...)`.
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

// What a widget's module exports. build(ui, model) fills the panel; "reset" builds it anew.
function explorer(help, build) {
  return { async render({ model, el }) {
    let close = () => {};
    const open = async () => {
      close();
      const ui = panel(el, model, help, open);
      close = ui.close;
      await ui.guard(build)(ui, model);
    };
    await open();
    return () => close();
  } };
}

function panel(el, model, help, reset) {
  const alert = make("div", { class: "c3-error", role: "alert", hidden: true });
  const body = make("div", { class: "c3-body" }), head = make("div", { class: "c3-head" });
  const title = model.get("title");
  head.append(make("div", { class: "c3-title" }, title));
  // the second class is the one by which ipywidgets and tools know a widget's view
  const root = make("section", { class: "c3 jupyter-widgets", "aria-label": title },
    head, make("div", { class: "c3-help" }, help), body, alert);
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
  const ends = [];  // what is to be done when the view closes
  const ui = { root, body, fail, guard, listen, ends, close: () => ends.splice(0).forEach((end) => end()) };
  ui.on = (event, f) => {
    const guarded = guard(f);
    model.on(event, guarded);
    ends.push(() => model.off(event, guarded));
  };
  ui.every = (pause, f) => {
    const timer = setInterval(guard(f), pause);
    ends.push(() => clearInterval(timer));
  };
  fail(model.get("error"));
  ui.on("change:error", () => fail(model.get("error")));

  // {label, min, max, step, value, show: number -> text, hint}
  ui.slider = (parent, options, change) => {
    const show = options.show ?? String;
    const input = make("input", { type: "range", min: options.min, max: options.max,
      step: options.step ?? 1, "aria-label": options.label, title: options.hint ?? options.label });
    const output = make("output", { class: "c3-value" });
    const say = (text, away) => {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
      input.classList.toggle("c3-away", away);
    };
    const set = (value, text = show(value)) => {
      input.value = value;
      say(text, false);
    };
    set(options.value ?? options.min);
    const choose = () => {
      set(input.valueAsNumber);
      change(input.valueAsNumber);
    };
    listen(input, "input", choose);
    // what is shown is at no place of the slider: a click or key that leaves it where it is counts
    const back = (event) => {
      if (input.classList.contains("c3-away") && !(event.key === "Tab" || event.key === "Shift")) choose();
    };
    listen(input, "click", back);
    listen(input, "keyup", back);
    parent.append(make("label", { class: "c3-slider" },
      make("span", { class: "c3-label" }, options.label), input, output));
    return { input, set, away: (text) => say(text, true) };
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

  // Play, and pause: step(first) is called every pause() milliseconds until it gives back false.
  // Gives back how to stop it.
  ui.player = (parent, hint, step, pause) => {
    let timer = 0;
    const tick = (first) => (step(first) === false ? set(false) : (timer = setTimeout(guard(tick), pause())));
    const set = (on) => {
      clearTimeout(timer);
      timer = 0;
      button.textContent = on ? "❚❚ pause" : "▶ play";
      if (on) tick(true);
    };
    const button = ui.button(parent, "", hint, () => set(!timer));
    set(false);
    ends.push(() => clearTimeout(timer));
    return () => set(false);
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
  ui.picture = (parent, label, width, height, { move, point, hint, cursor = point && "crosshair" } = {}) => {
    const canvas = make("canvas", { width, height, role: "img", "aria-label": label, title: hint,
      tabindex: move ? 0 : undefined, class: "c3-canvas", style: cursor && `cursor: ${cursor}` });
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
    if (point) {  // a press, and moves while it lasts
      canvas.style.touchAction = "none";
      listen(canvas, "pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); at(event); });
      listen(canvas, "pointermove", (event) => { if (event.buttons) at(event); });
    }
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
  if (reset) ui.button(head, "reset", "As it was at first", reset);
  return ui;
}

// Shown at most so wide and high. Small pictures are enlarged by a whole factor from 3 on, so that
// their pixels stay squares; large ones are smoothed.
function showWithin(canvas, mostWidth, mostHeight) {
  const scale = Math.min(mostWidth / canvas.width, mostHeight / canvas.height);
  canvas.style.width = `${Math.round(canvas.width * (scale < 3 ? scale : Math.floor(scale)))}px`;
  if (scale < 1) canvas.style.imageRendering = "auto";
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

// lay elements over a canvas
function overlay(canvas, ...above) {
  const frame = make("div", { class: "c3-frame" });
  canvas.replaceWith(frame);
  frame.append(canvas, ...above);
}

// a small ring over a canvas: call it with a place in 0..1 along both sides
function marker(canvas) {
  const ring = make("div", { class: "c3-mark", "aria-hidden": "true" });
  overlay(canvas, ring);
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

const tick = (value) => (Math.abs(value) < 1e4 ? number(value)
  : value.toLocaleString("en-US", { notation: "compact" }));

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
// {dots: [xs, ys]} and {vline: x}, each with a color; text says in words what is seen. With `drag`,
// it is called with the x under the mouse.
function chart(ui, parent, title, xLabel, { width = 300, height = 210, yLabel, drag } = {}) {
  const left = yLabel ? 56 : 44, right = 16, top = 24, bottom = 36;
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", class: "c3-chart",
    "aria-label": `${title}: nothing to show yet`, style: `width:${width}px${drag ? "; cursor:ew-resize; touch-action:none" : ""}` });
  parent.append(svg);
  let shown = null;
  const dragged = (event) => {
    const box = svg.getBoundingClientRect(), at = ((event.clientX - box.left) * width) / box.width;
    drag(clamp(shown[0] + ((at - left) / (width - left - right)) * (shown[1] - shown[0]), ...shown));
  };
  if (drag) {
    ui.listen(svg, "pointerdown", (event) => { svg.setPointerCapture(event.pointerId); dragged(event); });
    ui.listen(svg, "pointermove", (event) => { if (event.buttons) dragged(event); });
  }

  function draw({ x, y, logY = false, items, text }) {
    shown = x;
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
        make("text", { x: px(v), y: height - bottom + 14, "text-anchor": "middle" }, tick(v)));
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
    if (yLabel) svg.append(make("text", { "text-anchor": "middle", transform:
      `translate(12 ${(top + height - bottom) / 2}) rotate(-90)` }, yLabel));
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

// Frames of a clip as bitmaps, by number; those that were looked at last are kept.
function clipFrames(clip) {
  const kept = new Map(), most = Math.max(4, Math.floor(FRAME_BYTES / (4 * clip.width * clip.height)));
  return async (t) => {
    if (!kept.has(t)) {
      kept.set(t, await bitmap(clip.frames[t]));
      if (kept.size > most) {
        const [oldest, old] = kept.entries().next().value;
        old.close();
        kept.delete(oldest);
      }
    }
    return kept.get(t);
  };
}

// ---------------------------------------------------------------- colors, as in c3lite.plots

// matplotlib's, from some of their colors: 0..1 -> [r, g, b]
function colorMap(hex) {
  const stops = hex.split(" ").map((c) => [0, 2, 4].map((i) => parseInt(c.slice(i, i + 2), 16)));
  return (part) => {
    const at = clamp(part, 0, 1) * (stops.length - 1), i = Math.min(stops.length - 2, Math.floor(at));
    return stops[i].map((v, k) => Math.round(v + (stops[i + 1][k] - v) * (at - i)));
  };
}
const bitsColor = colorMap("440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725");  // viridis
const heatColor = colorMap("000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf");  // magma
const errorColor = colorMap("000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4");  // inferno
const signedColor = colorMap("053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f");  // RdBu_r
const latentColor = (value, limit) => signedColor(0.5 + value / (2 * limit));

// a color [r, g, b] as a pixel of ImageData; the same for values, each looked up once
const pixelOf = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
function pixelsOf(values, color) {
  const seen = new Map();
  return Uint32Array.from(values, (value) => {
    if (!seen.has(value)) seen.set(value, pixelOf(color(value)));
    return seen.get(value);
  });
}

// a picture of {width, height, rgba} on a canvas, which becomes as large
function put(canvas, { width, height, rgba }) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
}

// values of a grid's frame, color: value -> [r, g, b], on a canvas of its size
function paint(canvas, width, height, values, color) {
  put(canvas, { width, height, rgba: new Uint8ClampedArray(pixelsOf(values, color).buffer) });
}

// how far two pictures of RGBA are apart, as a picture: mean over the colors, `most` levels at most
function errorPicture(a, b, width, most) {
  const off = new Uint16Array(a.length / 4);
  for (let p = 0; p < a.length; p += 4) {
    off[p / 4] = Math.abs(a[p] - b[p]) + Math.abs(a[p + 1] - b[p + 1]) + Math.abs(a[p + 2] - b[p + 2]);
  }
  const rgba = new Uint8ClampedArray(pixelsOf(off, (levels) => errorColor(levels / (3 * most))).buffer);
  return { width, height: off.length / width, rgba };
}

// RGBA of a bitmap
function rgbaOf(image) {
  const { width, height } = image, canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  canvas.width = 0;  // frees it now
  return data;
}

// Two pictures (or one) of which a canvas shows the same part [x, y, width, height]: the first up to
// the share `at` of the canvas' width, the second from there.
function drawWiped(canvas, [a, b], at, part) {
  const pen = canvas.getContext("2d"), { width, height } = canvas, edge = Math.round(at * width);
  pen.imageSmoothingEnabled = part[2] > width;
  if (b && edge < width) pen.drawImage(b, ...part, 0, 0, width, height);
  if (edge === 0) return;
  pen.drawImage(a, part[0], part[1], (part[2] * edge) / width, part[3], 0, 0, edge, height);
  if (edge === width) return;
  pen.fillStyle = "#fff";
  pen.fillRect(edge - 1, 0, 3, height);
  pen.fillStyle = "#000";
  pen.fillRect(edge, 0, 1, height);
}
