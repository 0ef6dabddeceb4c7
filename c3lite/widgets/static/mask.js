// Where the entropy model looks in the previous frame (Figs. 14 and 15): heat map, box and clip.

const SCALE = 5, LEFT = 30, BOTTOM = 20, BAR = 46;  // screen pixels: an offset, axes, color bar

export default explorer("The map says how much weight each offset got in a short fit; the blue box of the largest sum becomes the " +
  "mask. Drag the box, or use arrow keys.", async (ui, model) => {
  const data = await unpack(model.get("data")), window = data.heat_maps[0].shape[0], center = window >> 1;
  const { boxes, size: [boxHeight, boxWidth], truth, clip } = data;
  const state = { n: 0, box: boxes[0].slice(), t: clip.count - 1, at: [clip.height >> 1, clip.width >> 1] };

  const controls = ui.row(ui.body, "c3-row c3-controls");
  ui.choice(controls, "Grid", boxes.map((_, n) => `${n}${n ? "" : " (finest)"}`), 0, (n) => {
    state.n = n;
    state.box = boxes[n].slice();
    state.t = Math.max(state.t, lag());
    draw();
  });
  ui.button(controls, "learned box", "Put the box back where the sum is largest", () => {
    state.box = boxes[state.n].slice();
    draw();
  });
  if (truth) ui.button(controls, "on the true motion", "Center the box on the true displacement", () => {
    moveBox(Math.round(truth[0]) - (boxHeight >> 1), Math.round(truth[1]) - (boxWidth >> 1));
  });

  const row = ui.row(ui.body, "c3-side"), left = ui.row(row, "c3-column"), right = ui.row(row, "c3-column"), side = window * SCALE;
  let grip = null;
  const heat = ui.picture(left, "", LEFT + side + BAR, side + BOTTOM, { hint: "Drag the box, or focus and use the arrow keys",
    cursor: "move", move: (dx, dy) => moveBox(state.box[0] + dy, state.box[1] + dx),
    point: (x, y, event) => {
      const [dy, dx] = [Math.floor(y / SCALE) - center, Math.floor((x - LEFT) / SCALE) - center];
      if (event.type === "pointerdown") {
        const inside = dy >= state.box[0] && dy < state.box[0] + boxHeight && dx >= state.box[1] && dx < state.box[1] + boxWidth;
        grip = inside ? [dy - state.box[0], dx - state.box[1]] : [boxHeight >> 1, boxWidth >> 1];
      }
      moveBox(dy - grip[0], dx - grip[1]);
    } });
  heat.style.background = "none";
  const legend = ui.row(left, "c3-note");
  legend.style.maxWidth = `${heat.width}px`;
  legend.textContent = "Blue: the box. Cross: no motion" + (truth ? "; ring: the true displacement." : ".");
  const say = ui.readout(left);

  // ------------------------------------------------------------ the clip
  const lag = () => 2 ** (data.exponents[state.n]);  // frames between a latent frame and the one before
  const whole = Math.ceil(250 / clip.width);  // screen pixels a pixel, unzoomed
  state.zoom = Math.ceil(3 / whole);  // so that a latent of the finest grid is seen
  const frame = clipFrames(clip);
  const bar = ui.row(right, "c3-row c3-controls");
  const slider = ui.slider(bar, { label: "Frame", min: 0, max: clip.count - 1, value: state.t }, (t) => { state.t = t; draw(); });
  ui.player(bar, "Play the clip", () => { state.t = (state.t + 1) % clip.count; draw(); }, () => 120);
  ui.slider(right, { label: "Zoom", min: 1, max: 8, value: state.zoom, show: (v) => `${v}×` }, (v) => {
    state.zoom = v;
    draw();
  });
  const title = make("b"), both = ui.row(right, "c3-side c3-even");
  right.insertBefore(title, both);
  // drawn as large as a frame enlarged, for thin lines
  const show = (name, note) => {
    const column = ui.row(both, "c3-column");
    const canvas = ui.picture(column, name, clip.width * whole, clip.height * whole, { hint: "Click, or focus and use the arrow keys",
      move: (dx, dy) => moveTarget(state.at[0] + dy, state.at[1] + dx),
      point: (x, y) => {
        const { scale, top, left } = view();
        moveTarget(top + y / scale, left + x / scale);
      } });
    canvas.style.imageRendering = "auto";
    canvas.style.maxHeight = "300px";
    column.append(make("div", { class: "c3-note" }, note));
    return canvas;
  };
  const before = show("The frame before", "The frame before, with the mask (blue); dashed: the same place");
  const now = show("This frame", "This frame: a latent (orange) and its context");

  // the part of a frame that is seen: around the latent and the box, if both fit in
  function view() {
    const unit = lag(), place = (axis, side) => {
      const length = side / state.zoom, offset = unit * (state.box[axis] + [boxHeight, boxWidth][axis] / 2);
      const middle = state.at[axis] + clamp(offset / 2, unit - length / 2, length / 2 - unit);
      return clamp(middle - length / 2, 0, side - length);
    };
    return { scale: whole * state.zoom, top: place(0, clip.height), left: place(1, clip.width) };
  }

  function moveTarget(y, x) {
    state.at = [clamp(Math.floor(y), 0, clip.height - 1), clamp(Math.floor(x), 0, clip.width - 1)];
    draw();
  }

  function moveBox(dy, dx) {
    state.box = [clamp(dy, -center, window - center - boxHeight), clamp(dx, -center, window - center - boxWidth)];
    draw();
  }

  const maps = new Map();
  function mapOf(n) {
    if (!maps.has(n)) {
      const values = data.heat_maps[n], most = Math.max(...values) || 1;
      maps.set(n, { canvas: make("canvas"), most });
      paint(maps.get(n).canvas, window, window, values, (v) => heatColor(v / most));
    }
    return maps.get(n);
  }

  function sumIn(n, [dy, dx]) {
    let sum = 0;
    for (let i = 0; i < boxHeight; i++) for (let j = 0; j < boxWidth; j++) {
      sum += data.heat_maps[n][(dy + center + i) * window + dx + center + j];
    }
    return sum;
  }

  const range = (from, length) => (length === 1 ? number(from) : `${number(from)} to ${number(from + length - 1)}`);

  function draw() {
    const { n, box } = state, values = data.heat_maps[n], pen = heat.getContext("2d");
    const total = values.reduce((sum, v) => sum + v, 0);
    const { canvas, most } = mapOf(n), place = (v) => (v + center) * SCALE;
    drawAxes(pen, most);
    pen.save();
    pen.translate(LEFT, 0);
    pen.imageSmoothingEnabled = false;
    pen.drawImage(canvas, 0, 0, side, side);
    pen.lineWidth = 2;
    pen.strokeStyle = "#fff";
    for (const [a, b] of [[1, 0], [0, 1]]) {
      pen.beginPath();
      pen.moveTo(place(0.5) - 6 * a, place(0.5) - 6 * b);
      pen.lineTo(place(0.5) + 6 * a, place(0.5) + 6 * b);
      pen.stroke();
    }
    if (truth) {
      pen.lineWidth = 3;
      pen.beginPath();
      pen.arc(place(truth[1] + 0.5), place(truth[0] + 0.5), 10, 0, 7);  // leaves the map's cell free
      pen.stroke();
    }
    pen.lineWidth = 3;
    pen.strokeStyle = "#56B4E9";
    pen.strokeRect(place(box[1]) - 1, place(box[0]) - 1, boxWidth * SCALE + 2, boxHeight * SCALE + 2);
    pen.restore();

    const sum = sumIn(n, box), best = sumIn(n, boxes[n]);
    const inside = truth && Math.round(truth[0]) >= box[0] && Math.round(truth[0]) < box[0] + boxHeight &&
      Math.round(truth[1]) >= box[1] && Math.round(truth[1]) < box[1] + boxWidth;
    const words = `Grid ${n}: box at dy ${range(box[0], boxHeight)}, dx ${range(box[1], boxWidth)}\n` +
      `Summed magnitude ${number(sum)}: ${number((100 * sum) / (best || 1))} % of the learned box's, ` +
      `${number((100 * sum) / (total || 1), 2)} % of the whole map` +
      (truth ? `\nTrue displacement dy ${number(truth[0])}, dx ${number(truth[1])}: ${inside ? "inside" : "outside"} the box` : "");
    say(words);
    heat.setAttribute("aria-label", `Heat map of first-layer weights. ${words}`);
    ui.guard(drawClip)();
  }

  // axes with signs around the map, and what its colors mean
  function drawAxes(pen, most) {
    pen.clearRect(0, 0, heat.width, heat.height);
    pen.fillStyle = getComputedStyle(ui.root).color;
    pen.font = "11px sans-serif";
    const end = center - (center % 10);
    for (let v = -end; v <= end; v += 10) {
      const at = (v + center + 0.5) * SCALE, text = v > 0 ? `+${v}` : number(v);
      pen.textAlign = "center";
      pen.fillText(text, LEFT + at, side + 12);
      pen.textAlign = "right";
      pen.fillText(text, LEFT - 3, at + 4);
    }
    pen.fillText("dy", LEFT - 3, side + 12);
    pen.textAlign = "left";
    pen.fillText("dx", LEFT + side + 4, side + 12);
    const top = 16, length = side - 32, x = LEFT + side + 8;
    pen.fillText(number(most, 2), x, 11);
    pen.fillText("0", x, side - 4);
    for (let y = 0; y < length; y++) {
      pen.fillStyle = `rgb(${heatColor(1 - y / length)})`;
      pen.fillRect(x, top + y, 10, 1);
    }
  }

  // at the edge of a frame, towards a place that is not in view
  function arrow(pen, x, y) {
    const { width, height } = pen.canvas, inX = clamp(x, 24, width - 24), inY = clamp(y, 24, height - 24);
    if (x >= 0 && y >= 0 && x <= width && y <= height) return;
    pen.save();
    pen.translate(inX, inY);
    pen.rotate(Math.atan2(y - inY, x - inX));
    pen.beginPath();
    for (const [a, b] of [[20, 0], [0, -13], [0, -5], [-20, -5], [-20, 5], [0, 5], [0, 13]]) pen.lineTo(a, b);
    pen.closePath();
    pen.fillStyle = "#56B4E9";
    pen.fill();
    pen.lineWidth = 2;
    pen.strokeStyle = "#000";
    pen.stroke();
    pen.restore();
  }

  async function drawClip() {
    const step = lag(), t = state.t, [y, x] = state.at, unit = step;
    slider.set(t);
    title.textContent = `frame ${t}, ` + (t < step ? "which has none to look back at" : `looking back at frame ${t - step}`);
    const [top, low] = [Math.floor(y / unit) * unit, Math.floor(x / unit) * unit];
    const current = await frame(t), previous = t >= step ? await frame(t - step) : null;
    if (t !== state.t) return;
    const pen = now.getContext("2d"), seen = view(), { scale } = seen, big = unit * scale;
    const outline = (pen, color, dy, dx, h = 1, w = 1) => {
      const place = [(low + dx * unit - seen.left) * scale, (top + dy * unit - seen.top) * scale, w * big, h * big];
      const strokes = pen.lineWidth > 1 ? [["#000", pen.lineWidth + 2], [color, pen.lineWidth]] : [[color, 1]];
      for (const [style, width] of strokes) {  // dark around it, to be seen on any picture
        pen.strokeStyle = style;
        pen.lineWidth = width;
        pen.strokeRect(...place);
      }
    };
    const picture = (pen, image) => {
      pen.imageSmoothingEnabled = false;
      pen.drawImage(image, -seen.left * scale, -seen.top * scale, clip.width * scale, clip.height * scale);
    };
    picture(pen, current);
    pen.lineWidth = 1;
    for (const [dy, dx] of data.offsets) outline(pen, "#56B4E9", dy, dx);
    pen.lineWidth = 2;
    outline(pen, "#E69F00", 0, 0);
    now.setAttribute("aria-label", `Frame ${t}, the latent at row ${top}, column ${low}`);
    const pen2 = before.getContext("2d");
    if (previous) picture(pen2, previous);
    else {
      pen2.fillStyle = "#e4e4e4";
      pen2.fillRect(0, 0, before.width, before.height);
    }
    pen2.lineWidth = 2;
    pen2.setLineDash([3, 2]);
    outline(pen2, "#E69F00", 0, 0);
    pen2.setLineDash([]);
    outline(pen2, "#56B4E9", ...state.box, boxHeight, boxWidth);
    arrow(pen2, (low - seen.left + (state.box[1] + boxWidth / 2) * unit) * scale,
      (top - seen.top + (state.box[0] + boxHeight / 2) * unit) * scale);
    before.setAttribute("aria-label", previous ? `Frame ${t - step} with the mask` : "No frame before: zeros");
  }
  // what is drawn on a canvas does not take another theme's colors by itself
  const themes = new MutationObserver(ui.guard(draw));
  themes.observe(document.body, { attributeFilter: ["data-jp-theme-name"] });
  ui.ends.push(() => themes.disconnect());
  draw();
});
