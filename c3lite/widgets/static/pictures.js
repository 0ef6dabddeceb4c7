// Pictures of one scene over each other: wipe or flip between two, all at one zoom and place (Fig. 25).

async function render({ model, el }) {
  const ui = panel(el, model, "Compare pictures",
    "Two pictures at the same place and zoom. Wipe: drag the line. Flip: see them in turn, where eyes notice " +
    "small changes. Zoom in with the slider; drag the picture or use its arrow keys to move.");
  await ui.guard(build)(ui, model);
}

async function build(ui, model) {
  const { pictures } = model.get("data");
  const bitmaps = await Promise.all(pictures.map(bitmap)), names = pictures.map((p) => p.name);
  const { width, height } = pictures[0], last = pictures.length - 1;
  const state = { a: 0, b: Math.min(1, last), mode: 0, wipe: 0.5, front: 0, zoom: 1, x: width / 2, y: height / 2 };
  const WIPE = 0, FLIP = 1, SIDE = 2;

  const controls = ui.row(ui.body, "c3-row c3-controls");
  ui.choice(controls, "Left (A)", names, state.a, (i) => { state.a = i; draw(); });
  ui.choice(controls, "Right (B)", names, state.b, (i) => { state.b = i; draw(); });
  ui.choice(controls, "View", ["wipe", "flip", "side by side"], WIPE, (i) => { state.mode = i; draw(); });
  const sliders = ui.row(ui.body, "c3-row c3-controls");
  const wipe = ui.slider(sliders, { label: "Wipe", min: 0, max: 100, value: 50, show: (v) => `${v} % A`,
    hint: "How much of the left picture is seen" }, (v) => { state.wipe = v / 100; draw(); });
  const flip = ui.button(sliders, "flip A/B", "Show the other picture", () => { state.front = 1 - state.front; draw(); });
  const zoom = ui.slider(sliders, { label: "Zoom", min: 1, max: 16, step: 0.5, value: 1, show: (v) => `${v}×` },
    (v) => { state.zoom = v; draw(); });

  const most = 880, shownHeight = Math.min(560, Math.round((most * height) / width));
  const shownWidth = Math.round((shownHeight * width) / height);
  let drag = null;
  const canvas = ui.picture(ui.body, "", shownWidth, shownHeight, {
    hint: "Drag to move, or focus and use the arrow keys; in a wipe, drag the line",
    move: (dx, dy) => moveTo(state.x + (4 * dx) / state.zoom, state.y + (4 * dy) / state.zoom),
    point: (x, y, event) => {
      if (event.type === "pointerdown") {
        canvas.setPointerCapture(event.pointerId);
        const onLine = state.mode === WIPE && (Math.abs(x - state.wipe * shownWidth) < 12 || state.zoom === 1);
        drag = { onLine, x, y, from: [state.x, state.y] };
      }
      if (!drag || !event.buttons) return;
      if (drag.onLine) {
        state.wipe = clamp(x / shownWidth, 0, 1);
        wipe.set(Math.round(100 * state.wipe));
        draw();
      } else {
        const scale = state.zoom * (shownWidth / width);
        moveTo(drag.from[0] + (drag.x - x) / scale, drag.from[1] + (drag.y - y) / scale);
      }
    } });
  canvas.style.touchAction = "none";
  ui.listen(canvas, "wheel", (event) => {  // only with Ctrl, so that the page can be scrolled over it
    if (!event.ctrlKey) return;
    event.preventDefault();
    state.zoom = clamp(state.zoom * (event.deltaY < 0 ? 1.25 : 0.8), 1, 16);
    zoom.set(state.zoom);
    zoom.say(`${number(state.zoom, 3)}×`);
    draw();
  });
  const say = ui.readout(ui.body);

  function moveTo(x, y) {
    state.x = x;
    state.y = y;
    draw();
  }

  // the part of a picture that is seen in a view of a share `part` of the canvas' width
  function view(part) {
    const w = (width / state.zoom) * part, h = height / state.zoom;
    state.x = clamp(state.x, w / 2, width - w / 2);
    state.y = clamp(state.y, h / 2, height - h / 2);
    return [state.x - w / 2, state.y - h / 2, w, h];
  }

  function tag(pen, text, x, align) {
    pen.font = "13px sans-serif";
    pen.textAlign = align;
    const w = pen.measureText(text).width + 12;
    pen.fillStyle = "rgba(0, 0, 0, 0.65)";
    pen.fillRect(align === "left" ? x : x - w, 0, w, 22);
    pen.fillStyle = "#fff";
    pen.fillText(text, align === "left" ? x + 6 : x - 6, 16);
  }

  function draw() {
    const pen = canvas.getContext("2d"), { a, b, mode } = state;
    pen.imageSmoothingEnabled = state.zoom * (shownWidth / width) < 1;
    const whole = view(1);
    if (mode === SIDE) {
      const part = view(0.5), half = Math.floor(shownWidth / 2);
      pen.drawImage(bitmaps[a], ...part, 0, 0, half, shownHeight);
      pen.drawImage(bitmaps[b], ...part, half, 0, shownWidth - half, shownHeight);
      line(pen, half);
    } else if (mode === FLIP) {
      pen.drawImage(bitmaps[state.front ? b : a], ...whole, 0, 0, shownWidth, shownHeight);
    } else {
      const at = Math.round(state.wipe * shownWidth);
      pen.drawImage(bitmaps[b], ...whole, 0, 0, shownWidth, shownHeight);
      pen.save();
      pen.beginPath();
      pen.rect(0, 0, at, shownHeight);
      pen.clip();
      pen.drawImage(bitmaps[a], ...whole, 0, 0, shownWidth, shownHeight);
      pen.restore();
      if (at > 0 && at < shownWidth) line(pen, at);
    }
    const caption = (i) => pictures[i].words.replace(" bits per pixel", " bpp");
    if (mode === FLIP) tag(pen, state.front ? `B: ${caption(b)}` : `A: ${caption(a)}`, 0, "left");
    else {
      tag(pen, `A: ${caption(a)}`, 0, "left");
      tag(pen, `B: ${caption(b)}`, shownWidth, "right");
    }
    wipe.input.disabled = mode !== WIPE;
    flip.disabled = mode !== FLIP;
    const words = `A: ${pictures[a].words}\nB: ${pictures[b].words}`;
    say(words);
    canvas.setAttribute("aria-label", `${["Wipe", "Flip", "Side by side"][mode]}, zoom ${number(state.zoom)}. ${words}`);
  }

  function line(pen, at) {
    pen.fillStyle = "#fff";
    pen.fillRect(at - 1, 0, 3, shownHeight);
    pen.fillStyle = "#000";
    pen.fillRect(at, 0, 1, shownHeight);
  }
  draw();
}

export default { render };
