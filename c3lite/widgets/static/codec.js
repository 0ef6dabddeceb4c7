// The decoder and the entropy model of a fit, from the arrays of fitted.py: a second decoder beside
// c3lite/coding/pixels.py, so that every combination of grids can be seen without asking Python.
//
// An image is a video of one frame here: shapes are [frames, height, width]. Latents, mu and scale
// are in steps. A test in a browser holds both decoders together.

// What c3lite/ingredients/activations.py names, in place: entries `from` to `from + n` of y
const ACTIVATIONS = {
  relu(y, from, n) {
    for (let p = from; p < from + n; p++) if (y[p] < 0) y[p] = 0;
  },
  // its tanh approximation, from a table between -8 and 8
  gelu: tabulated((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))),
};

function activation(name) {
  if (Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name];
  throw new Error(`the decoder in the browser does not have the activation "${name}": add it to ACTIVATIONS in codec.js`);
}

// f, which is 0 below -8 and x above 8
function tabulated(f) {
  const table = Float64Array.from({ length: 16 * 512 + 2 }, (_, i) => f(-8 + i / 512));
  return (y, from, n) => {
    for (let p = from; p < from + n; p++) {
      const x = y[p];
      if (x <= -8) y[p] = 0;
      else if (x < 8) {
        const at = (x + 8) * 512, i = at | 0, part = at - i;
        y[p] = table[i] * (1 - part) + table[i + 1] * part;
      }
    }
  };
}

// y = bias + weight x for n columns; x and y have rows of `length` entries
function dense({ weight, bias }, x, y, n, length) {
  const [nOut, nIn] = weight.shape;
  for (let j = 0; j < nOut; j++) {
    const to = j * length;
    y.fill(bias[j], to, to + n);
    let i = 0;
    for (; i + 3 < nIn; i += 4) {  // four at a time: y is read and written less often
      const w0 = weight[j * nIn + i], w1 = weight[j * nIn + i + 1];
      const w2 = weight[j * nIn + i + 2], w3 = weight[j * nIn + i + 3];
      const a = i * length, b = a + length, c = b + length, d = c + length;
      for (let p = 0; p < n; p++) y[to + p] += w0 * x[a + p] + w1 * x[b + p] + w2 * x[c + p] + w3 * x[d + p];
    }
    for (; i < nIn; i++) {
      const w = weight[j * nIn + i], from = i * length;
      for (let p = 0; p < n; p++) y[to + p] += w * x[from + p];
    }
  }
}

// All layers in turn; `x` and `spare` are buffers of rows of `length`. Gives back the output's.
function runLayers(codec, layers, x, spare, n, length) {
  layers.forEach((layer, k) => {
    const [nOut] = layer.weight.shape, last = k === layers.length - 1;
    dense(layer, x, spare, n, length);
    if (!last) for (let j = 0; j < nOut; j++) {
      if (layer.residual) for (let p = j * length; p < j * length + n; p++) spare[p] += x[p];
      codec.activate(spare, j * length, n);
    }
    [x, spare] = [spare, x];
  });
  return x;
}

class FittedCodec {
  // `data`: as fitted.py made it, unpacked
  constructor(data) {
    Object.assign(this, data);
    this.activate = activation(data.activation);
    // so many frames on either side matter to a frame
    this.reach = data.convs.reduce((sum, conv) => sum + (conv.weight.shape[2] >> 1), 0);
    this.cache = new Map();
    this.scratch = new Map();
  }

  symbol(n, t, y, x) {
    const { shape, symbols } = this.grids[n], [T, H, W] = shape;
    return t < 0 || y < 0 || x < 0 || t >= T || y >= H || x >= W ? 0 : symbols[(t * H + y) * W + x];
  }

  // which latent of grid n stands for a pixel
  latentAt(n, [t, y, x]) {
    return [t, y, x].map((p, axis) => Math.min(this.grids[n].shape[axis] - 1, p >> this.grids[n].exponent));
  }

  // ------------------------------------------------------------------------------ entropy model

  // entry (t, y, x) of grid n - 1 halved to the size of grid n (context.py: halve)
  halved(n, position) {
    const { shape } = this.grids[n], finer = this.grids[n - 1].shape;
    if (position.some((p, axis) => p < 0 || p >= shape[axis])) return 0;
    const reads = position.map((p, axis) => finer[axis] === 1
      ? [[0, 1]]
      : [1, 3, 3, 1].map((tap, k) => [Math.min(finer[axis] - 1, Math.max(0, 2 * p - 1 + k)), tap / 8]));
    let sum = 0;
    for (const [t, a] of reads[0]) for (const [y, b] of reads[1]) for (const [x, c] of reads[2]) {
      sum += a * b * c * this.symbol(n - 1, t, y, x);
    }
    return sum;
  }

  // the values the entropy network sees for one latent, in steps
  context(n, [t, y, x]) {
    const { offsets, previous, above } = this.grids[n];
    const own = offsets.map(([dt, dy, dx]) => this.symbol(n, t + dt, y + dy, x + dx));
    const finer = previous.map(([dt, dy, dx]) => (n ? this.halved(n, [t + dt, y + dy, x + dx]) : 0));
    const coarser = above.map(([m, ratio]) => this.symbol(m, t >> ratio, y >> ratio, x >> ratio));
    return [...own, ...finer, ...coarser];
  }

  // mu and scale of one latent's distribution, its value and its cost in bits
  predict(n, position) {
    const inputs = this.context(n, position).map((v) => v * this.q);
    const { layers, branch } = this.networks[this.grids[n].network];
    const width = Math.max(inputs.length, ...layers.map((layer) => layer.weight.shape[0]));
    const x = new Float64Array(width), beside = new Float64Array(2);
    x.set(inputs);
    if (branch) dense(branch, x, beside, 1, 1);
    const out = runLayers(this, layers, x, new Float64Array(width), 1, 1);
    const [mu, raw] = [out[0] + beside[0], out[1] + beside[1]];
    const [low, high] = [-2 * Math.log(this.scale_max), -2 * Math.log(this.scale_min)];
    const v = Math.min(high, Math.max(low, raw + this.log_scale_shift));
    const found = { value: this.symbol(n, ...position), mu: mu / this.q, scale: Math.exp(-v / 2) / this.q };
    return { ...found, bits: this.bits(found.value, found.mu, found.scale) };
  }

  // -log2 of the distribution integrated over value +- 1/2, at most 16 (entropy.py)
  bits(value, mu, scale) {
    const { log_tails: tails, tail_steps: steps } = this;
    const beyond = (t) => {
      const at = Math.min((steps * Math.max(0, t)) / scale, tails.length - 1.001), i = Math.floor(at);
      return Math.exp(tails[i] + (at - i) * (tails[i + 1] - tails[i])) / 2;
    };
    const d = Math.abs(value - mu);
    const p = (d < 0.5 ? 1 - beyond(0.5 - d) : beyond(d - 0.5)) - beyond(d + 0.5);
    return -Math.log2(Math.max(p, 2 ** -16));
  }

  // ------------------------------------------------------------------------------ synthesis

  // Grid n of frame t (Eq. 6) as a function that writes its row y, at `columns`, to x[at...]
  upsampled(n, t) {
    const { shape: [, h, w], symbols, up } = this.grids[n];
    if (this.kernel) {
      const grid = this.learned(n), width = this.shape[2];
      return (y, columns, x, at) => { for (const column of columns) x[at++] = grid[y * width + column]; };
    }
    const [inTime, inRows, inColumns] = up, line = new Float32Array(w);
    let plane = symbols, factor = this.q;
    if (this.grids[n].shape[0] > 1) {
      [plane, factor] = [this.buffer(`frame of grid ${n}`, Float32Array, h * w), 1];
      mix(inTime, t, symbols, h * w, plane, this.q);
    }
    const { first, taps } = inColumns, k = taps.shape[1];
    return (y, columns, x, at) => {
      mix(inRows, y, plane, w, line, factor);
      for (const column of columns) {
        let sum = 0;
        for (let i = 0, from = first[column]; i < k; i++) sum += taps[column * k + i] * line[from + i];
        x[at++] = sum;
      }
    };
  }

  // by the learned kernel, of images: twice as large from grid to grid (latents.py: double)
  learned(n) {
    if (this.cache.has(n)) return this.cache.get(n);
    let { shape: [, h, w], symbols } = this.grids[n];
    let grid = Float32Array.from(symbols, (v) => v * this.q);
    const sizes = [this.shape, ...this.grids.map(({ shape }) => shape)];
    if (this.separable && n < this.kernel.shape[0]) grid = smoothed(grid, h, w, this.kernel, n);
    for (let m = n; m >= 0; m--) {
      const [, H, W] = sizes[m];
      const kernel = this.separable ? outer(this.kernel, m - 1) : this.kernel;
      if (H !== h || W !== w) grid = doubled(grid, h, w, kernel, H, W);
      [h, w] = [H, W];
    }
    this.cache.set(n, grid);
    return grid;
  }

  // an array that the next decoding uses again: new ones would fill the memory with garbage
  buffer(name, Type, count) {
    if (this.scratch.get(name)?.length !== count) this.scratch.set(name, new Type(count));
    return this.scratch.get(name);
  }

  // give all buffers back at once, without waiting for the garbage collector, until the next decoding
  release() {
    for (const { buffer } of this.scratch.values()) buffer.transfer?.(0);
    this.scratch.clear();
  }

  // Steps of decoding frame t with only the grids of `on` (others are zero); yields after every
  // row, so that a page stays awake, and returns {rgba, width, height}. stride > 1: a preview of
  // every stride-th row and column. Another decoding, once begun, spoils one that is under way.
  *decode(on, t, stride = 1) {
    const reach = stride === 1 ? this.reach : 0;
    const window = [Math.max(0, t - reach), Math.min(this.shape[0] - 1, t + reach)];
    const rows = every(this.shape[1], stride), columns = every(this.shape[2], stride);
    const frames = window[1] - window[0] + 1, width = columns.length, size = rows.length * width;
    const widest = Math.max(...this.layers.flatMap((layer) => layer.weight.shape));
    const x = this.buffer(`x ${stride}`, Float64Array, widest * width);
    const spare = this.buffer(`y ${stride}`, Float64Array, widest * width);
    const three = (name) => [0, 1, 2].map((c) =>
      this.buffer(`${name} ${c} ${stride}`, Float32Array, frames * size));
    let planes = three("color"), spares = this.convs.length ? three("spare") : null;
    const beside = this.branch ? three("beside") : null, added = new Float64Array(3 * width);
    let first = 0;
    for (let frame = window[0]; frame <= window[1]; frame++) {
      const fill = on.slice(0, this.layers[0].weight.shape[1])  // without hyperlatents
        .map((used, n) => (used ? this.upsampled(n, frame) : null));
      for (const y of rows) {
        fill.forEach((write, n) => {
          if (write) write(y, columns, x, n * width);
          else x.fill(0, n * width, (n + 1) * width);
        });
        if (beside) {
          dense(this.branch, x, added, width, width);
          beside.forEach((plane, c) => plane.set(added.subarray(c * width, (c + 1) * width), first));
        }
        const out = runLayers(this, this.layers, x, spare, width, width);
        planes.forEach((plane, c) => {
          if (this.rgb_activation) this.activate(out, c * width, width);
          plane.set(out.subarray(c * width, (c + 1) * width), first);
        });
        first += width;
        yield;
      }
    }
    for (const [k, conv] of this.convs.entries()) {
      yield* residualConv(planes, spares, frames, rows.length, width, conv);
      [planes, spares] = [spares, planes];
      if (k < this.convs.length - 1) for (const plane of planes) this.activate(plane, 0, plane.length);
    }
    const rgba = new Uint8ClampedArray(4 * size), from = (t - window[0]) * size;
    for (let p = 0; p < size; p++) {
      for (let c = 0; c < 3; c++) {  // rounds and clips
        rgba[4 * p + c] = 255 * (planes[c][from + p] + (beside ? beside[c][from + p] : 0));
      }
      rgba[4 * p + 3] = 255;
    }
    return { rgba, width, height: rows.length };
  }
}

// the middle pixel of every `stride`
const every = (size, stride) => Array.from({ length: Math.ceil(size / stride) },
  (_, i) => Math.min(size - 1, i * stride + (stride >> 1)));

// row `at` of an interpolation: a mixture of a few rows of `source`, each `length` entries
function mix({ first, taps }, at, source, length, target, factor) {
  const k = taps.shape[1];
  target.fill(0);
  for (let i = 0; i < k; i++) {
    const weight = factor * taps[at * k + i], from = (first[at] + i) * length;
    if (weight) for (let p = 0; p < length; p++) target[p] += weight * source[from + p];
  }
}

// the 8x8 kernel of symmetric taps with which grid m + 1 is doubled to grid m (upsampling.py)
function outer(kernel, m) {
  const taps = [0, 1, 2, 3, 3, 2, 1, 0].map((k) => kernel[8 * m + 4 + k]);
  return Float64Array.from({ length: 64 }, (_, i) => taps[i >> 3] * taps[i & 7]);
}

// a grid by its 7 symmetric taps along both axes, zero outside
function smoothed(grid, h, w, kernel, n) {
  const tap = (k) => kernel[8 * n + Math.abs(k)], along = (from, step, length, inside) => {
    const result = new Float32Array(from.length);
    for (let p = 0; p < from.length; p++) for (let k = -3, at = inside(p); k <= 3; k++) {
      if (at + k >= 0 && at + k < length) result[p] += tap(k) * from[p + k * step];
    }
    return result;
  };
  return along(along(grid, 1, w, (p) => p % w), w, h, (p) => Math.floor(p / w));
}

function doubled(grid, h, w, kernel, H, W) {
  const result = new Float32Array(H * W);
  for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) {
    let sum = 0;
    for (let i = 0; i < 4; i++) {
      const row = Math.min(h - 1, Math.max(0, (y >> 1) + (y & 1) - 2 + i)) * w, ky = (y & 1) + 2 * i;
      for (let j = 0; j < 4; j++) {
        const column = Math.min(w - 1, Math.max(0, (x >> 1) + (x & 1) - 2 + j));
        sum += kernel[8 * ky + (x & 1) + 2 * j] * grid[row + column];
      }
    }
    result[y * W + x] = sum;
  }
  return result;
}

// result = x + conv(x) on three planes, edges replicated; yields after every row
function* residualConv(planes, result, frames, height, width, { weight, bias }) {
  const depth = weight.shape[2], taps = 9 * depth;
  const padded = new Float64Array(width + 2);
  const sums = [0, 1, 2].map(() => new Float64Array(width));
  for (let t = 0; t < frames; t++) for (let y = 0; y < height; y++) {
    sums.forEach((sum, c) => sum.fill(bias[c]));
    for (let dt = 0; dt < depth; dt++) for (let dy = 0; dy < 3; dy++) {
      const ft = Math.min(frames - 1, Math.max(0, t + dt - (depth >> 1)));
      const fy = Math.min(height - 1, Math.max(0, y + dy - 1));
      const from = (ft * height + fy) * width;
      for (let i = 0; i < 3; i++) {
        padded.set(planes[i].subarray(from, from + width), 1);
        padded[0] = padded[1];
        padded[width + 1] = padded[width];
        for (let c = 0; c < 3; c++) {
          const k = (c * 3 + i) * taps + 9 * dt + 3 * dy, sum = sums[c];
          const a = weight[k], b = weight[k + 1], d = weight[k + 2];
          for (let x = 0; x < width; x++) sum[x] += a * padded[x] + b * padded[x + 1] + d * padded[x + 2];
        }
      }
    }
    const to = (t * height + y) * width;
    for (let c = 0; c < 3; c++) for (let x = 0; x < width; x++) {
      result[c][to + x] = planes[c][to + x] + sums[c][x];
    }
    yield;
  }
  return result;
}

function finish(steps) {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

// Run `steps` a few milliseconds at a time; `then` gets what it returns. Gives back how to stop it.
function inSlices(steps, then, milliseconds = 12) {
  let stopped = false;
  const go = () => {
    if (stopped) return;
    const end = performance.now() + milliseconds;
    do {
      const { done, value } = steps.next();
      if (done) return then(value);
    } while (performance.now() < end);
    setTimeout(go);
  };
  setTimeout(go);
  return () => { stopped = true; };
}
