// One latent at a time, as the decoder meets it: its causal context, the Laplace distribution that
// the entropy network predicts from it, the actual value and its cost (Figs. 2, 4 and 10).

const CELL = 28, AHEAD = [228, 228, 228], NOW = [230, 159, 0];

async function render({ model, el }) {
  const ui = panel(el, model, "Decoding one latent after another",
    "The decoder knows only what came before (colored). From the framed context it predicts a distribution; " +
    "the likelier the actual value is in it, the fewer bits it costs. Click a latent, or step through the order.");
  let timer = 0;
  await ui.guard(build)(ui, model, (go, pause) => { timer = go ? setInterval(go, pause) : clearInterval(timer); });
  return () => clearInterval(timer);
}

async function build(ui, model, play) {
  const data = await unpack(model.get("data")), codec = new FittedCodec(data.codec);
  const state = { n: 0, at: [0, 0, 0], rung: 0 };
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

  const controls = ui.row(ui.body, "c3-row c3-controls");
  ui.choice(controls, "Grid", codec.grids.map(({ shape }, n) =>
    `${n} (${shape.slice(codec.shape[0] > 1 ? 0 : 1).join("×")})`), 0, (n) => choose(n));
  const stepSlider = ui.slider(controls, { label: "Decoding step", min: 0, max: 1,
    hint: "All latents of a step are decoded together: none is in another's context" }, (rung) => toRung(rung));
  ui.button(controls, "◀ previous", "The latent before, in the decoder's order", () => along(-1));
  ui.button(controls, "next ▶", "The next latent in the decoder's order", () => along(1));
  let playing = false;
  const button = ui.button(controls, "play", "Go through the steps", () => setPlaying(!playing));
  function setPlaying(on) {
    playing = on;
    button.textContent = on ? "pause" : "play";
    play(null);
    if (on) play(ui.guard(() => {
      if (state.rung + 1 < orderOf(state.n).starts.length - 1) toRung(state.rung + 1);
      else setPlaying(false);
    }), 80);
  }
  const row = ui.row(), left = ui.row(row, "c3-column"), middle = ui.row(row, "c3-column");
  const right = ui.row(row, "c3-column");
  const frameSlider = codec.shape[0] > 1 ? ui.slider(left, { label: "Frame of the grid", min: 0, max: 1 },
    (t) => moveTo([t, state.at[1], state.at[2]])) : null;
  let canvas, mark, words;  // made anew for every grid, which has a size of its own
  const holder = ui.row(left, "c3-column");
  const note = ui.row(left, "c3-note");
  note.style.maxWidth = "384px";
  note.textContent = "Gray: not decoded yet. Orange: decoded in this step. Ring: the latent at right.";
  const near = ui.row(middle, "c3-column");
  const plot = chart(right, "Predicted distribution", "value of the latent (steps)", 224, 210);
  const say = ui.readout(ui.body);

  function choose(n) {
    setPlaying(false);
    const { shape: [, h, w], symbols } = codec.grids[n];
    state.n = n;
    let limit = 1;
    for (const v of symbols) limit = Math.max(limit, Math.abs(v));
    const seen = new Map();
    words = Uint32Array.from(symbols, (v) => {
      if (!seen.has(v)) seen.set(v, toWord(latentColor(v, limit)));
      return seen.get(v);
    });
    holder.replaceChildren();
    canvas = ui.picture(holder, "", w, h, { hint: "Click a latent, or focus and use the arrow keys",
      move: (dx, dy) => moveTo([state.at[0], state.at[1] + dy, state.at[2] + dx]),
      point: (x, y, event) => {
        if (event.type === "pointerdown" || event.buttons) moveTo([state.at[0], Math.floor(y), Math.floor(x)]);
      } });
    const shown = pictureWidth(w, 388);
    canvas.style.width = `${shown}px`;
    if (shown < w) canvas.style.imageRendering = "auto";
    mark = marker(canvas, holder);
    stepSlider.input.max = orderOf(n).starts.length - 2;
    if (frameSlider) frameSlider.input.max = codec.grids[n].shape[0] - 1;
    moveTo(codec.grids[n].shape.map((side) => side >> 1));
  }

  function moveTo(position) {
    const { shape } = codec.grids[state.n];
    state.at = position.map((v, axis) => clamp(v, 0, shape[axis] - 1));
    draw();
  }

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

  const toWord = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;

  function draw() {
    const { n, at } = state, { shape, offsets, previous } = codec.grids[n], [, h, w] = shape;
    const { steps, starts, rung } = orderOf(n), step = steps[flat(at, shape)];
    state.rung = rung.get(step);
    stepSlider.set(state.rung);
    stepSlider.say(`${(step + 1).toLocaleString("en-US")} of ${data.step_count.toLocaleString("en-US")}`);
    frameSlider?.set(at[0]);
    const image = new ImageData(w, h), pixels = new Uint32Array(image.data.buffer), from = at[0] * h * w;
    const ahead = toWord(AHEAD), now = toWord(NOW);
    for (let p = 0; p < h * w; p++) {
      const s = steps[from + p];
      pixels[p] = s < step ? words[from + p] : s === step ? now : ahead;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    mark((at[2] + 0.5) / w, (at[1] + 0.5) / h);
    const done = starts[state.rung];
    canvas.setAttribute("aria-label", `Grid ${n} at step ${step + 1}: ${done} of ${steps.length} latents decoded; ` +
      `at row ${at[1]}, column ${at[2]}`);

    const { value, mu, scale, bits } = codec.predict(n, at);
    const isDecoded = ([t, y, x]) => t >= 0 && y >= 0 && x >= 0 && y < h && x < w && steps[flat([t, y, x], shape)] < step;
    drawContexts(near, offsets, previous, {
      own: ([dt, dy, dx]) => {
        const p = [at[0] + dt, at[1] + dy, at[2] + dx];
        if (p.some((v, axis) => v < 0 || v >= shape[axis])) return { outside: true, value: 0 };
        return { value: codec.symbol(n, ...p), decoded: isDecoded(p) };
      },
      finer: (offset) => ({ decoded: true, value: n ? codec.halved(n, at.map((v, i) => v + offset[i])) : 0 }),
    });
    drawLaplace(plot, value, mu, scale, bits);
    const p = 2 ** -bits;
    say(`Grid ${n}, ${codec.shape[0] > 1 ? `frame ${at[0]}, ` : ""}row ${at[1]}, column ${at[2]}: ` +
      `predicted μ ${fixed(mu, 2)}, scale ${scale.toFixed(2)}; actual value ${number(value)}, probability ` +
      `${p < 0.001 ? "below 0.1" : number(100 * p, 2)} %, so ${bits.toFixed(2)} bits.`);
  }
  choose(0);
}

// A picture for each frame of the context, and one for the halved finer grid
function drawContexts(parent, offsets, previous, look) {
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
      const color = here ? NOW : hidden && !cell.outside ? AHEAD : cell.outside ? [250, 250, 250] : latentColor(cell.value, 8);
      pen.fillStyle = `rgb(${color})`;
      pen.fillRect(left, top, CELL, CELL);
      pen.strokeStyle = inside ? "#0072B2" : "#ddd";
      pen.lineWidth = inside ? 2 : 1;
      pen.strokeRect(left + 1, top + 1, CELL - 2, CELL - 2);
      const text = here ? "?" : hidden ? "" : number(cell.value, 2);
      const dark = !here && Math.abs(cell.value) > 4;
      pen.fillStyle = dark ? "#fff" : inside || here ? "#000" : "#999";
      if (!cell.outside || inside) pen.fillText(text, left + CELL / 2, top + CELL / 2 + 1);
      if (inside) said.push(text);
    }
    canvas.setAttribute("aria-label", `${title}: ${said.join(", ")}`);
    return [make("div", { class: "c3-label" }, title), canvas];
  }));
}

function drawLaplace(plot, value, mu, scale, bits) {
  const reach = Math.max(4, Math.min(40, Math.ceil(4 * scale)));
  const low = Math.min(Math.round(mu) - reach, value - 1), high = Math.max(Math.round(mu) + reach, value + 1);
  const all = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const chances = all.map((v) => 2 ** -laplaceBits(v, mu, scale));
  const top = 1.15 * Math.max(...chances, 0.05);
  plot.draw({ x: [low - 0.6, high + 0.6], y: [0, top],
    text: `Probability of each whole number around μ ${fixed(mu, 2)}; the actual value ${value} costs ${bits.toFixed(2)} bits.`,
    items: [{ bars: [all, chances], colors: all.map((v) => (v === value ? ORANGE : "#7FB8D8")) },
      { vline: mu, color: BLUE, dash: "4 3", width: 2 }] });
}

export default { render };
