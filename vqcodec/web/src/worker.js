/** Decodes and renders one file after another, away from the page. */

import { readAlpha } from "./alpha.js";
import { readHeader } from "./container.js";
import { decode } from "./decode.js";
import { FileError } from "./errors.js";
import { readMetadata } from "./metadata.js";
import { Model } from "./model.js";
import { Networks, basePixels } from "./networks.js";
import { writePng } from "./png.js";

/** Most pixels of a picture that is shown: a few bytes may claim 2^32 of them. */
const MOST_PIXELS = 1 << 27;

let model;
let networks;
let file; // what was decoded, with its alpha and metadata
let shown; // its pixels, RGBA
let request = 0;

const handlers = {
  load({ model: bytes, path, id, graph, wasm, version }) {
    model = new Model(bytes);
    Object.assign(model, { path, id, version });
    networks = Networks.open(model, graph, wasm);
    networks.catch((error) => self.postMessage({ kind: "unusable", message: error.message }));
  },

  open({ data, name }) {
    file = shown = null;
    const { width, height } = readHeader(data);
    if (width * height > MOST_PIXELS) {
      throw new FileError("LimitExceeded", `${width}x${height} pixels are more than this page shows`);
    }
    const decoded = decode(data, model, true);
    const { header, bodies } = decoded;
    const alpha = "A" in bodies ? readAlpha(bodies.A, header.width, header.height) : null;
    file = { ...decoded, alpha, name, metadata: readMetadata(bodies), bytes: data.length };
    self.postMessage({
      kind: "base",
      header,
      name,
      bytes: data.length,
      stages: decoded.stages,
      missing: decoded.missing,
      profile: "icc" in file.metadata,
      second: `realistic.head.weight` in model.entries,
      realism: Number(model.metadata.realism ?? 0),
      rows: header.rows,
      columns: header.columns,
      pixels: basePixels(decoded),
    });
  },

  async render({ stages, realism }, number) {
    if (!file) return;
    const { header } = file;
    const started = performance.now();
    const pixels = new Uint8ClampedArray(4 * header.width * header.height);
    for await (const part of (await networks).render(file, stages - 1, realism)) {
      // Messages that came in the meantime are seen to between windows.
      await new Promise((resolve) => setTimeout(resolve));
      if (number !== request) return;
      const width = Math.min(part.width, header.width - part.left);
      for (let row = 0; row < Math.min(part.height, header.height - part.top); row++) {
        const from = 4 * row * part.width;
        pixels.set(part.pixels.subarray(from, from + 4 * width), 4 * ((part.top + row) * header.width + part.left));
      }
      // Parts are shown as they come, where nothing has to be done to their pixels.
      if (!file.alpha && !header.grey && !("icc" in file.metadata)) self.postMessage({ kind: "part", ...part });
    }
    if (header.grey) for (let at = 0; at < pixels.length; at += 4) pixels.fill(luma(pixels, at), at, at + 3);
    if (file.alpha) file.alpha.forEach((value, at) => (pixels[4 * at + 3] = value));
    shown = { pixels, comment: commentOf(realism) };
    const seconds = (performance.now() - started) / 1000;
    const png = "icc" in file.metadata ? asPng() : null;
    self.postMessage({ kind: "picture", pixels, png, stages, realism, seconds });
  },

  save() {
    if (shown) self.postMessage({ kind: "saved", name: file.name, png: asPng() });
  },
};

function luma(pixels, at) {
  // As Pillow computes it.
  return (19595 * pixels[at] + 38470 * pixels[at + 1] + 7471 * pixels[at + 2] + 32768) >> 16;
}

function commentOf(realism) {
  const { header, bytes } = file;
  const bpp = (8 * bytes) / (header.width * header.height);
  const source = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
  const said = `Model=${header.modelId}; Realism=${realism}; Bpp=${Number(bpp.toPrecision(4))}`;
  return `vqcodec ${model.version}; ${said}; DigitalSourceType=${source}`;
}

function asPng() {
  const { header, alpha, metadata } = file;
  return writePng(shown.pixels, header.width, header.height, header.grey, !alpha, metadata, shown.comment);
}

self.onmessage = async ({ data }) => {
  // A picture that is being rendered is left as soon as another is asked for.
  if (data.kind === "open" || data.kind === "render") request++;
  const number = request;
  try {
    await handlers[data.kind](data, number);
  } catch (error) {
    const message = error instanceof FileError ? error.message : `cannot be decoded here: ${error.message}`;
    self.postMessage({ kind: "error", message, name: data.name });
  }
};
