// One latent at a time, as the decoder meets it: its causal context, the distribution that
// the entropy network predicts from it, the actual value and its cost (Figs. 2, 4 and 10).

const CELL = 26, AHEAD = [72, 72, 80], NOW = [230, 159, 0];
const PAUSES_MS = [1200, 300, 60], REVEAL_MS = 400;  // of playing; between the prediction and the value

export default explorer("The decoder knows only what came before (colored). From the framed context it predicts a distribution; the " +
  "likelier the value is in it, the fewer bits it costs. Click a latent, or step.", async (ui, model) => {
  const data = await unpack(model.get("data")), codec = new FittedCodec(data.codec);
  const state = { n: data.start[0], at: data.start.slice(1), rung: 0, pause: PAUSES_MS[1] };
  const orders = new Map();

  // the latents of a grid in the decoder's order; those of one step are independent of each other
  function orderOf(n) {
    if (!orders.has(n)) {
      const steps = data.steps[n], next = new Uint32Array(data.step_count + 1);
      for (const s of steps) next[s + 1]++;
      const starts = [], rung = new Map();  // only the steps in which this grid has a latent
      for (let s = 0; s < data.step_count; s++) {
        if (next[s + 1]) {
          rung.set(s, starts.length);
          starts.push(next[s]);
        }
        next[s + 1] += next[s];
      }
      const order = new Uint32Array(steps.length);
      steps.forEach((s, i) => { order[next[s]++] = i; });
      orders.set(n, { steps, order, starts: [...starts, steps.length], rung });
    }
    return orders.get(n);
  }

  // bits of all grids before each step
  const bitsBefore = new Float64Array(data.step_count + 1);
  data.steps.forEach((steps, n) => steps.forEach((s, i) => { bitsBefore[s + 1] += codec.grids[n].bits[i] / codec.bits_unit; }));
  for (let s = 0; s < data.step_count; s++) bitsBefore[s + 1] += bitsBefore[s];

  const controls = ui.row(ui.body, "c3-row c3-controls");
  ui.choice(controls, "Grid", codec.grids.map(({ shape }, n) =>
    `${n} (${shape.slice(codec.shape[0] > 1 ? 0 : 1).join("×")})`), state.n,
  (n) => {
    stopPlaying();
    const from = codec.grids[state.n].exponent;  // the same place in the picture
    choose(n, state.at.map((v) => ((2 * v + 1) << from) >> 1 >> codec.grids[n].exponent));
  });
  const stepSlider = ui.slider(controls, { label: "Decoding step", min: 0, max: 1,
    hint: "All latents of a step are decoded together: none is in another's context" }, (rung) => toRung(rung));
  ui.button(controls, "◀ back", "The latent before, in the decoder's order", () => along(-1));
  ui.button(controls, "next ▶", "The next latent in the decoder's order", () => along(1));
  const stopPlaying = ui.player(controls, "Go through the steps", (first) => {
    const last = orderOf(state.n).starts.length - 2;
    if (state.rung === last && !first) return false;
    toRung(state.rung === last ? 0 : state.rung + 1);
  }, () => state.pause);
  ui.choice(controls, "Speed", ["slow", "middle", "fast"], 1, (i) => { state.pause = PAUSES_MS[i]; });
  const row = ui.row(ui.body, "c3-side"), left = ui.row(row, "c3-column"), middle = ui.row(row, "c3-column");
  const right = ui.row(row, "c3-column");
  left.style.flex = "0 1 370px";
  const frameSlider = codec.shape[0] > 1 ? ui.slider(left, { label: "Frame of the grid", min: 0, max: 1 },
    (t) => moveTo([t, state.at[1], state.at[2]])) : null;
  let canvas, mark, colors;  // made anew for every grid, which has a size of its own
  const holder = ui.row(left, "c3-column");
  const note = ui.row(left, "c3-note");
  note.textContent = "Dark: not decoded yet. Orange: decoded in this step. Ring: the latent at right.";
  const near = ui.row(middle, "c3-column");
  const plot = chart(ui, right, "Predicted distribution", "value of the latent (steps)",
    { width: 240, height: 200, yLabel: "probability" });
  right.append(make("div", { class: "c3-note" }, "Where it lies in the photo:"));
  const stride = Math.ceil(Math.max(codec.shape[1] / 130, codec.shape[2] / 200));
  const photo = make("canvas", { role: "img" }), place = ui.row(right);
  place.append(photo);
  const showPlace = marker(photo);
  let photoOf = -1;
  const say = ui.readout(ui.body);

  let limit = 1;
  function choose(n, at) {
    const { shape: [, h, w], symbols } = codec.grids[n];
    state.n = n;
    limit = 1;
    for (const v of symbols) limit = Math.max(limit, Math.abs(v));
    colors = pixelsOf(symbols, (v) => latentColor(v, limit));
    holder.replaceChildren();
    canvas = ui.picture(holder, "", w, h, { hint: "Click a latent, or focus and use the arrow keys",
      move: (dx, dy) => moveTo([state.at[0], state.at[1] + dy, state.at[2] + dx]),
      point: (x, y) => moveTo([state.at[0], Math.floor(y), Math.floor(x)]) });
    showWithin(canvas, 370, 300);
    mark = marker(canvas);
    stepSlider.input.max = orderOf(n).starts.length - 2;
    if (frameSlider) frameSlider.input.max = codec.grids[n].shape[0] - 1;
    moveTo(at);
  }

  function moveTo(position) {
    const { shape } = codec.grids[state.n];
    state.at = position.map((v, axis) => clamp(v, 0, shape[axis] - 1));
    draw();
  }

  const whole = (v) => Math.round(v).toLocaleString("en-US");
  const flat = ([t, y, x], [, h, w]) => (t * h + y) * w + x;
  const unflat = (i, [, h, w]) => [Math.floor(i / (h * w)), Math.floor(i / w) % h, i % w];

  // to a step: to its latent nearest to where we are
  function toRung(rung) {
    const { order, starts } = orderOf(state.n), { shape } = codec.grids[state.n];
    let best = null, least = Infinity;
    for (let k = starts[rung]; k < starts[rung + 1]; k++) {
      const found = unflat(order[k], shape);
      const far = Math.abs(found[1] - state.at[1]) + 1e4 * Math.abs(found[0] - state.at[0]);
      if (far < least) [best, least] = [found, far];
    }
    moveTo(best);
  }

  function along(direction) {
    const { order } = orderOf(state.n), { shape } = codec.grids[state.n];
    const place = order.indexOf(flat(state.at, shape)) + direction;
    if (place >= 0 && place < order.length) moveTo(unflat(order[place], shape));
  }

  function draw() {
    const { n, at } = state, { shape, offsets, previous } = codec.grids[n], [, h, w] = shape;
    const { steps, starts, rung } = orderOf(n), step = steps[flat(at, shape)];
    state.rung = rung.get(step);
    stepSlider.set(state.rung, `${whole(state.rung + 1)} of ${whole(starts.length - 1)}`);
    frameSlider?.set(at[0]);
    const from = at[0] * h * w, ahead = pixelOf(AHEAD), now = pixelOf(NOW), pixels = new Uint32Array(h * w);
    for (let p = 0; p < h * w; p++) {
      const s = steps[from + p];
      pixels[p] = s < step ? colors[from + p] : s === step ? now : ahead;
    }
    put(canvas, { width: w, height: h, rgba: new Uint8ClampedArray(pixels.buffer) });
    mark((at[2] + 0.5) / w, (at[1] + 0.5) / h);
    const done = starts[state.rung];
    canvas.setAttribute("aria-label", `Grid ${n} at step ${step + 1}: ${done} of ${steps.length} latents decoded; ` +
      `at row ${at[1]}, column ${at[2]}`);

    const { value, mu, scale, bits } = codec.predict(n, at);
    const isDecoded = ([t, y, x]) => t >= 0 && y >= 0 && x >= 0 && y < h && x < w && steps[flat([t, y, x], shape)] < step;
    drawContexts(near, offsets, previous, limit, {
      own: ([dt, dy, dx]) => {
        const p = [at[0] + dt, at[1] + dy, at[2] + dx];
        if (p.some((v, axis) => v < 0 || v >= shape[axis])) return { outside: true, value: 0 };
        return { value: codec.symbol(n, ...p), decoded: isDecoded(p) };
      },
      finer: (offset) => ({ decoded: true, value: n ? codec.halved(n, at.map((v, i) => v + offset[i])) : 0 }),
    });
    drawPhoto();
    // first what is predicted, then the value
    const where = `Grid ${n}, ${codec.shape[0] > 1 ? `frame ${at[0]}, ` : ""}row ${at[1]}, column ${at[2]}`;
    const predicted = `${where}: predicted μ ${fixed(mu, 2)}, scale ${scale.toFixed(2)}`;
    drawChances(codec, plot, null, value, mu, scale, bits);
    clearTimeout(revealing);
    say(`${predicted}; the value comes …`);
    revealing = setTimeout(ui.guard(() => {
      drawChances(codec, plot, value, value, mu, scale, bits);
      const p = 2 ** -bits;
      say(`${predicted}; actual value ${number(value)}, probability ${p < 0.001 ? "below 0.1" : number(100 * p, 2)} %, so ` +
        `${bits.toFixed(2)} bits.\nBefore this step ${whole(bitsBefore[step])} of ${whole(bitsBefore.at(-1))} bits were read, in all grids.`);
    }), Math.min(REVEAL_MS, state.pause / 2));
  }
  let revealing = 0;

  function drawPhoto() {
    const { n, at } = state, size = 2 ** codec.grids[n].exponent, [frames, height, width] = codec.shape;
    const t = Math.min(frames - 1, at[0] * size);
    if (photoOf !== t) {
      put(photo, finish(codec.decode(codec.grids.map(() => true), t, Math.max(2, stride))));
      showWithin(photo, 224, 130);
      photoOf = t;
      codec.release();
    }
    const [y, x] = [((at[1] + 0.5) * size) / height, ((at[2] + 0.5) * size) / width].map((v) => Math.min(1, v));
    showPlace(x, y);
    photo.setAttribute("aria-label", `The photo; the latent lies at ${Math.round(100 * x)} % of its width, ${Math.round(100 * y)} % of its height`);
  }
  choose(state.n, state.at);
});

// A picture for each frame of the context, and one for the halved finer grid
function drawContexts(parent, offsets, previous, limit, look) {
  const groups = new Map([[0, []]]);
  for (const offset of offsets) {
    if (!groups.has(offset[0])) groups.set(offset[0], []);
    groups.get(offset[0]).push(offset);
  }
  const pictures = [...groups].sort(([a], [b]) => b - a).map(([dt, list]) => [
    dt === 0 ? `Context: ${list.length} latents (framed)` : `In the frame ${-dt} before: ${list.length}`, list, dt, look.own]);
  if (previous.length) pictures.push([`From the finer grid, halved: ${previous.length}`, previous, 0, look.finer]);
  parent.replaceChildren(...pictures.flatMap(([title, list, dt, at], i) => {
    const ys = list.map((o) => o[1]), xs = list.map((o) => o[2]);
    const target = dt === 0 && at === look.own ? [0] : [];
    const y0 = Math.min(...ys, ...target) - 1, y1 = Math.max(...ys, ...target) + 1;
    const x0 = Math.min(...xs, ...target) - 1, x1 = Math.max(...xs, ...target) + 1;
    const framed = new Set(list.map((o) => `${o[1]} ${o[2]}`));
    const canvas = make("canvas", { role: "img", width: (x1 - x0 + 1) * CELL, height: (y1 - y0 + 1) * CELL });
    canvas.className = "c3-canvas";
    canvas.style.imageRendering = "auto";
    const pen = canvas.getContext("2d"), said = [];
    pen.font = "12px sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) {
      const here = target.length > 0 && y === 0 && x === 0;
      const inside = framed.has(`${y} ${x}`), cell = at([dt, y, x]);
      const left = (x - x0) * CELL, top = (y - y0) * CELL;
      const hidden = !here && !inside && !cell.decoded;
      const color = here ? NOW : hidden && !cell.outside ? AHEAD : cell.outside ? [250, 250, 250] : latentColor(cell.value, limit);
      pen.fillStyle = `rgb(${color})`;
      pen.fillRect(left, top, CELL, CELL);
      pen.strokeStyle = inside ? "#0072B2" : "#ddd";
      pen.lineWidth = inside ? 2 : 1;
      pen.strokeRect(left + 1, top + 1, CELL - 2, CELL - 2);
      const text = here ? "?" : hidden ? "" : number(cell.value, 2);
      const dark = !here && Math.abs(cell.value) > 0.6 * limit;
      pen.fillStyle = dark ? "#fff" : inside || here ? "#000" : "#999";
      if (!cell.outside || inside) pen.fillText(text, left + CELL / 2, top + CELL / 2 + 1);
      if (inside) said.push(text);
    }
    canvas.setAttribute("aria-label", `${title}: ${said.join(", ")}`);
    return [make("div", { class: "c3-label" }, title), canvas];
  }));
}

// `shown` is the value, or null where it is not told yet; the axes are the same
function drawChances(codec, plot, shown, value, mu, scale, bits) {
  const reach = Math.max(4, Math.min(40, Math.ceil(4 * scale)));
  const low = Math.min(Math.round(mu) - reach, value - 1), high = Math.max(Math.round(mu) + reach, value + 1);
  const all = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const chances = all.map((v) => 2 ** -codec.bits(v, mu, scale));
  const top = 1.15 * Math.max(...chances, 0.05);
  plot.draw({ x: [low - 0.6, high + 0.6], y: [0, top],
    text: `Probability of each whole number around μ ${fixed(mu, 2)}` +
      (shown === null ? "." : `; the actual value ${value} costs ${bits.toFixed(2)} bits.`),
    items: [{ bars: [all, chances], colors: all.map((v) => (v === shown ? "#E69F00" : BLUE)) },
      { vline: mu, color: INK, dash: "4 3", width: 2 }] });
}
