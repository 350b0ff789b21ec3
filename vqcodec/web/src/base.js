/** The base of a tile: block means in YCoCg, as FORMAT.md describes their coding. */

import { FileError } from "./errors.js";

const PLANES = 3;
const LARGEST = 24;
export const ALPHABET = 2 * LARGEST + 2;
const ESCAPE = ALPHABET - 1;
const ACTIVITIES = [1, 2, 3, 5, 8, 13, 21];
const NEAR = [1, 2, 4, 8];
const ERRORS = [1, 2, 4];
export const CONTEXTS = (ACTIVITIES.length + 1) * (NEAR.length + 1) * (ERRORS.length + 1);

const STEPS = new Uint32Array(256).fill(256);
const ESCAPED = new Uint32Array(512).fill(128);

/**
 * Decode the base of a tile.
 *
 * @param decoder range decoder at the start of the tile
 * @param tables (PLANES, CONTEXTS, ALPHABET) frequencies
 * @param {number} tile its number, for messages
 * @returns step, and planes: Int16Array (3, rows, columns)
 */
export function readBase(decoder, tables, rows, columns, tile) {
  const step = decoder.decode(STEPS, 0, 256);
  if (step === 0) throw new FileError("IndexMismatch", `tile ${tile}, stage 0: the step of the base is 0`);
  const size = rows * columns;
  const values = new Int32Array(PLANES * size);
  const errors = new Int32Array(PLANES * size);
  const wave = { places: [], guesses: [], left: [] };
  for (let number = 0; number < rows + columns - 1 + PLANES - 1; number++) {
    wave.places.length = 0;
    for (let plane = 0; plane < PLANES; plane++) {
      const start = plane * size;
      const first = Math.max(0, number - plane - columns + 1);
      const end = Math.min(rows, number - plane + 1);
      for (let row = first; row < end; row++) {
        const column = number - plane - row;
        const at = start + row * columns + column;
        let west = column ? values[at - 1] : 0;
        let north = row ? values[at - columns] : 0;
        let corner = row && column ? values[at - columns - 1] : 0;
        if (!row && !column) west = north = corner = plane ? 0 : Math.floor((128 + (step >> 1)) / step);
        else if (!row) north = corner = west;
        else if (!column) west = corner = north;
        const low = Math.min(west, north);
        const place = wave.places.length;
        wave.guesses[place] = Math.max(low, Math.min(Math.max(west, north), west + north - corner));
        const near = (column ? errors[at - 1] : 0) + (row ? errors[at - columns] : 0);
        let before = 0;
        for (let other = 0; other < plane; other++) before += errors[at - (plane - other) * size];
        const activity = Math.abs(west - corner) + Math.abs(north - corner);
        const context = (reached(ACTIVITIES, activity) * 5 + reached(NEAR, near)) * 4 + reached(ERRORS, before);
        wave.left[place] = decoder.decode(tables, (plane * CONTEXTS + context) * ALPHABET, ALPHABET) - LARGEST;
        wave.places.push(at);
      }
    }
    wave.places.forEach((at, place) => {
      let rest = wave.left[place];
      if (rest === ESCAPE - LARGEST) {
        const code = decoder.decode(ESCAPED, 0, 512);
        rest = ((code >> 1) + LARGEST + 1) * (code & 1 ? -1 : 1);
      }
      errors[at] = Math.abs(rest);
      values[at] = wave.guesses[place] + rest;
    });
  }
  const most = [toEven(255 / step), toEven(255 / (2 * step)), toEven(255 / (2 * step))];
  for (let at = 0; at < values.length; at++) {
    const plane = Math.floor(at / size);
    if (values[at] > most[plane] || values[at] < (plane ? -most[plane] : 0)) {
      throw new FileError("IndexMismatch", `tile ${tile}, stage 0: the base has values that no picture has`);
    }
  }
  return { step, planes: Int16Array.from(values) };
}

/** How many of ascending bounds a value has reached. */
function reached(bounds, value) {
  let count = 0;
  while (count < bounds.length && bounds[count] <= value) count++;
  return count;
}

function toEven(value) {
  const whole = Math.floor(value);
  const rest = value - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2) ? whole + 1 : whole;
}
