/** Files to planes: the base and the layers of indices, checked. */

import { readBase } from "./base.js";
import { read, tileBox } from "./container.js";
import { crc32 } from "./crc.js";
import { FileError } from "./errors.js";
import { RangeDecoder } from "./range.js";

/**
 * Decode the planes of a file.
 *
 * @param {Uint8Array} data the file
 * @param model what it was made with
 * @param {boolean} allowTruncated whether to decode the stages that are complete in every tile
 * @returns header, bodies of chunks, stages, base {planes, steps} and layers
 */
export function decode(data, model, allowTruncated = false) {
  const container = read(data, allowTruncated);
  const { header, payload } = container;
  checkModel(header, model);
  let stages = header.stages;
  for (let tile = 0; tile < header.tiles; tile++) stages = Math.min(stages, payload.complete(tile));
  if (!stages) throw new FileError("Truncated", "the file ends inside its first stage");
  const { rows, columns } = header;
  const base = { planes: new Int16Array(3 * rows * columns), steps: new Uint8Array(rows * columns) };
  const layers = model.layers
    .slice(0, stages - 1)
    .map(({ scale }) => ({ scale, plane: new Uint16Array(scale * rows * scale * columns) }));
  for (let tile = 0; tile < header.tiles; tile++) readTile(container, model, tile, stages, base, layers);
  return { ...container, stages, base, layers };
}

function checkModel(header, model) {
  if (model.id && header.modelId !== model.id) {
    throw new FileError("ModelError", `made with model ${header.modelId}, but the model at hand is ${model.id}`);
  }
  if (header.stages > model.layers.length + 1 || header.downsampleLog2 !== 4) {
    throw new FileError("CorruptHeader", "the header does not fit the model");
  }
}

function readTile({ header, payload }, model, tile, stages, base, layers) {
  const box = tileBox(header, tile);
  const decoder = new RangeDecoder(payload.stream(tile, stages));
  let stage = 0;
  const mismatch = () =>
    new FileError(
      "IndexMismatch",
      `tile ${tile}, stage ${stage}: the decoded values are not those that were encoded`,
    );
  const end = (values) => {
    const bytes = new Uint8Array(2 * values.length);
    for (let at = 0; at < values.length; at++) {
      bytes[2 * at] = values[at] & 255;
      bytes[2 * at + 1] = (values[at] >> 8) & 255;
    }
    if ((crc32(bytes) & 65535) !== payload.check(tile, stage)) throw mismatch();
    stage++;
  };
  try {
    const found = readBase(decoder, model.baseTables, box.rows, box.columns, tile);
    const row = new Int16Array(box.columns).fill(found.step);
    end([...row, ...found.planes]);
    for (let plane = 0; plane < 3; plane++) {
      put(base.planes, header, box, 1, found.planes.subarray(plane * box.rows * box.columns), plane);
    }
    put(base.steps, header, box, 1, new Uint8Array(box.rows * box.columns).fill(found.step));
    const state = model.context.start(box.rows, box.columns, header.rate, found);
    layers.forEach(({ scale, plane }, number) => {
      const part = state.read(number, decoder);
      end(part);
      put(plane, header, box, scale, part);
    });
  } catch (error) {
    throw error.kind === "CorruptStream" ? mismatch() : error;
  }
}

/** Copy a part of a tile into a plane of the whole picture. */
function put(plane, header, box, scale, part, number = 0) {
  const width = scale * header.columns;
  const start = number * header.rows * header.columns;
  for (let row = 0; row < scale * box.rows; row++) {
    const from = row * scale * box.columns;
    const to = start + (scale * box.top + row) * width + scale * box.left;
    plane.set(part.subarray(from, from + scale * box.columns), to);
  }
}
