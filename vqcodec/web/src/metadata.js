/** ICC profile, EXIF and XMP. */

import { Inflate } from "pako";
import { joined } from "./bytes.js";
import { FileError } from "./errors.js";

const MOST = 2 ** 24;
const NAMES = { i: "icc", e: "exif", x: "xmp" };

/**
 * Read the metadata of a file.
 *
 * @param bodies of its chunks, by tag
 * @returns {icc, exif, xmp} as bytes, those that there are
 */
export function readMetadata(bodies) {
  const found = {};
  for (const [tag, name] of Object.entries(NAMES)) {
    if (tag in bodies) found[name] = unpack(tag, bodies[tag]);
  }
  return found;
}

function unpack(tag, body) {
  const fault = (message, kind = "CorruptChunk") => new FileError(kind, `chunk ${tag} ${message}`);
  if (!body.length) throw fault("is empty");
  const value = body.subarray(1);
  if (body[0] === 0) {
    if (value.length > MOST) throw fault(`of ${value.length} bytes is too long`, "LimitExceeded");
    return value.slice();
  }
  if (body[0] !== 1) throw fault(`has unknown compression ${body[0]}`);
  const inflater = new Inflate({ raw: true });
  const parts = [];
  let size = 0;
  inflater.onData = (part) => {
    size += part.length;
    if (size > MOST) throw fault(`inflates to more than ${MOST} bytes`, "LimitExceeded");
    parts.push(part);
  };
  inflater.push(value, true);
  if (inflater.err || !inflater.ended || inflater.strm.avail_in) throw fault("does not inflate");
  return joined(...parts);
}
