// Pictures of one scene over each other: wipe or flip between two, all at one zoom and place (Fig. 25).

const WIPE = 0, FLIP = 1, SIDE = 2, ERROR = 3, MOST_ERROR = 32;  // levels of 255

export default explorer("Drag the line to wipe. Click the picture or press Space to flip, where eyes notice small changes. " +
  "Zoom with the slider or Ctrl and wheel; drag or use arrow keys to move.", async (ui, model) => {
  const { pictures } = model.get("data"), bitmaps = await Promise.all(pictures.map(bitmap));
  const names = pictures.map((p) => p.name), { width, height } = pictures[0];
  const state = { a: 0, b: 1, mode: WIPE, wipe: 0.5, front: 0, zoom: 1, x: width / 2, y: height / 2 };

  const controls = ui.row(ui.body, "c3-row c3-controls");
  ui.choice(controls, "A", names, state.a, (i) => { state.a = i; draw(); });
  ui.choice(controls, "B", names, state.b, (i) => { state.b = i; draw(); });
  const view = ui.choice(controls, "View", ["wipe", "flip", "side by side", "error of B against A"], WIPE, setMode);
  const flipper = ui.button(controls, "flip", "Show the other picture: Space, or a click on the picture", flip);
  const sliders = ui.row(ui.body, "c3-row c3-controls");
  const wipe = ui.slider(sliders, { label: "Wipe", min: 0, max: 100, value: 50, show: (v) => `${v} % A`,
    hint: "How much of A is seen" }, (v) => { state.wipe = v / 100; draw(); });
  const zoom = ui.slider(sliders, { label: "Zoom", min: 1, max: 16, step: 0.25, value: 1 }, (v) => zoomTo(v));

  const scale = Math.min(880 / width, 360 / height), shownWidth = Math.round(width * scale);
  const shownHeight = Math.round(height * scale);
  let drag = null;
  const canvas = ui.picture(ui.body, "", shownWidth, shownHeight, {
    hint: "Drag to move, or focus and use the arrow keys; drag the line; click or Space flips", cursor: "grab",
    move: (dx, dy) => moveTo(state.x + (4 * dx) / state.zoom, state.y + (4 * dy) / state.zoom),
    point: (x, y, event) => {
      if (event.type === "pointerdown") drag = { onLine: onLine(x), x, y, from: [state.x, state.y], moved: false };
      drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 3;
      if (!drag.moved) return;
      if (drag.onLine) {
        state.wipe = clamp(x / shownWidth, 0, 1);
        wipe.set(Math.round(100 * state.wipe));
        draw();
      } else {
        const pixels = state.zoom * scale;
        moveTo(drag.from[0] + (drag.x - x) / pixels, drag.from[1] + (drag.y - y) / pixels);
      }
    } });
  canvas.style.imageRendering = "auto";  // it is drawn as large as it is shown
  const tags = [0, 1].map(() => make("div", { class: "c3-tag" }));
  overlay(canvas, ...tags);
  const onLine = (x) => state.mode === WIPE && Math.abs(x - state.wipe * shownWidth) < 12;
  ui.listen(canvas, "pointermove", (event) => {
    if (!event.buttons) canvas.style.cursor = onLine((event.offsetX * shownWidth) / canvas.clientWidth) ? "ew-resize" : "grab";
  });
  ui.listen(canvas, "click", () => { if (!drag?.moved) flip(); });
  ui.listen(canvas, "keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    flip();
  });
  ui.listen(canvas, "wheel", (event) => {  // only with Ctrl, so that the page can be scrolled over it
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoomTo(state.zoom * (event.deltaY < 0 ? 1.25 : 0.8), event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
  });
  const say = ui.readout(ui.body);

  function setMode(mode) {
    state.mode = mode;
    view.value = mode;
    draw();
  }

  function flip() {
    state.front = state.mode === FLIP ? 1 - state.front : 1;
    setMode(FLIP);
  }

  // the pixel at these shares of the canvas stays where it is
  function zoomTo(value, x = 0.5, y = 0.5) {
    const [left, top, w, h] = seen(1), old = state.zoom;
    state.zoom = clamp(value, 1, 16);
    state.x = left + x * w + ((0.5 - x) * w * old) / state.zoom;
    state.y = top + y * h + ((0.5 - y) * h * old) / state.zoom;
    draw();
  }

  function moveTo(x, y) {
    state.x = x;
    state.y = y;
    draw();
  }

  // the part of a picture that is seen in a view of a share `part` of the canvas' width
  function seen(part) {
    const w = (width / state.zoom) * part, h = height / state.zoom;
    state.x = clamp(state.x, w / 2, width - w / 2);
    state.y = clamp(state.y, h / 2, height - h / 2);
    return [state.x - w / 2, state.y - h / 2, w, h];
  }

  let error = { of: "" };
  async function errorOf(a, b) {
    if (error.of === `${a} ${b}`) return;
    error = { of: `${a} ${b}` };
    const { rgba } = errorPicture(rgbaOf(bitmaps[a]), rgbaOf(bitmaps[b]), width, MOST_ERROR);
    error = { of: `${a} ${b}`, bitmap: await createImageBitmap(new ImageData(rgba, width)) };
    draw();
  }

  function draw() {
    const { a, b, mode } = state, caption = (i) => `${i === a ? "A" : "B"}: ${pictures[i].words.replace(" bits per pixel", " bpp")}`;
    let words = `A: ${pictures[a].words}\nB: ${pictures[b].words}`, line = null;
    if (mode === SIDE) {
      const part = seen(0.5), half = shownWidth / 2, pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = part[2] > half;
      pen.drawImage(bitmaps[a], ...part, 0, 0, half, shownHeight);
      pen.drawImage(bitmaps[b], ...part, half, 0, half, shownHeight);
      line = 0.5;
    } else if (mode === FLIP) drawWiped(canvas, [bitmaps[state.front ? b : a]], 1, seen(1));
    else if (mode === ERROR) {
      ui.guard(errorOf)(a, b);
      if (error.bitmap) drawWiped(canvas, [error.bitmap], 1, seen(1));
      words += `\nBlack: no error; yellow: ${MOST_ERROR} of 255 levels or more, mean of the three colors`;
    } else {
      drawWiped(canvas, [bitmaps[a], bitmaps[b]], state.wipe, seen(1));
      line = state.wipe;
    }
    // A's label ends at the line, B's begins there
    tags[0].textContent = mode === ERROR ? `|B − A|: ${names[b]}` : mode === FLIP && state.front ? caption(b) : caption(a);
    tags[1].textContent = caption(b);
    tags[1].hidden = line === null || line > 0.97;
    tags[0].hidden = line !== null && line < 0.03;
    tags[0].style.cssText = line === null ? "left: 0; max-width: 100%" : `right: ${100 * (1 - line)}%; max-width: ${100 * line}%`;
    tags[1].style.cssText = line === null ? "" : `left: ${100 * line}%; max-width: ${100 * (1 - line)}%`;
    wipe.input.disabled = mode !== WIPE;
    flipper.disabled = mode === SIDE;
    zoom.set(state.zoom, `${number(state.zoom * scale * ((canvas.clientWidth || shownWidth) / shownWidth), 2)}×`);
    say(words);
    canvas.setAttribute("aria-label", `${["Wipe", "Flip", "Side by side", "Error"][mode]}, zoom ${number(state.zoom)}. ${words}`);
  }
  draw();
});
