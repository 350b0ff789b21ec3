/**
 * What the decoder for browsers makes of files.
 *
 * Reads lines of JSON, {file, model} or {file, stages}: with a model file, planes are decoded with it; with stages, each
 * {scale, table, before}, as tests/bitstream/order0.py codes them. Writes a line of JSON for each.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import {
  FileError, Model, RangeDecoder, crc32, decode, read, readAlpha, readMetadata, tileBox,
} from "../../vqcodec/web/dist/index.mjs";

const models = new Map();

function modelOf(path) {
  if (!models.has(path)) models.set(path, new Model(readFileSync(path)));
  return models.get(path);
}

/** Planes of a file whose indices have tables, as lists of tiles. */
function planesByTables({ header, payload }, stages) {
  const found = [];
  for (let tile = 0; tile < header.tiles; tile++) {
    const { rows, columns } = tileBox(header, tile);
    const decoder = new RangeDecoder(payload.stream(tile, header.stages));
    const planes = [];
    stages.forEach(({ scale, table, before }, stage) => {
      const fail = () => {
        const message = `tile ${tile}, stage ${stage}: the decoded values are not those that were encoded`;
        throw new FileError("IndexMismatch", message);
      };
      let values;
      try {
        if (scale) {
          const alive = before < 0 ? null : planes[before];
          values = Array.from({ length: scale * rows * scale * columns }, (_, at) =>
            !alive || alive[at] ? decoder.decode(table, 0, table.length) : 0,
          );
        } else {
          const step = decoder.decode(new Array(256).fill(256), 0, 256);
          values = Array.from({ length: 3 * rows * columns }, () => decoder.decode(table, 0, table.length) - 32);
          values.unshift(...new Array(columns).fill(step));
        }
      } catch (error) {
        if (error.kind === "CorruptStream") fail();
        throw error;
      }
      const bytes = Uint8Array.from(values.flatMap((value) => [value & 255, (value >> 8) & 255]));
      if ((crc32(bytes) & 65535) !== payload.check(tile, stage)) fail();
      planes.push(values);
    });
    found.push(planes);
  }
  return found;
}

function lookAt({ file, model, stages }) {
  const data = new Uint8Array(readFileSync(file));
  const container = model ? decode(data, modelOf(model)) : read(data);
  const { header, bodies } = container;
  const metadata = readMetadata(bodies);
  const hex = (bytes) => Buffer.from(bytes).toString("hex");
  const found = {
    header,
    metadata: Object.fromEntries(Object.entries(metadata).map(([name, bytes]) => [name, hex(bytes)])),
    alpha: "A" in bodies ? crc32(readAlpha(bodies.A, header.width, header.height)) : null,
  };
  if (model) {
    found.base = [...container.base.planes];
    found.steps = [...container.base.steps];
    found.layers = container.layers.map(({ plane }) => [...plane]);
  } else found.tiles = planesByTables(container, stages);
  return found;
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = lookAt(JSON.parse(line));
  } catch (error) {
    answer = error instanceof FileError ? { kind: error.kind, message: error.message } : { crash: error.stack };
  }
  console.log(JSON.stringify(answer));
}
