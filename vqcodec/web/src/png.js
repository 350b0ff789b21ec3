/** Pictures as PNG, with colour profile and metadata. */

import { deflate } from "pako";
import { joined } from "./bytes.js";
import { crc32 } from "./crc.js";

const text = (value) => new TextEncoder().encode(value);

function chunk(tag, body) {
  const out = new Uint8Array(12 + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, body.length);
  out.set(text(tag), 4);
  out.set(body, 8);
  view.setUint32(8 + body.length, crc32(out.subarray(4, 8 + body.length)));
  return out;
}

/**
 * Write a PNG.
 *
 * @param pixels RGBA
 * @param {boolean} grey whether to write one channel
 * @param {boolean} opaque whether to leave the alpha channel out
 * @param metadata {icc, exif, xmp} as bytes, those that there are
 * @param {string} comment what made the picture
 * @returns {Uint8Array} the file
 */
export function writePng(pixels, width, height, grey, opaque, metadata, comment) {
  const channels = (grey ? 1 : 3) + (opaque ? 0 : 1);
  const rows = new Uint8Array(height * (1 + width * channels));
  for (let row = 0, to = 0, from = 0; row < height; row++) {
    rows[to++] = 1;
    let before = [0, 0, 0, 0];
    for (let column = 0; column < width; column++, from += 4) {
      const pixel = grey ? [pixels[from]] : [pixels[from], pixels[from + 1], pixels[from + 2]];
      if (!opaque) pixel.push(pixels[from + 3]);
      for (let channel = 0; channel < channels; channel++) rows[to++] = pixel[channel] - before[channel];
      before = pixel;
    }
  }
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, (grey ? 0 : 2) + (opaque ? 0 : 4)], 8);
  const parts = [Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), chunk("IHDR", header)];
  if (metadata.icc) parts.push(chunk("iCCP", joined(text("ICC profile\0\0"), deflate(metadata.icc))));
  if (metadata.exif) parts.push(chunk("eXIf", metadata.exif));
  parts.push(chunk("tEXt", text(`Software\0${comment}`)));
  if (metadata.xmp) parts.push(chunk("iTXt", joined(text("XML:com.adobe.xmp\0\0\0\0\0"), metadata.xmp)));
  parts.push(chunk("IDAT", deflate(rows, { level: 4 })), chunk("IEND", new Uint8Array(0)));
  return joined(...parts);
}
