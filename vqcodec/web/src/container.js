/** Header, chunks and payload of a `.vqc` file, as FORMAT.md describes them. */

import { joined } from "./bytes.js";
import { crc32 } from "./crc.js";
import { FileError } from "./errors.js";

const HEADER_SIZE = 20;
const VERSION = 2;
const MAX_CHUNKS = 256;
const MAX_LENGTH = 2 ** 32 - 1;
const MAX_SLICES = 2 ** 20;
const MAX_PIXELS = 2 ** 32;
const VARINT_SIZE = 5;
const KNOWN = "iexAP";

const fail = (kind, message) => {
  throw new FileError(kind, message);
};
const hex = (value) => `0x${value.toString(16).padStart(2, "0")}`;

/**
 * Read a file.
 *
 * @param {Uint8Array} data the whole file
 * @param {boolean} allowTruncated whether it may end inside the slices of its payload
 * @returns header, chunks, bodies of known chunks by tag, payload
 */
export function read(data, allowTruncated = false) {
  const header = readHeader(data);
  const chunks = readChunks(data);
  const { missing } = chunks.at(-1);
  if (missing && !allowTruncated) fail("Truncated", `the file ends inside its payload (missing bytes: ${missing})`);
  for (const chunk of chunks) {
    if (!chunk.intact && !chunk.missing) fail("CorruptChunk", `the checksum of chunk ${chunk.tag} is wrong`);
  }
  const bodies = {};
  for (const { tag, body } of chunks) {
    if (!KNOWN.includes(tag)) {
      if (tag < "a") fail("UnknownCriticalChunk", `chunk ${tag} is critical, and not known here`);
    } else if (tag in bodies) fail("CorruptChunk", `chunk ${tag} is there twice`);
    else bodies[tag] = body;
  }
  return { header, chunks, bodies, missing, payload: new Payload(header, chunks.at(-1)) };
}

/** Read the header from the first bytes of a file. */
export function readHeader(data) {
  const start = data.subarray(0, HEADER_SIZE);
  const magic = [0xd6, 0x56, 0x51, 0x43];
  if (magic.some((byte, at) => at < start.length && start[at] !== byte)) fail("BadMagic", "not a .vqc file");
  if (start.length < HEADER_SIZE) {
    fail("Truncated", `the file ends inside the header (missing bytes: ${HEADER_SIZE - start.length})`);
  }
  const [version, flags] = start.subarray(4);
  if (version !== VERSION) {
    fail("UnsupportedVersion", `format version ${version} is not supported, only ${VERSION}`);
  }
  if (flags & ~1) fail("UnsupportedVersion", `header flags ${hex(flags)} are not known to this version`);
  if (start[15]) fail("UnsupportedVersion", `reserved header byte ${hex(start[15])} is not known to this version`);
  const number = (at) => start[at] + 256 * start[at + 1] + 65536 * start[at + 2] + 1;
  const header = {
    grey: flags === 1,
    width: number(6),
    height: number(9),
    stages: start[12],
    downsampleLog2: start[13] >> 4,
    tileLog2: start[13] & 15,
    rate: start[14],
    modelId: [...start.subarray(16)].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
  };
  for (const [name, value, least, most] of [
    ["number of stages", header.stages, 1, 32],
    ["downsampling exponent", header.downsampleLog2, 2, 6],
    ["tile size exponent", header.tileLog2, 2, 8],
  ]) {
    if (value < least || value > most) fail("CorruptHeader", `${name} is ${value}, not ${least} to ${most}`);
  }
  if (header.width * header.height > MAX_PIXELS) {
    fail("LimitExceeded", `${header.width}x${header.height} pixels are more than 2**32`);
  }
  const side = 2 ** header.downsampleLog2;
  const tileSide = 2 ** header.tileLog2;
  header.rows = Math.ceil(header.height / side);
  header.columns = Math.ceil(header.width / side);
  header.tileRows = Math.ceil(header.rows / tileSide);
  header.tileColumns = Math.ceil(header.columns / tileSide);
  header.tiles = header.tileRows * header.tileColumns;
  if (header.tiles * header.stages > MAX_SLICES) {
    fail("LimitExceeded", `${header.tiles} tiles of ${header.stages} stages are more than 2**20 slices`);
  }
  return header;
}

/** Top, left, rows and columns of a tile, in positions. */
export function tileBox(header, number) {
  const side = 2 ** header.tileLog2;
  const top = side * Math.floor(number / header.tileColumns);
  const left = side * (number % header.tileColumns);
  return { top, left, rows: Math.min(side, header.rows - top), columns: Math.min(side, header.columns - left) };
}

function readChunks(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const headerCrc = crc32(data.subarray(0, HEADER_SIZE));
  const chunks = [];
  let offset = HEADER_SIZE;
  while (!chunks.length || chunks.at(-1).tag !== "P") {
    if (offset === data.length) fail("Truncated", "the file ends before its payload");
    if (chunks.length === MAX_CHUNKS) fail("LimitExceeded", `more than ${MAX_CHUNKS} chunks`);
    const tag = String.fromCharCode(data[offset]);
    if (!/^[A-Za-z]$/.test(tag)) {
      fail("CorruptChunk", `byte ${hex(data[offset])} at offset ${offset} is not a chunk tag`);
    }
    const { values, size } = readVarints(data.subarray(offset + 1, offset + 1 + VARINT_SIZE), 1);
    if (!values) fail("Truncated", `the file ends inside the length of the chunk at offset ${offset}`);
    const length = values[0];
    if (length > MAX_LENGTH) fail("LimitExceeded", `chunk at offset ${offset} claims ${length} bytes`);
    const start = offset + 1 + size;
    const end = start + length + 4;
    const missing = Math.max(0, end - data.length);
    if (missing && tag !== "P") fail("Truncated", `the file ends inside chunk ${tag}`);
    const body = data.subarray(start, start + length);
    const intact =
      !missing && crc32(data.subarray(offset, start + length), headerCrc) === view.getUint32(start + length, true);
    chunks.push({ tag, offset, length, body, intact, missing });
    offset = end;
  }
  if (offset < data.length) {
    fail("TrailingData", `the file goes on after its payload (bytes: ${data.length - offset})`);
  }
  return chunks;
}

/**
 * Read LEB128 numbers of at most five bytes each.
 *
 * @returns the values, which are `null` if the data ends too early, and the number of bytes read
 */
function readVarints(data, count) {
  // As in Python, a number that is too long is reported before one that is cut off or not in its shortest form.
  const values = new Float64Array(count);
  let at = 0;
  let shortest = true;
  let number = 0;
  for (; number < count; number++) {
    let value = 0;
    let place = 0;
    for (; place < VARINT_SIZE && at + place < data.length; place++) {
      const byte = data[at + place];
      value += (byte & 127) * 2 ** (7 * place);
      if (byte < 128) break;
    }
    if (place === VARINT_SIZE) fail("CorruptChunk", "a length takes more than five bytes");
    if (at + place >= data.length) break;
    if (place && data[at + place] === 0) shortest = false;
    values[number] = value;
    at += place + 1;
  }
  if (number < count) return { values: null, size: at };
  if (!shortest) fail("CorruptChunk", "a length is not in its shortest form");
  return { values, size: at };
}

/** The index of a payload, and its slices as far as the file holds them. */
class Payload {
  constructor(header, chunk) {
    const count = header.stages * header.tiles;
    const least = count - 1 + 2 * count;
    if (chunk.length < least) {
      fail("CorruptChunk", `${chunk.length} bytes of payload cannot index ${count} slices`);
    }
    const cut = () =>
      chunk.missing
        ? fail("Truncated", "the file ends inside the index of its payload")
        : fail("CorruptChunk", "the payload ends inside its index");
    if (chunk.body.length < least) cut();
    const { values: lengths, size } = readVarints(chunk.body, count - 1);
    if (!lengths) cut();
    const begin = size + 2 * count;
    const sum = lengths.reduce((total, length) => total + length, 0);
    const last = chunk.length - begin - sum;
    if (last < 0) fail("CorruptChunk", `index and slices are ${-last} bytes longer than the payload`);
    if (chunk.body.length < begin) cut();
    this.body = chunk.body;
    this.stages = header.stages;
    this.tiles = header.tiles;
    const view = new DataView(chunk.body.buffer, chunk.body.byteOffset, chunk.body.byteLength);
    this.checks = Uint16Array.from({ length: count }, (_, at) => view.getUint16(size + 2 * at, true));
    this.bounds = new Float64Array(count + 1);
    this.bounds[0] = begin;
    for (let at = 0; at < count; at++) {
      this.bounds[at + 1] = this.bounds[at] + (at < count - 1 ? lengths[at] : last);
    }
  }

  /** Number of leading stages of a tile that the file holds completely. */
  complete(tile) {
    let stage = 0;
    while (stage < this.stages && this.bounds[stage * this.tiles + tile + 1] <= this.body.length) stage++;
    return stage;
  }

  /** The first stages of a tile as one stream. */
  stream(tile, stages) {
    const parts = [];
    for (let stage = 0; stage < stages; stage++) {
      const at = stage * this.tiles + tile;
      parts.push(this.body.subarray(this.bounds[at], this.bounds[at + 1]));
    }
    return joined(...parts);
  }

  check(tile, stage) {
    return this.checks[stage * this.tiles + tile];
  }
}
