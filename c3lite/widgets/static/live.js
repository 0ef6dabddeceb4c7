// A running fit: Python sends its curves and its picture every few seconds; here are the buttons.

const COLORS = [BLUE, ORANGE];

function render({ model, el }) {
  const ui = panel(el, model, "A fit, live",
    "Watch loss, rate and quality while the codec is fitted. Pause and go on at any time; " +
    "stop keeps the best so far as a usable fit.");
  const controls = ui.row(ui.body, "c3-row c3-controls");
  const command = (name) => () => model.send({ command: name });
  const start = ui.button(controls, "start", "Begin fitting", command("start"));
  const pause = ui.button(controls, "pause", "Hold the fit; nothing is lost", () =>
    command(model.get("status") === "paused" ? "resume" : "pause")());
  const stop = ui.button(controls, "stop", "End the fit now and keep the best so far", command("stop"));
  const bar = make("progress", { max: 1, value: 0, "aria-label": "Steps done" });
  controls.append(bar);
  const say = ui.readout(controls);

  const charts = ui.row();
  const plots = [
    { chart: chart(charts, "Loss", "step", 284, 190), name: "loss", logY: true },
    { chart: chart(charts, "Latent bits per pixel", "step", 284, 190), name: "bpp", logY: false },
    { chart: chart(charts, "PSNR (dB)", "step", 284, 190), name: "psnr", logY: false },
  ];
  const pictures = ui.row(), shown = [];

  function showStatus() {
    const status = model.get("status"), busy = status === "running" || status === "paused";
    start.disabled = status !== "ready";
    pause.disabled = !busy;
    stop.disabled = !busy;
    pause.textContent = status === "paused" ? "resume" : "pause";
    if (model.exported) for (const button of [start, pause, stop]) button.disabled = true;
    say(model.exported ? `${model.get("message")} (This page is a record: a fit needs Python.)` : model.get("message"));
  }

  async function showRuns() {
    const runs = model.get("live").runs ?? [];
    bar.value = runs.length ? Math.min(...runs.map((run) => run.done / Math.max(1, run.total))) : 0;
    const curves = runs.filter((run) => run.step.length > 0);
    for (const { chart: plot, name, logY } of plots) {
      const values = curves.flatMap((run) => run[name]);
      if (!values.length) {
        plot.draw({ x: [0, 1], y: logY ? [1e-4, 1] : [0, 1], logY, items: [], text: "No steps yet." });
        continue;
      }
      const low = Math.min(...values), high = Math.max(...values), space = 0.05 * (high - low) + 1e-6;
      plot.draw({ x: [0, Math.max(...curves.map((run) => run.step.at(-1)), 1)], logY,
        y: logY ? [low / 1.1, high * 1.1] : [low - space, high + space],
        text: curves.map((run) => `${run.name}: now ${number(run[name].at(-1))}`).join("; "),
        items: curves.map((run, i) => ({ line: [run.step, run[name]], color: COLORS[i] })) });
    }
    for (const [i, run] of runs.entries()) {
      shown[i] ??= newPicture(run, i);
      shown[i].caption.textContent = run.words;
      const image = await bitmap(run.picture);
      shown[i].canvas.getContext("2d").drawImage(image, 0, 0);  // over the old one: nothing flashes
      shown[i].canvas.setAttribute("aria-label", `${run.name}: ${run.words}`);
    }
  }

  function newPicture(run, i) {
    const column = ui.row(pictures, "c3-column");
    column.append(make("div", { class: "c3-label", style: `color: ${COLORS[i]}; font-weight: 600` }, run.name));
    const { width, height } = run.picture;
    const canvas = ui.picture(column, run.name, width, height);
    canvas.style.width = `${pictureWidth(width, 430)}px`;
    column.style.maxWidth = `${Math.max(280, pictureWidth(width, 430))}px`;  // two beside each other
    const caption = make("div", { class: "c3-readout" });
    column.append(caption);
    return { canvas, caption };
  }

  const onStatus = ui.guard(showStatus), onRuns = ui.guard(showRuns);
  model.on("change:status", onStatus);
  model.on("change:message", onStatus);
  model.on("change:live", onRuns);
  onStatus();
  onRuns();
  return () => {
    model.off("change:status", onStatus);
    model.off("change:message", onStatus);
    model.off("change:live", onRuns);
  };
}

export default { render };
