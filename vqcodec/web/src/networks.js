/** Planes to pixels: codewords, the generator in ONNX Runtime, and the base. */

import * as ort from "onnxruntime-web/wasm";

/* global WITH_GPU -- set by the build */

const STEP = 16;
/** Largest edge of a window in positions, without what the generator looks at around it. */
const WIDEST = 64;
const RATES = 256;
/** Share of positions that may go on to a missing layer before the generator is told a lower rate. */
const SELDOM = 0.05;

/** Generators and codebooks of a model. */
export class Networks {
  /**
   * @param model the model
   * @param {Uint8Array} graph generator as ONNX, whose weights are in the model file
   * @param {Uint8Array} wasm ONNX Runtime
   */
  static async open(model, graph, wasm) {
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = wasm.buffer;
    ort.env.logLevel = "error";
    const networks = new Networks();
    networks.model = model;
    networks.session = await ort.InferenceSession.create(graph, {
      executionProviders: WITH_GPU ? ["webgpu", "wasm"] : ["wasm"],
      externalData: [{ path: model.path, data: model.file }],
    });
    networks.codebooks = model.bands.map((_, band) => model.tensor(`quantizers.${band}.codebooks`));
    networks.endBits = model.bands.map((_, band) => model.tensor(`quantizers.${band}.end_bits`));
    const [coarse, eighth, quarter] = model.config.generator_blocks;
    networks.halo = 2 + Math.ceil(coarse + eighth / 2 + (quarter + 1) / 4);
    return networks;
  }

  /**
   * Render planes window by window.
   *
   * @param decoded what `decode` returned
   * @param {number} layers how many of the layers to use
   * @param {number} realism weight of the second generator, 0..1
   * @yields {left, top, width, height, pixels}: Uint8ClampedArray RGBA, opaque; parts of the grid may lie beyond the picture
   */
  async *render(decoded, layers, realism) {
    const { header } = decoded;
    const used = decoded.layers.slice(0, layers);
    const point = this.fittingRate(header.rate, used.length) / (RATES - 1);
    const still = stillOf(decoded, used);
    for (const [top, bottom] of spans(header.rows)) {
      for (const [left, right] of spans(header.columns)) {
        const box = {
          top: Math.max(0, top - this.halo),
          left: Math.max(0, left - this.halo),
          bottom: Math.min(header.rows, bottom + this.halo),
          right: Math.min(header.columns, right + this.halo),
        };
        const rows = box.bottom - box.top;
        const columns = box.right - box.left;
        const inputs = {
          base: new ort.Tensor("float32", baseFeatures(decoded, box), [1, 4, rows, columns]),
          rate: new ort.Tensor("float32", Float32Array.of(point), [1]),
          realism: new ort.Tensor("float32", Float32Array.of(realism), [1]),
        };
        for (const grid of new Set(this.model.bands.map((band) => band.downsampling))) {
          const times = STEP / grid;
          const values = this.latents(used, header, grid, box);
          const channels = values.length / (times * rows * times * columns);
          inputs[`latents${grid}`] = new ort.Tensor("float32", values, [1, channels, times * rows, times * columns]);
        }
        const { picture } = await this.session.run(inputs);
        const inside = { top, left, bottom, right };
        const pixels = toPixels(picture.data, box, inside, decoded, still);
        picture.dispose();
        yield { top: STEP * top, left: STEP * left, width: STEP * (right - left), height: STEP * (bottom - top), pixels };
      }
    }
  }

  /** Sums of codewords of the bands of a grid in a box, channels first. */
  latents(layers, header, grid, box) {
    const times = STEP / grid;
    const rows = times * (box.bottom - box.top);
    const columns = times * (box.right - box.left);
    const size = rows * columns;
    const bands = this.model.bands.flatMap((band, number) => (band.downsampling === grid ? [number] : []));
    const out = new Float32Array(size * bands.reduce((sum, band) => sum + this.model.bands[band].dim, 0));
    let start = 0;
    for (const band of bands) {
      const { data, shape: [, codewords, dim] } = this.codebooks[band];
      layers.forEach(({ plane }, number) => {
        const layer = this.model.layers[number];
        if (layer.band !== band) return;
        for (let row = 0, at = start; row < rows; row++) {
          const from = (times * box.top + row) * times * header.columns + times * box.left;
          for (let column = 0; column < columns; column++, at++) {
            const index = plane[from + column];
            if (!index) continue;
            const word = (layer.stage * codewords + index) * dim;
            for (let channel = 0; channel < dim; channel++) out[at + channel * size] += data[word + channel];
          }
        }
      });
      start += dim * size;
    }
    return out;
  }

  /** The rate that the generator is told where layers are missing, 0..255. */
  fittingRate(rate, count) {
    const bins = this.endBits[0].shape[1];
    const wanted = new Float64Array(bins);
    for (const { band, stage } of this.model.layers.slice(count)) {
      for (let bin = 0; bin < bins; bin++) {
        let share = 1;
        for (let number = 0; number <= stage; number++) {
          share *= 2 ** -this.endBits[band].data[(number * bins + bin) * 2 + 1];
        }
        wanted[bin] = Math.max(wanted[bin], share);
      }
    }
    let part = 0;
    wanted.forEach((share, bin) => {
      if (share < SELDOM) part = bin + 1;
    });
    return Math.min(rate, Math.max(0, Math.floor((part * RATES) / bins) - 1));
  }
}

/** The fewest parts of about equal size, none longer than `WIDEST`. */
function spans(length) {
  const count = Math.ceil(length / WIDEST);
  return Array.from({ length: count }, (_, number) => [
    Math.floor((length * number) / count),
    Math.floor((length * (number + 1)) / count),
  ]);
}

/** Positions of plain tiles without indices: their base is the picture. `null` if there are none. */
function stillOf({ header, base }, layers) {
  const { rows, columns } = header;
  let any = false;
  const still = new Uint8Array(rows * columns);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      if (base.steps[at] !== 1) continue;
      still[at] = layers.every(({ scale, plane }) => {
        for (let y = 0; y < scale; y++) {
          for (let x = 0; x < scale; x++) {
            if (plane[(scale * row + y) * scale * columns + scale * column + x]) return false;
          }
        }
        return true;
      })
        ? 1
        : 0;
      any ||= still[at] === 1;
    }
  }
  return any ? still : null;
}

/** Luma, Co and Cg in levels at a position. */
function levelsAt({ header, base }, at) {
  const size = header.rows * header.columns;
  const step = base.steps[at];
  return [step * base.planes[at], 2 * step * base.planes[size + at], 2 * step * base.planes[2 * size + at]];
}

/** Red, green and blue in levels at a position. */
function colourAt(decoded, at) {
  const [luma, orange, green] = levelsAt(decoded, at);
  const rest = luma - green / 2;
  return [rest + orange / 2, luma + green / 2, rest - orange / 2];
}

/** What the generator is told of the base in a box, (4, rows, columns). */
function baseFeatures(decoded, box) {
  const { header, base } = decoded;
  const columns = box.right - box.left;
  const size = (box.bottom - box.top) * columns;
  const out = new Float32Array(4 * size);
  for (let row = box.top, to = 0; row < box.bottom; row++) {
    for (let column = box.left; column < box.right; column++, to++) {
      const at = row * header.columns + column;
      levelsAt(decoded, at).forEach((level, channel) => (out[channel * size + to] = level / 127.5));
      out[3 * size + to] = Math.log2(base.steps[at]) / 4;
    }
  }
  return out;
}

/** The colours of the base, RGBA, one pixel for each position. */
export function basePixels(decoded) {
  const { rows, columns } = decoded.header;
  const out = new Uint8ClampedArray(4 * rows * columns);
  for (let at = 0; at < rows * columns; at++) {
    out.set([...colourAt(decoded, at), 255], 4 * at);
  }
  return out;
}

/** Pixels of the inside of a box, RGBA. */
function toPixels(values, box, inside, decoded, still) {
  const width = STEP * (box.right - box.left);
  const size = width * STEP * (box.bottom - box.top);
  const columns = STEP * (inside.right - inside.left);
  const rows = STEP * (inside.bottom - inside.top);
  const out = new Uint8ClampedArray(4 * rows * columns);
  for (let row = 0, to = 0; row < rows; row++) {
    let from = (STEP * (inside.top - box.top) + row) * width + STEP * (inside.left - box.left);
    for (let column = 0; column < columns; column++, to += 4, from++) {
      out[to] = 127.5 * (values[from] + 1);
      out[to + 1] = 127.5 * (values[size + from] + 1);
      out[to + 2] = 127.5 * (values[2 * size + from] + 1);
      out[to + 3] = 255;
    }
  }
  if (still) fade(out, values, box, inside, decoded, still);
  return out;
}

/** Put the base where it is the picture, and fade towards it. */
function fade(out, values, box, inside, decoded, still) {
  const { rows, columns } = decoded.header;
  const width = STEP * (box.right - box.left);
  const size = width * STEP * (box.bottom - box.top);
  const across = STEP * (inside.right - inside.left);
  const colours = Array.from({ length: rows * columns }, (_, at) => [...colourAt(decoded, at), 1 - still[at]]);
  const between = (place, count) => {
    // At the edges the slope goes on, and the share lies outside 0..1.
    const at = (place + 0.5) / STEP - 0.5;
    const below = Math.max(0, Math.min(count - 2, Math.floor(at)));
    return [below, Math.min(count - 1, below + 1), at - below];
  };
  for (let row = 0; row < STEP * (inside.bottom - inside.top); row++) {
    const [above, below, down] = between(STEP * inside.top + row, rows);
    for (let column = 0; column < across; column++) {
      const [west, east, over] = between(STEP * inside.left + column, columns);
      const corners = [above * columns + west, above * columns + east, below * columns + west, below * columns + east];
      if (!corners.some((at) => still[at])) continue;
      const mixed = [0, 1, 2, 3].map((channel) => {
        const [a, b, c, d] = corners.map((at) => colours[at][channel]);
        return (a * (1 - over) + b * over) * (1 - down) + (c * (1 - over) + d * over) * down;
      });
      const from = (STEP * (inside.top - box.top) + row) * width + STEP * (inside.left - box.left) + column;
      for (let channel = 0; channel < 3; channel++) {
        const drawn = 127.5 * (values[channel * size + from] + 1);
        const share = Math.max(0, Math.min(1, mixed[3]));
        out[4 * (row * across + column) + channel] = mixed[channel] + share * (drawn - mixed[channel]);
      }
    }
  }
}
