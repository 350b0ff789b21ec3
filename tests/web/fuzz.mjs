/**
 * Mutated files through the decoder for browsers: each gives planes or a `FileError`, nothing else, in bounded time.
 *
 * Usage: node fuzz.mjs MODEL COUNT SEED FILE...
 */

import { readFileSync } from "node:fs";
import { FileError, Model, crc32, decode, read, readAlpha, readMetadata } from "../../vqcodec/web/dist/index.mjs";

const [modelPath, count, seed, ...paths] = process.argv.slice(2);
const LONGEST = 20000; // milliseconds
const model = new Model(readFileSync(modelPath));
const files = paths.map((path) => new Uint8Array(readFileSync(path)));

/** Mulberry32: small, and the same everywhere. */
let state = Number(seed);
function random(below) {
  state = (state + 0x6d2b79f5) | 0;
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
}

function mutated(file) {
  let data = file.slice();
  for (let times = 1 + random(3); times; times--) {
    const at = random(data.length);
    const kind = random(6);
    if (kind === 0) data[at] ^= 1 << random(8);
    else if (kind === 1) data[at] = random(256);
    else if (kind === 2) data[random(Math.min(data.length, 24))] = random(256);
    else if (kind === 3) data = data.slice(0, Math.max(1, at));
    else if (kind === 4) data.copyWithin(random(data.length), at, at + random(40));
    else data = Uint8Array.from([...data.subarray(0, at), ...data.subarray(random(data.length))]);
  }
  // Most faults would be found by a CRC, and nothing behind it be tried.
  return random(4) ? sealed(data) : data;
}

/** The file with right CRCs, as far as its chunks can be told. */
function sealed(data) {
  const header = data.subarray(0, 20);
  let offset = 20;
  while (offset < data.length) {
    let length = 0;
    let at = offset + 1;
    for (let shift = 0; at < data.length && shift < 35; shift += 7) {
      length += (data[at] & 127) * 2 ** shift;
      if (data[at++] < 128) break;
    }
    const end = at + length;
    if (end + 4 > data.length) break;
    new DataView(data.buffer).setUint32(end, crc32(data.subarray(offset, end), crc32(header)), true);
    offset = end + 4;
  }
  return data;
}

const found = {};
let slowest = 0;
for (let number = 0; number < Number(count); number++) {
  const before = state;
  const data = mutated(files[random(files.length)]);
  const started = performance.now();
  let kind = "picture";
  try {
    const { header, bodies } = read(data, true);
    // A header may claim a picture of gigabytes, whose planes would take as much memory.
    if (header.width * header.height > 1 << 24) kind = "too large";
    else {
      if ("A" in bodies) readAlpha(bodies.A, header.width, header.height);
      readMetadata(bodies);
      decode(data, model, true);
    }
  } catch (error) {
    if (!(error instanceof FileError)) {
      console.error(`file ${number}, state ${before}: ${error.stack}`);
      process.exit(1);
    }
    kind = error.kind;
  }
  const took = performance.now() - started;
  slowest = Math.max(slowest, took);
  if (took > LONGEST) {
    console.error(`file ${number}, state ${before}: took ${Math.round(took)} ms`);
    process.exit(1);
  }
  found[kind] = (found[kind] ?? 0) + 1;
}
console.log(JSON.stringify({ found, slowest: Math.round(slowest) }));
