// Latent grids, and what each adds to the picture (Fig. 26).
//
// Every change is decoded here. A large picture is first shown from fewer pixels, at once, and is
// completed a few milliseconds at a time.

const PREVIEW_PIXELS = 20_000;  // decoded in some 12 ms
const PREVIEWS = 64;  // kept in memory, at most 80 kB each

const ALL = 0, BITS = 1, LOST = 2, MOST_ERROR = 32;  // what tiles show; levels of 255
const LEGENDS = ["White: zero; red: positive; blue: negative, each grid with its own scale.",
  "Dark: cheap; yellow: expensive (square-root scale, each grid its own).",
  `What is lost without the grid: black nothing, yellow ${MOST_ERROR} of 255 levels or more.`];

export default explorer("The decoder builds the picture from all grids together. Switch grids off, keep one alone, or go from coarse " +
  "to fine; click a place to read its latents.", async (ui, model) => {
  const data = await unpack(model.get("data"));
  const codec = new FittedCodec(data.codec), [frames, height, width] = codec.shape;
  const state = { on: codec.grids.map(() => true), frame: frames >> 1, at: [frames >> 1, height >> 1, width >> 1],
    tiles: ALL, lost: false };
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

  const top = ui.row(ui.body, "c3-side");
  const left = ui.row(top, "c3-column"), right = ui.row(top, "c3-column");
  right.style.flex = "1 1 260px";
  const canvas = ui.picture(left, "Reconstruction", width, height, {
    move: (dx, dy) => pointTo(state.at[1] + dy, state.at[2] + dx),
    point: (x, y) => pointTo(Math.floor(y), Math.floor(x)),
    hint: "Click, or focus and use the arrow keys (with Shift: 8 pixels)" });
  showWithin(canvas, 540, 270);
  const mark = marker(canvas);

  const first = ui.row(right, "c3-row c3-controls");
  const ladder = ui.slider(first, { label: "Coarse to fine", min: 0, max: count, value: count,
    show: (k) => (k === 0 ? "no grid" : k === count ? "all grids" : `${k} coarsest`),
    hint: "Only so many of the coarsest grids are switched on" }, (k) => use(rung(k)));
  ui.button(first, "all", "Switch all grids on", () => use(rung(count)));
  if (frames > 1) ui.slider(right, { label: "Frame", min: 0, max: frames - 1, value: state.frame }, (t) => {
    state.frame = t;
    pointTo(state.at[1], state.at[2]);
    paintTiles();
    changed();
  });
  const second = ui.row(right, "c3-row c3-controls");
  ui.choice(second, "Large picture", ["what is decoded", "what is lost by that"], 0, (i) => {
    state.lost = i === 1;
    changed();
  });
  ui.choice(second, "Small ones", ["the latents", "their bits", "what is lost without"], ALL, (i) => {
    state.tiles = i;
    paintTiles();
  });
  const legend = ui.row(right, "c3-note");
  const say = ui.readout(right), where = ui.readout(right);

  // ------------------------------------------------------------ one tile a grid
  const area = ui.row(ui.body, "c3-tiles"), pixels = height * width * frames;
  area.style.setProperty("--count", count);
  const total = codec.grids.reduce((sum, grid) => sum + grid.total_bits, 0) || 1;
  const tiles = codec.grids.map((grid, n) => {
    const [, h, w] = grid.shape, tile = ui.row(area, "c3-column c3-tile"), head = ui.row(tile);
    const box = ui.check(head, `grid ${n}`, true, (on) => use(state.on.map((v, m) => (m === n ? on : v))));
    box.parentNode.title = "Switch this grid on or off";
    ui.button(head, "only", `Keep grid ${n} alone`, () => use(state.on.map((_, m) => m === n)))
      .setAttribute("aria-label", `only grid ${n}`);
    const share = grid.total_bits / total;
    tile.append(make("div", { class: "c3-note" }, `${Math.round(100 * share)} % of bits`),
      make("div", { class: "c3-share", title: `${h}×${w} latents, ${number(grid.total_bits / pixels, 2)} bits per pixel` },
        make("div", { style: `width: ${100 * share}%` })));
    const move = (y, x) => pointTo(...[y, x].map((v) => ((2 * v + 1) << grid.exponent) >> 1));
    const here = () => codec.latentAt(n, state.at);
    const small = ui.picture(tile, "", w, h, { hint: "Click, or focus and use the arrow keys",
      move: (dx, dy) => { const [, y, x] = here(); move(clamp(y + dy, 0, h - 1), clamp(x + dx, 0, w - 1)); },
      point: (x, y) => move(...[y * (h / small.height), x * (w / small.width)].map(Math.floor)) });
    small.style.width = "100%";
    const dot = marker(small);
    small.parentNode.style.maxWidth = `${Math.round((110 * w) / h)}px`;
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
        small.setAttribute("aria-label", [`Latents of grid ${n}, from ${low} to ${high}`,
          `Bits of grid ${n}, at most ${number(most / codec.bits_unit)} a latent`, `What is lost without grid ${n}`][state.tiles]);
        if (state.tiles === LOST) {
          const whole = preview(rung(count)), without = preview(state.on.map((_, m) => m !== n));
          return put(small, errorPicture(whole.rgba, without.rgba, whole.width, MOST_ERROR));
        }
        const frameOf = (values) => values.subarray(t * h * w, (t + 1) * h * w);
        if (state.tiles === BITS) paint(small, w, h, frameOf(grid.bits), (v) => bitsColor(Math.sqrt(v / most)));
        else paint(small, w, h, frameOf(grid.symbols), (v) => latentColor(v, limit));
      },
      read() {
        const [t, y, x] = here(), { value, mu, scale, bits } = codec.predict(n, [t, y, x]);
        dot((x + 0.5) / w, (y + 0.5) / h);
        text.textContent = `value ${number(value)}\ncost ${bits.toFixed(2)} bits\nμ ${fixed(mu, 2)}\nscale ${scale.toFixed(2)}`;
      },
    };
  });

  function pointTo(y, x) {
    state.at = [state.frame, clamp(y, 0, height - 1), clamp(x, 0, width - 1)];
    mark((state.at[2] + 0.5) / width, (state.at[1] + 0.5) / height);
    tiles.forEach((tile) => tile.read());
    where(`Ring: row ${state.at[1]}, column ${state.at[2]}. Under each grid its latent there; μ and scale are what the ` +
      "decoder expected, in steps.");
  }

  function paintTiles() {
    tiles.forEach((tile) => tile.paint());
    legend.textContent = LEGENDS[state.tiles];
  }

  function use(on) {
    state.on = on;
    changed();
  }

  // ------------------------------------------------------------ the reconstruction
  const kept = new Map(), most = count + 2;  // of the slider's pictures, and one more
  let stop = () => {}, said = () => {};
  function keyOf(on) { return `${state.frame} ${on.map(Number).join("")}`; }

  // of the frame that is shown, when it has come
  let original = { t: -1, rgba: null };
  const frameOf = clipFrames(data.clip);
  const findOriginal = ui.guard(async () => {
    const t = state.frame;
    if (original.t === t) return;
    // frames that a slider only passes are not decoded
    if (frames > 1) await new Promise((done) => setTimeout(done, 100));
    const image = t === state.frame && await frameOf(t);
    if (!image || t !== state.frame) return;
    original = { t, rgba: rgbaOf(image) };
    said();
  });

  // decoded, or how far that is from the same decoding (a preview or not) of all grids
  function show(image) {
    const isWhole = image.width === width && image.height === height;
    if (state.lost) {
      const all = isWhole ? kept.get(keyOf(rung(count))) : preview(rung(count));
      if (!all) return show(preview(state.on));  // until fillLadder has it
      image = errorPicture(all.rgba, image.rgba, image.width, MOST_ERROR);
    }
    put(isWhole ? canvas : coarse, image);
    if (!isWhole) canvas.getContext("2d").drawImage(coarse, 0, 0, width, height);
  }
  const coarse = document.createElement("canvas");

  function keep(key, image) {
    kept.set(key, image);
    if (kept.size > most) kept.delete([...kept.keys()].find((old) => old !== keyOf(rung(count))));
  }

  function changed() {
    stop();
    tiles.forEach((tile, n) => { tile.box.checked = state.on[n]; });
    const on = state.on.slice(), key = keyOf(on), used = on.filter(Boolean).length;
    if (on.every((v, n) => v === rung(used)[n])) ladder.set(used);
    else ladder.away(`${used} of ${count} grids`);
    const done = (image) => {
      keep(key, image);
      show(image);
      describe(on, image);
      fillLadder();
    };
    findOriginal();
    const ready = kept.get(key) ?? (small ? preview(on) : null);
    if (ready) return done(ready);
    show(preview(on));
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
        if (state.lost && k === count) changed();
        else fillLadder();
      }, 6);
      return;
    }
    codec.release();
  }

  function describe(on, image) {
    const names = on.flatMap((v, n) => (v ? [n] : []));
    const used = on.reduce((sum, v, n) => sum + (v ? codec.grids[n].total_bits : 0), 0);
    let text = `${state.lost ? `Lost (yellow: ${MOST_ERROR} of 255 levels) with` : "Shown:"} ` +
      (names.length === count ? "all grids" : names.length ? "grid " + names.join(", ") : "no grid") +
      `\nTheir latents take ${number(used / pixels)} bits per pixel`;
    if (image && original.t === state.frame) image.psnr ??= psnr(image.rgba, original.rgba);
    text += image?.psnr === undefined ? "\n…" :
      `\n${image.psnr.toFixed(2)} dB against the original${frames > 1 ? " of this frame" : ""}`;
    said = () => describe(on, image);
    say(text);
    canvas.setAttribute("aria-label", `Reconstruction. ${text}`);
  }

  paintTiles();
  pointTo(height >> 1, width >> 1);
  changed();
});

function psnr(a, b) {
  let sum = 0;
  for (let p = 0; p < a.length; p += 4) {
    for (let c = 0; c < 3; c++) sum += (a[p + c] - b[p + c]) ** 2;
  }
  return -10 * Math.log10(Math.max(1e-12, (4 * sum) / (3 * a.length * 255 * 255)));
}
