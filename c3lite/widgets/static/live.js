// A running fit: Python sends its curves and its picture every few seconds; here are the buttons.

const COLORS = [BLUE, ORANGE], SILENCE_MS = 20_000;  // Python tells the time every second

const live = explorer("Loss, rate and quality while the codec is fitted. Pause and go on at any time; stop keeps " +
  "the best so far as a usable fit. Dashed: stage 2.", async (ui, model) => {
  const { stage2, total, original } = model.get("data"), state = { wipe: 0.5, gone: "", heard: performance.now() };
  const controls = ui.row(ui.body, "c3-row c3-controls");
  const command = (name) => () => model.send({ command: name });
  const start = ui.button(controls, "start", "Begin fitting, from the first step", command("start"));
  const pause = ui.button(controls, "pause", "Hold the fit; nothing is lost", () =>
    command(model.get("status") === "paused" ? "resume" : "pause")());
  const stop = ui.button(controls, "stop", "End the fit now and keep the best so far", command("stop"));
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Steps done" });
  controls.append(bar);
  const say = ui.readout(controls);

  const charts = ui.row(ui.body, "c3-side");
  const plots = [["Loss", "loss", true], ["Rate of the latents", "bpp", false], ["PSNR", "psnr", false]]
    .map(([title, name, logY], i) => ({ name, logY, chart: chart(ui, charts, title, "step",
      { width: 288, height: 145, yLabel: ["", "bits per pixel", "dB"][i] }) }));
  const row = ui.row(ui.body, "c3-side c3-even"), runs = model.get("live").runs;
  const left = ui.row(row, "c3-column"), right = ui.row(row, "c3-column");
  const heads = ui.row(left), both = runs.length > 1;
  const captions = runs.map((run, i) => {
    const name = make("b", { style: `color: ${COLORS[i]}` }, run.name), words = ui.row(left, "c3-readout");
    heads.append(make("span", {}, both ? `${["left", "right"][i]}: ` : "", name));
    return words;
  });
  const { width, height } = original, whole = Math.max(1, Math.floor(430 / width));
  const canvas = ui.picture(left, "", width * whole, height * whole, !both ? {} : { cursor: "ew-resize",
    hint: "Drag to wipe between the two, or focus and use the arrow keys",
    move: (dx) => wipe(state.wipe + dx / 50), point: (x) => wipe(x / canvas.width) });
  heads.after(canvas);
  right.append(make("div", {}, "the original"));
  const beside = ui.picture(right, "The original", width, height);
  for (const shown of [canvas, beside]) showWithin(shown, 430, 220);
  canvas.style.width = beside.style.width;
  beside.getContext("2d").drawImage(await bitmap(original), 0, 0);
  let bitmaps = [];

  function wipe(at) {
    state.wipe = clamp(at, 0, 1);
    drawPictures();
  }

  function drawPictures() {
    drawWiped(canvas, bitmaps, both ? state.wipe : 1, [0, 0, width, height]);
  }

  const time = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

  function showStatus() {
    const status = state.gone ? "gone" : model.get("status"), { elapsed_s: elapsed, left_s: rest } = model.get("clock");
    const busy = status === "running" || status === "paused";
    start.textContent = status === "ready" ? "start" : "fit again";
    start.disabled = busy || status === "finishing" || status === "gone";
    pause.disabled = stop.disabled = !busy;
    pause.textContent = status === "paused" ? "resume" : "pause";
    for (const button of [start, pause, stop]) button.hidden = Boolean(model.exported);
    bar.hidden = status === "ready";
    let text = state.gone || model.get("message");
    if (elapsed > 0) text += `; ${time(elapsed)} elapsed`;
    if (busy && rest !== null) text += `, about ${time(rest)} left`;
    if (model.exported) text = (status === "ready" ? "Not started" : `A record. ${text}`) + ". A fit needs Python: run it in a notebook.";
    if (text !== say.text) say(say.text = text);
  }

  async function showRuns() {
    const runs = model.get("live").runs, curves = runs.filter((run) => run.step.length > 0);
    bar.value = Math.min(...runs.map((run) => run.done / Math.max(1, run.total)));
    charts.hidden = !curves.length;  // axes without a curve would say something false
    for (const { chart: plot, name, logY } of plots) {
      const values = curves.flatMap((run) => run[name]);
      if (!values.length) continue;
      const low = Math.min(...values), high = Math.max(...values), space = 0.05 * (high - low) + 1e-6;
      plot.draw({ x: [0, total], logY, y: logY ? [low / 1.1, high * 1.1] : [low - space, high + space],
        text: curves.map((run) => `${run.name}: now ${number(run[name].at(-1))}`).join("; "),
        items: [...stage2.map((step) => ({ vline: step, color: GRAY, dash: "4 3" })),
          ...curves.map((run, i) => ({ line: [run.step, run[name]], color: COLORS[i] }))] });
    }
    runs.forEach((run, i) => { captions[i].textContent = (both ? `${run.name}: ` : "") + run.words; });
    bitmaps = await Promise.all(runs.map((run) => bitmap(run.picture)));
    canvas.setAttribute("aria-label", runs.map((run) => `${run.name}: ${run.words}`).join("; "));
    drawPictures();
  }

  function heard() {
    state.heard = performance.now();
    state.gone = "";
    showStatus();
  }
  function gone(text) {
    state.gone = `${text}: run the cell again`;
    showStatus();
  }
  const going = () => !model.exported && ["running", "paused", "finishing"].includes(model.get("status"));
  // ipywidgets', when its kernel restarts
  ui.on("comm_live_update", () => gone("The kernel was restarted, and the fit with it is gone"));
  ui.every(1000, () => {
    if (going() && performance.now() - state.heard > SILENCE_MS) gone("Nothing was heard of the kernel for a while");
  });
  for (const name of ["status", "message", "clock"]) ui.on(`change:${name}`, heard);
  ui.on("change:live", showRuns);
  showStatus();
  await showRuns();
});

const views = new Set();  // of this fit: every widget has this module for itself

// As `live`; and the last view that closes, as when its cell runs again, stops the fit.
export default { async render({ model, el }) {
  for (const view of views) if (!view.el.isConnected) view.close();  // replaced, when its output was updated
  const close = await live.render({ model, el });
  const view = { el, close() { views.delete(view); close(); } };
  views.add(view);
  return () => {
    view.close();
    if (!views.size && ["running", "paused"].includes(model.get("status"))) model.send({ command: "close" });
  };
} };
