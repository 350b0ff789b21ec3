/** The context model in integers: frequencies of indices, given those decoded before. */

import { multiply } from "./kernel.js";

const SUM = 65536;
const CROSS = [[-1, 0], [0, -1], [0, 1], [1, 0]];
const SQUARE = [-1, 0, 1].flatMap((y) => [-1, 0, 1].map((x) => [y, x]));
const KNIGHTS = [-2, -1, 1, 2].flatMap((y) =>
  [-2, -1, 1, 2].filter((x) => Math.abs(x) !== Math.abs(y)).map((x) => [y, x]),
);
const NEAREST = [...CROSS, ...KNIGHTS];
const turned = (offsets) => offsets.map(([y, x]) => [y - x, y + x]);
const doubled = (offsets) => offsets.map(([y, x]) => [2 * y, 2 * x]);
const AROUND = [[], CROSS];
const AROUND_FIRST = [[], turned(doubled(NEAREST)), doubled(NEAREST), turned(NEAREST), NEAREST];
/** Positions around a tile that offsets reach into. */
const BORDER = 6;
const LUMA = SQUARE.filter(([y, x]) => y || x);
export const FEATURES = 2 + LUMA.length + 2 * CROSS.length;

/** exp(-d / 16) in units of 2^-14, by integers. */
const EXP = (() => {
  const table = new Int32Array(256);
  let value = 1n << 62n;
  for (let at = 0; at < 256; at++) {
    table[at] = Number((value * (1n << 14n) + (1n << 61n)) >> 62n);
    value = (value * 4332278087304955804n) >> 62n;
  }
  return table;
})();

/** Groups and members of a codebook: the smallest number of groups that is not below the square root. */
export function split(codewords) {
  for (let members = Math.floor(Math.sqrt(codewords)); members > 1; members--) {
    if (codewords % members === 0) return { groups: codewords / members, members };
  }
  throw new Error(`${codewords} codewords cannot be split into groups of equal size`);
}

/** Turn n rows of logits into frequencies, in place. */
export function toFrequencies(logits, n, size) {
  for (let row = 0, start = 0; row < n; row++, start += size) {
    let best = 0;
    for (let at = 1; at < size; at++) if (logits[start + at] > logits[start + best]) best = at;
    const most = logits[start + best];
    let total = 0;
    for (let at = start; at < start + size; at++) {
      const mass = EXP[Math.min(most - logits[at], 255)];
      logits[at] = mass;
      total += mass;
    }
    const factor = Math.floor(((SUM - size) * 16384) / total);
    let sum = 0;
    for (let at = start; at < start + size; at++) {
      // mass <= 2^14 and factor <= 2^16, so the product fits into 31 bits.
      const frequency = (Math.imul(logits[at], factor) >> 14) + 1;
      logits[at] = frequency;
      sum += frequency;
    }
    logits[start + best] += SUM - sum;
  }
}

/** Weights of all layers, and what follows from them. */
export class ContextModel {
  /**
   * @param layers of the model: band, stage, scale, codewords, ends
   * @param tensors by layer and name: {data, shape}
   */
  constructor(layers, tensors) {
    this.layers = layers.map((layer, number) => ({ ...layer, ...split(layer.codewords), tensors: tensors[number] }));
  }

  start(rows, columns, rate, base) {
    return new ContextState(this, rows, columns, rate, base);
  }
}

/** Positions of a grid with a border around it. */
class Grid {
  constructor(rows, columns) {
    this.rows = rows;
    this.columns = columns;
    this.wide = columns + 2 * BORDER;
    this.size = (rows + 2 * BORDER) * this.wide;
  }

  inside(row, column) {
    return (row + BORDER) * this.wide + column + BORDER;
  }

  steps(offsets) {
    return Int32Array.from(offsets, ([y, x]) => y * this.wide + x);
  }
}

/** The known part of a tile, while its layers are decoded one after another. */
class ContextState {
  constructor(model, rows, columns, rate, base) {
    this.model = model;
    this.rate = rate >> 4;
    this.grids = { 1: new Grid(rows, columns), 2: new Grid(2 * rows, 2 * columns) };
    this.features = base && baseFeatures(base, rows, columns);
    this.before = {}; // by scale, sums of embeddings of the layers that are known
    this.going = {}; // by band, which positions go on
  }

  /**
   * Decode a layer.
   *
   * @param {number} number of the layer
   * @param decoder range decoder
   * @returns Uint16Array of indices
   */
  read(number, decoder) {
    const layer = this.model.layers[number];
    const { tensors, scale, band, members, groups } = layer;
    const grid = this.grids[scale];
    const count = grid.rows * grid.columns;
    const plane = new Uint16Array(count);
    const going = this.going[band];
    const own = tensors.own ?? tensors.embedding;
    const width = own.shape[1];
    const maps = new Int8Array(grid.size * width);
    for (let row = 0, at = 0; row < grid.rows; row++) {
      for (let column = 0; column < grid.columns; column++, at++) {
        // Positions that have ended count as index 0 from the start.
        if (going && !going[at]) maps.set(own.data.subarray(0, width), grid.inside(row, column) * width);
      }
    }
    const shared = this.sharedSums(layer);
    const near = tensors.w1 && clamped(this.before[scale]);
    const around = number ? AROUND : AROUND_FIRST;
    const hidden = tensors.b2.data.length;
    for (let pass = 0; pass < around.length; pass++) {
      const rows = [];
      const places = [];
      for (let row = 0, at = 0; row < grid.rows; row++) {
        for (let column = 0; column < grid.columns; column++, at++) {
          if ((!going || going[at]) && passOf(number, row, column) === pass) {
            rows.push(at);
            places.push(grid.inside(row, column));
          }
        }
      }
      const n = rows.length;
      if (!n) continue;
      const total = shared(rows);
      addBias(total, tensors.b1.data, pass * hidden, n, hidden);
      if (near) {
        const given = gathered(near, this.before[scale].width, places, grid.steps(SQUARE));
        add(total, multiply(given, tensors.w1, 0, n));
      }
      if (pass) {
        const given = gathered(maps, width, places, grid.steps(around[pass]));
        add(total, multiply(given, tensors.v1, pass - 1, n));
      }
      const second = multiply(activated(total), tensors.w2, 0, n);
      addBias(second, tensors.b2.data, 0, n, hidden);
      const h2 = activated(second);
      const first = multiply(h2, tensors.wg, 0, n);
      addBias(first, tensors.bg.data, 0, n, groups + 1);
      shifted(first);
      toFrequencies(first, n, groups + 1);
      const symbols = new Int32Array(n);
      for (let row = 0; row < n; row++) symbols[row] = decoder.decode(first, row * (groups + 1), groups + 1);
      this.readMembers(layer, decoder, h2, symbols, (row, member) => {
        const index = (symbols[row] - 1) * members + member;
        plane[rows[row]] = index;
      });
      for (let row = 0; row < n; row++) {
        const start = plane[rows[row]] * width;
        maps.set(own.data.subarray(start, start + width), places[row] * width);
      }
    }
    this.end(layer, plane);
    return plane;
  }

  /** Decode the second symbols of positions whose first symbol is not 0. */
  readMembers(layer, decoder, h2, symbols, found) {
    const { tensors, members } = layer;
    const hidden = tensors.b2.data.length;
    const byGroup = new Map();
    const going = [];
    symbols.forEach((symbol, row) => {
      if (!symbol) return;
      if (!byGroup.has(symbol - 1)) byGroup.set(symbol - 1, []);
      byGroup.get(symbol - 1).push(going.length);
      going.push(row);
    });
    const n = going.length;
    if (!n) return;
    const given = new Int8Array(n * hidden);
    going.forEach((row, at) => given.set(h2.subarray(row * hidden, (row + 1) * hidden), at * hidden));
    const third = multiply(given, tensors.w3, 0, n);
    going.forEach((row, at) => addBias(third, tensors.e3.data, (symbols[row] - 1) * hidden, 1, hidden, at * hidden));
    const h3 = activated(third);
    const tables = new Int32Array(n * members);
    for (const [group, rows] of byGroup) {
      const part = new Int8Array(rows.length * hidden);
      rows.forEach((at, row) => part.set(h3.subarray(at * hidden, (at + 1) * hidden), row * hidden));
      const logits = multiply(part, tensors.wm, group, rows.length);
      addBias(logits, tensors.bm.data, group * members, rows.length, members);
      shifted(logits);
      toFrequencies(logits, rows.length, members);
      rows.forEach((at, row) => tables.set(logits.subarray(row * members, (row + 1) * members), at * members));
    }
    going.forEach((row, at) => found(row, decoder.decode(tables, at * members, members)));
  }

  /** What the base and the coarser grid tell, and the bias of the rate: a function from positions to sums. */
  sharedSums(layer) {
    const { tensors, scale, band } = layer;
    const coarse = this.grids[1];
    const grid = this.grids[scale];
    const hidden = tensors.b2.data.length;
    const going = this.going[band];
    const parentOf = (at) => {
      const row = Math.floor(at / grid.columns);
      const column = at % grid.columns;
      return scale === 2 ? (row >> 1) * coarse.columns + (column >> 1) : at;
    };
    // Squares of the coarsest grid in which any position goes on.
    const number = new Int32Array(coarse.rows * coarse.columns).fill(-1);
    const squares = [];
    for (let at = 0; at < grid.rows * grid.columns; at++) {
      const parent = parentOf(at);
      if ((!going || going[at]) && number[parent] < 0) number[parent] = squares.push(parent) - 1;
    }
    const n = squares.length;
    let sums = new Int32Array(n * hidden);
    if (tensors.c1) {
      const given = new Int8Array(n * FEATURES);
      squares.forEach((square, at) =>
        given.set(this.features.subarray(square * FEATURES, (square + 1) * FEATURES), at * FEATURES),
      );
      sums = multiply(given, tensors.c1, 0, n);
    }
    for (let row = 0; row < n; row++) {
      for (let at = 0; at < hidden; at++) sums[row * hidden + at] += tensors.r1.data[this.rate * hidden + at];
    }
    const byPlace = [];
    if (tensors.u1) {
      const maps = clamped(this.before[1]);
      const places = squares.map((square) =>
        coarse.inside(Math.floor(square / coarse.columns), square % coarse.columns),
      );
      for (let place = 0; place < 4; place++) {
        const v = 2 * (place >> 1) - 1;
        const h = 2 * (place & 1) - 1;
        const steps = coarse.steps([[0, 0], [v, 0], [0, h], [v, h]]);
        const told = multiply(gathered(maps, this.before[1].width, places, steps), tensors.u1, place, n);
        add(told, sums);
        byPlace.push(told);
      }
    }
    return (positions) => {
      const total = new Int32Array(positions.length * hidden);
      positions.forEach((at, row) => {
        const place = 2 * (Math.floor(at / grid.columns) & 1) + ((at % grid.columns) & 1);
        const start = number[parentOf(at)] * hidden;
        const from = tensors.u1 ? byPlace[place] : sums;
        total.set(from.subarray(start, start + hidden), row * hidden);
      });
      return total;
    };
  }

  end(layer, plane) {
    const { tensors, scale, band, ends } = layer;
    const grid = this.grids[scale];
    const width = tensors.embedding.shape[1];
    this.before[scale] ??= { width, data: new Int16Array(grid.size * width) };
    const { data } = this.before[scale];
    for (let row = 0, at = 0; row < grid.rows; row++) {
      for (let column = 0; column < grid.columns; column++, at++) {
        const start = grid.inside(row, column) * width;
        const from = plane[at] * width;
        for (let channel = 0; channel < width; channel++) {
          data[start + channel] += tensors.embedding.data[from + channel];
        }
      }
    }
    if (ends) this.going[band] = plane.map((index) => (index ? 1 : 0));
  }
}

function passOf(layer, row, column) {
  const odd = (row + column) & 1;
  if (layer) return odd;
  if (odd) return 4;
  if (row & 1) return 3;
  return (row + column) % 4 === 2 ? 2 : (row % 4) >> 1;
}

/** What maps hold at some steps from places, side by side. */
function gathered(maps, width, places, steps) {
  const size = steps.length * width;
  const out = new Int8Array(places.length * size);
  for (let row = 0; row < places.length; row++) {
    for (let step = 0; step < steps.length; step++) {
      const from = (places[row] + steps[step]) * width;
      out.set(maps.subarray(from, from + width), row * size + step * width);
    }
  }
  return out;
}

function clamped({ data }) {
  return Int8Array.from(data, (value) => Math.max(-127, Math.min(127, value)));
}

function add(total, more) {
  for (let at = 0; at < total.length; at++) total[at] += more[at];
}

function addBias(total, bias, from, n, size, start = 0) {
  for (let row = 0; row < n; row++) {
    for (let at = 0; at < size; at++) total[start + row * size + at] += bias[from + at];
  }
}

/** Activations of sums: rounded, and limited to 0..127. */
function activated(sums) {
  const out = new Int8Array(sums.length);
  for (let at = 0; at < sums.length; at++) out[at] = Math.max(0, Math.min(127, (sums[at] + 32) >> 6));
  return out;
}

function shifted(sums) {
  for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] + 32) >> 6;
}

/** What the context model is told of the base: Int8Array (rows * columns, FEATURES). */
function baseFeatures({ step, planes }, rows, columns) {
  const size = rows * columns;
  const levels = Int32Array.from(planes, (value, at) => value * step * (at < size ? 1 : 2));
  const out = new Int8Array(size * FEATURES);
  const digits = 8 * (32 - Math.clz32(step));
  for (let row = 0, at = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, at++) {
      let channel = at * FEATURES;
      out[channel++] = Math.max(-127, Math.min(127, levels[at] - 128));
      out[channel++] = digits;
      [LUMA, CROSS, CROSS].forEach((offsets, plane) => {
        for (const [y, x] of offsets) {
          const besideRow = Math.max(0, Math.min(rows - 1, row + y));
          const besideColumn = Math.max(0, Math.min(columns - 1, column + x));
          const start = plane * size;
          out[channel++] = compressed(levels[start + besideRow * columns + besideColumn] - levels[start + at]);
        }
      });
    }
  }
  return out;
}

function compressed(value) {
  const size = Math.abs(value);
  const small = size <= 8 ? 4 * size : size <= 40 ? 16 + 2 * size : 86 + (size >> 2);
  return Math.sign(value) * Math.min(small, 127);
}
