/** The alpha plane, lossless. */

import { FileError } from "./errors.js";
import { CORRUPT, inflate } from "./lzma.js";

const fault = (message) => new FileError("CorruptChunk", `chunk A ${message}`);

/**
 * Decode the body of the alpha chunk.
 *
 * @param {Uint8Array} body of the chunk
 * @returns {Uint8Array} (height, width); 255 is opaque
 */
export function readAlpha(body, width, height) {
  if (body.length < 2 || body[0] > 4 || (body[0] === 0 && body.length > 2)) throw fault("does not hold an alpha plane");
  if (body[0] === 0) return new Uint8Array(width * height).fill(body[1]);
  const method = body[0] - 1;
  const { bytes: plane, fault: cause, ended, more } = inflate(body.subarray(1), width * height);
  if (plane.length < width * height) {
    throw fault(cause === CORRUPT ? "does not decompress" : "ends before its alpha plane does");
  }
  if (more) throw fault("goes on after its alpha plane");
  if (!ended) throw fault(cause === CORRUPT ? "does not decompress" : "has no end marker");
  if (method & 1) {
    for (let at = 1; at < plane.length; at++) if (at % width) plane[at] += plane[at - 1];
  }
  if (method & 2) {
    for (let at = width; at < plane.length; at++) plane[at] += plane[at - width];
  }
  return plane;
}
