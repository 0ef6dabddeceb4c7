// Soft-rounding and its noise: Figs. 3 and 12 with their numbers in your hand.

const POINTS = 241, REACH = 1.5, SAMPLES = 128;
const grid = Float64Array.from({ length: POINTS }, (_, i) => -REACH + (2 * REACH * i) / (POINTS - 1));

// s_T (Eq. 20), its slope, and r_T (Eq. 21); T = Infinity is the identity
function rounding(T) {
  if (T === Infinity) return { s: (x) => x, slope: () => 1, r: (y) => y };
  const height = 2 * Math.tanh(0.5 / T);
  const middle = (x) => Math.floor(x) + 0.5;
  return {
    s: (x) => middle(x) + Math.tanh((x - middle(x)) / T) / height,
    slope: (x) => 1 / (Math.cosh((x - middle(x)) / T) ** 2 * T * height),
    r: (y) => {
      const v = y - 0.5, m = middle(v);
      const t = Math.min(1 - 1e-6, Math.max(-1 + 1e-6, (v - m) * height));
      return m + T * Math.atanh(t) + 0.5;
    },
  };
}

// the noise's quantile function and density (Eqs. 22, 23), centered on zero
function noise(a) {
  const b = (2 ** a * (a - 1) + 1) / a;
  return {
    quantile: (p) => (1 - (1 - p) ** (1 / b)) ** (1 / a) - 0.5,
    density: (u) => a * b * (u + 0.5) ** (a - 1) * (1 - (u + 0.5) ** a) ** (b - 1),
  };
}

// Mean and 95 % band of the noisy soft-rounded value and of its derivative, at one latent z
function statistics(z, T, a, secondIsS) {
  const { s, slope, r } = rounding(T), { quantile } = noise(a);
  const value = (u) => (secondIsS ? s(s(z) + u) : r(s(z) + u));
  // the derivative of r_T at y is 1 / s_T'(r_T(y) - 1/2)
  const derivative = (u) => slope(z) * (secondIsS ? slope(s(z) + u) : 1 / slope(r(s(z) + u) - 0.5));
  let mean = 0;
  const slopes = new Float64Array(SAMPLES);
  for (let i = 0; i < SAMPLES; i++) {
    const u = quantile((i + 0.5) / SAMPLES);
    mean += value(u) / SAMPLES;
    slopes[i] = derivative(u);
  }
  slopes.sort();
  return {  // both roundings rise, so quantiles of the noise give quantiles of the value
    mean, low: value(quantile(0.025)), high: value(quantile(0.975)),
    slopeLow: slopes[Math.round(0.025 * SAMPLES)], slopeHigh: slopes[Math.round(0.975 * SAMPLES) - 1],
  };
}

// of the mean at z, by a central difference: the mean derivative, without its heavy tail
function meanSlope(z, T, a, secondIsS) {
  const h = 0.01, at = (x) => statistics(x, T, a, secondIsS).mean;
  return (at(z + h) - at(z - h)) / (2 * h);
}

// the slider's positions 0..99 are 0.02 to 1 in equal factors; 100 is no soft-rounding
const temperature = (position) => (position >= 100 ? Infinity : 0.02 * 50 ** (position / 99));
const position = (T) => (T === Infinity ? 100 : Math.round((99 * Math.log(T / 0.02)) / Math.log(50)));

const MOST_SLOPE = 12;  // of the gradient's axis, which stays, so that growth is seen

export default explorer("A latent z is soft-rounded, noise is added, and the sum is soft-rounded again. Play stage 1, or set T " +
  "and a; drag z in a chart.", async (ui, model) => {
  const { temperature: ends, noise_shape: shapes } = model.get("data");
  const along = ([start, end], progress) => start + (end - start) * progress;
  const state = { T: along(ends, 0), a: along(shapes, 0), z: 0.3, secondIsS: false };
  const sign = (v) => number(v, 3);
  const showT = (T) => (T === Infinity ? "∞: none" : T.toFixed(3));

  const sliders = ui.row(ui.body, "c3-row c3-controls");
  function toStage(v) {
    state.T = along(ends, v / 100);
    state.a = along(shapes, v / 100);
    stage.set(v);
    draw();
  }
  const stage = ui.slider(sliders, { label: "Position in stage 1", min: 0, max: 100, value: 0,
    show: (v) => `${v} %`, hint: "0: the first step of stage 1; 100: the last. Sets T and a." }, toStage);
  ui.player(sliders, "Go through stage 1", (first) => {
    const at = stage.input.valueAsNumber;
    if (at === 100 && !first) return false;
    toStage(at === 100 ? 0 : at + 1);
  }, () => 60);
  const zSlider = ui.slider(sliders, { label: "Latent z", min: -1.5, max: 1.5, step: 0.05, value: state.z,
    show: sign, hint: "Where the numbers below are read: the dotted line." }, toZ);
  const byHand = (name) => (v) => {
    state[name] = name === "T" ? temperature(v) : v;
    stage.away("by hand");
    draw();
  };
  const tSlider = ui.slider(sliders, { label: "Temperature T", min: 0, max: 100, value: position(state.T),
    show: (v) => showT(temperature(v)), hint: "Small: nearly rounding. Large: nearly nothing." }, byHand("T"));
  const aSlider = ui.slider(sliders, { label: "Noise shape a", min: 1, max: 4, step: 0.05, value: state.a,
    show: (v) => v.toFixed(2), hint: "1: uniform noise. Larger: noise closer to zero." }, byHand("a"));
  ui.check(sliders, "second rounding is s again, not r", state.secondIsS, (on) => {
    state.secondIsS = on;
    draw();
  });

  function toZ(z) {
    state.z = z;
    draw();
  }
  const charts = ui.row(ui.body, "c3-side"), drag = (z) => toZ(Math.round(20 * z) / 20);
  const value = chart(ui, charts, "What the decoder sees", "latent z (steps)", { drag, yLabel: "value (steps)" });
  const slope = chart(ui, charts, "Gradient with respect to z", "latent z (steps)", { drag });
  const density = chart(ui, charts, "Density of the noise", "noise u (steps)", { width: 240 });
  const legend = ui.row(ui.body, "c3-note");
  legend.append("Blue: mean; shaded: 95 % of all draws; dashed gray: rounding, which stage 2 does; dotted: z.");
  const say = ui.readout(ui.body);

  function draw() {
    const { T, a, z, secondIsS } = state;
    tSlider.set(position(T), showT(T));
    aSlider.set(a);
    zSlider.set(z);
    const all = Array.from(grid, (x) => statistics(x, T, a, secondIsS));
    const of = (name) => all.map((s) => s[name]);
    const means = of("mean");
    const slopes = means.map((_, i) => {
      const left = Math.max(0, i - 1), right = Math.min(POINTS - 1, i + 1);
      return (means[right] - means[left]) / (grid[right] - grid[left]);
    });
    const here = statistics(z, T, a, secondIsS), hereSlope = meanSlope(z, T, a, secondIsS);
    const words = `T ${showT(T)}, a ${a.toFixed(2)}. At z = ${sign(z)}: mean ${sign(here.mean)}, ` +
      `95 % of the values from ${sign(here.low)} to ${sign(here.high)}; mean gradient ${sign(hereSlope)}, ` +
      `95 % from ${sign(here.slopeLow)} to ${sign(here.slopeHigh)}.`;
    const stairs = [[-1.5, -0.5, -0.5, 0.5, 0.5, 1.5], [-1, -1, 0, 0, 1, 1]];
    const cursor = { vline: z, color: INK, dash: "2 3" };
    value.draw({ x: [-REACH, REACH], y: [-2, 2], text: words, items: [
      { band: [grid, of("low"), of("high")], color: BLUE },
      { line: stairs, color: GRAY, dash: "4 3", width: 1.5 },
      { line: [grid, means], color: BLUE }, cursor, { dots: [[z], [here.mean]], color: BLUE }] });
    slope.draw({ x: [-REACH, REACH], y: [0, MOST_SLOPE], text: words, items: [
      { band: [grid, of("slopeLow"), of("slopeHigh")], color: BLUE },
      { line: [grid, slopes], color: BLUE }, cursor, { dots: [[z], [hereSlope]], color: BLUE }] });
    const us = Float64Array.from({ length: 201 }, (_, i) => -0.5 + i / 200), p = noise(a).density;
    density.draw({ x: [-0.6, 0.6], y: [0, 3], text: `Noise shape a = ${a.toFixed(2)}.`, items: [
      { band: [us, us.map(() => 0), us.map(p)], color: ORANGE },
      { line: [[-0.5, ...us, 0.5], [0, ...us.map(p), 0]], color: ORANGE }] });
    say(words);
  }
  await warmUp(4, draw);
});
