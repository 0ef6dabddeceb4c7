// Latent grids, and what each adds to the picture (Fig. 26).
//
// Every change is decoded here. A large picture is first shown from fewer pixels, at once, and is
// completed a few milliseconds at a time.

const PREVIEW_PIXELS = 20_000;  // decoded in some 12 ms
const PREVIEWS = 64;  // kept in memory, at most 80 kB each

async function render({ model, el }) {
  const ui = panel(el, model, "Latent grids: what does each one add?",
    "The decoder builds the picture from all grids together. Switch grids off, keep one alone, or go from " +
    "coarse to fine. Point at a picture (or use its arrow keys) to read the latents there.");
  await ui.guard(build)(ui, model);
}

async function build(ui, model) {
  const data = await unpack(model.get("data"));
  const codec = new FittedCodec(data.codec), [frames, height, width] = codec.shape;
  const state = { on: codec.grids.map(() => true), frame: frames >> 1, at: [frames >> 1, height >> 1, width >> 1],
    bits: false };
  const count = codec.grids.length, rung = (k) => state.on.map((_, n) => n >= count - k);

  // what is shown while the whole picture is not there yet; of a small image it is the whole picture
  const least = Math.ceil(Math.sqrt((height * width) / PREVIEW_PIXELS)), small = least === 1 && frames === 1;
  const stride = small ? 1 : Math.max(2, least), previews = new Map();
  function preview(on) {
    const key = keyOf(on);
    if (!previews.has(key)) {
      previews.set(key, finish(codec.decode(on, state.frame, stride)));
      if (previews.size > PREVIEWS) previews.delete(previews.keys().next().value);
    }
    return previews.get(key);
  }
  await warmUp(count + 1, (k) => preview(rung(k)));

  const top = ui.row();
  const left = ui.row(top, "c3-column"), right = ui.row(top, "c3-column");
  right.style.flex = "1 1 260px";
  const shown = pictureWidth(width, 540);
  const canvas = ui.picture(left, "Reconstruction", width, height, {
    move: (dx, dy) => pointTo(state.at[1] + dy, state.at[2] + dx),
    point: (x, y) => pointTo(Math.floor(y), Math.floor(x)),
    hint: "Point here, or focus and use the arrow keys (with Shift: 8 pixels)" });
  canvas.style.width = `${shown}px`;
  if (shown < width) canvas.style.imageRendering = "auto";
  const mark = marker(canvas, left);

  const ladder = ui.slider(right, { label: "Coarse to fine", min: 0, max: count, value: count,
    show: (k) => (k === 0 ? "no grid" : k === count ? "all grids" : `${k} coarsest`),
    hint: "Only so many of the coarsest grids are switched on" }, (k) => {
    state.on = rung(k);
    changed();
  });
  if (frames > 1) ui.slider(right, { label: "Frame", min: 0, max: frames - 1, value: state.frame }, (t) => {
    state.frame = t;
    pointTo(state.at[1], state.at[2]);
    tiles.forEach((tile) => tile.paint());
    changed();
  });
  ui.choice(right, "Small pictures show", ["the latents", "their bits"], 0, (i) => {
    state.bits = i === 1;
    tiles.forEach((tile) => tile.paint());
    legend.textContent = LEGENDS[i];
  });
  const LEGENDS = ["White: zero; red: positive; blue: negative (square-root scale, each grid its own).",
    "Dark: cheap; yellow: expensive (square-root scale, each grid its own)."];
  const legend = ui.row(right, "c3-note");
  legend.textContent = LEGENDS[0];
  const say = ui.readout(right), where = ui.readout(right);

  // ------------------------------------------------------------ one tile a grid
  const area = ui.row();
  const pixels = height * width * frames;
  const tiles = codec.grids.map((grid, n) => {
    const [, h, w] = grid.shape, tile = ui.row(area, "c3-column c3-tile"), head = ui.row(tile);
    const box = ui.check(head, `grid ${n}`, true, (on) => {
      state.on[n] = on;
      changed();
    });
    box.parentNode.title = "Switch this grid on or off";
    ui.button(head, "only", `Keep grid ${n} alone`, () => {
      state.on = state.on.map((_, m) => m === n);
      changed();
    }).setAttribute("aria-label", `only grid ${n}`);
    const size = `${h}×${w}, ${number(grid.total_bits / pixels, 2)} bpp`;
    tile.append(make("div", { class: "c3-note" }, size));
    const move = (y, x) => pointTo(...[y, x].map((v) => ((2 * v + 1) << grid.exponent) >> 1));
    const here = () => codec.latentAt(n, state.at);
    const small = ui.picture(tile, "", w, h, { hint: "Point here, or focus and use the arrow keys",
      move: (dx, dy) => { const [, y, x] = here(); move(clamp(y + dy, 0, h - 1), clamp(x + dx, 0, w - 1)); },
      point: (x, y) => move(Math.floor(y), Math.floor(x)) });
    small.style.width = "100%";
    const dot = marker(small, tile);
    const text = make("div", { class: "c3-readout" });
    tile.append(text);
    let low = Infinity, high = -Infinity, most = 1;
    for (const v of grid.symbols) { if (v < low) low = v; if (v > high) high = v; }
    for (const v of grid.bits) if (v > most) most = v;
    const limit = Math.max(1, -low, high);
    return {
      box,
      paint() {
        const t = codec.latentAt(n, state.at)[0];
        small.setAttribute("aria-label", state.bits
          ? `Bits of grid ${n}, at most ${number(most / data.bits_unit)} a latent`
          : `Latents of grid ${n}, from ${low} to ${high}`);
        if (state.bits) paint(small, grid.bits, t * h * w, (v) => heatColor(Math.sqrt(v / most)));
        else paint(small, grid.symbols, t * h * w, (v) => latentColor(v, limit));
      },
      read() {
        const [t, y, x] = here(), { value, mu, scale, bits } = codec.predict(n, [t, y, x]);
        dot((x + 0.5) / w, (y + 0.5) / h);
        text.textContent = `${number(value)}: ${bits.toFixed(2)} bits\nμ ${fixed(mu, 2)}, scale ${scale.toFixed(2)}`;
        return `grid ${n}: ${value}, ${bits.toFixed(1)} bits`;
      },
    };
  });

  function pointTo(y, x) {
    state.at = [state.frame, clamp(y, 0, height - 1), clamp(x, 0, width - 1)];
    mark((state.at[2] + 0.5) / width, (state.at[1] + 0.5) / height);
    tiles.forEach((tile) => tile.read());
    where(`At row ${state.at[1]}, column ${state.at[2]}: value, bits, μ and scale (in steps) under each grid.`);
  }

  // ------------------------------------------------------------ the reconstruction
  const kept = new Map(), most = count + 2;  // of the slider's pictures, and one more
  let stop = () => {}, said = () => {};
  function keyOf(on) { return `${state.frame} ${on.map(Number).join("")}`; }

  // of the frame that is shown, when it has come
  let original = { t: -1, rgba: null };
  const frameOf = clipFrames(ui, model, data.clip, (t) => { if (t === state.frame) findOriginal(); });
  const findOriginal = ui.guard(async () => {
    const t = state.frame;
    if (original.t === t) return;
    // frames that a slider only passes are not asked for
    if (frames > 1) await new Promise((done) => setTimeout(done, 100));
    const image = t === state.frame && await frameOf(t);
    if (!image || t !== state.frame) return;
    original = { t, rgba: pixelsOf(image, width, height) };
    said();
  });

  function put({ rgba, width: w, height: h }) {
    const context = canvas.getContext("2d");
    if (w === width && h === height) return context.putImageData(new ImageData(rgba, w, h), 0, 0);
    coarse.width = w;
    coarse.height = h;
    coarse.getContext("2d").putImageData(new ImageData(rgba, w, h), 0, 0);
    context.drawImage(coarse, 0, 0, width, height);
  }
  const coarse = document.createElement("canvas");

  function keep(key, image) {
    kept.set(key, image);
    if (kept.size > most) kept.delete(kept.keys().next().value);
  }

  function changed() {
    stop();
    tiles.forEach((tile, n) => { tile.box.checked = state.on[n]; });
    const on = state.on.slice(), key = keyOf(on), used = on.filter(Boolean).length;
    if (on.every((v, n) => v === rung(used)[n])) ladder.set(used);
    else ladder.say(`${used} of ${count} grids`);
    const done = (image) => {
      keep(key, image);
      put(image);
      describe(on, image);
      fillLadder();
    };
    findOriginal();
    const ready = kept.get(key) ?? (small ? preview(on) : null);
    if (ready) return done(ready);
    put(preview(on));
    describe(on, null);
    stop = inSlices(codec.decode(on, state.frame), ui.guard(done));
  }

  // the slider's other pictures, while nothing else is to do
  function fillLadder() {
    for (let k = count; k >= 0; k--) {
      const on = rung(k), key = keyOf(on);
      if (kept.has(key)) continue;
      stop = inSlices(codec.decode(on, state.frame), (image) => {
        keep(key, image);
        fillLadder();
      }, 6);
      return;
    }
    codec.release();
  }

  function describe(on, image) {
    const names = on.flatMap((v, n) => (v ? [n] : []));
    const used = on.reduce((sum, v, n) => sum + (v ? codec.grids[n].total_bits : 0), 0);
    let text = `Shown: ${names.length === count ? "all grids" : names.length ? "grid " + names.join(", ") : "no grid"}` +
      `\nTheir latents take ${number(used / pixels)} bits per pixel`;
    if (image && original.t === state.frame) image.psnr ??= psnr(image.rgba, original.rgba);
    text += image?.psnr === undefined ? "\n…" :
      `\n${image.psnr.toFixed(2)} dB against the original${frames > 1 ? " of this frame" : ""}`;
    said = () => describe(on, image);
    say(text);
    canvas.setAttribute("aria-label", `Reconstruction. ${text}`);
  }

  tiles.forEach((tile) => tile.paint());
  pointTo(height >> 1, width >> 1);
  changed();
}

function psnr(a, b) {
  let sum = 0;
  for (let p = 0; p < a.length; p += 4) {
    for (let c = 0; c < 3; c++) sum += (a[p + c] - b[p + c]) ** 2;
  }
  return -10 * Math.log10(Math.max(1e-12, (4 * sum) / (3 * a.length * 255 * 255)));
}

function pixelsOf(image, width, height) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  canvas.width = 0;  // frees it now
  return data;
}

export default { render };
