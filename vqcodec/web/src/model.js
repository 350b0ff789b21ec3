/** A model file: its configuration, and its tensors by name. */

import { ContextModel } from "./context.js";

export class Model {
  /** @param {Uint8Array} file in the format of safetensors */
  constructor(file) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    const length = Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    // A plain array: parts of others may share their memory.
    this.file = new Uint8Array(file.buffer, file.byteOffset, file.byteLength);
    this.start = 8 + length;
    this.entries = header;
    this.metadata = header.__metadata__;
    this.config = JSON.parse(this.metadata.config);
    this.bands = this.config.bands.map(({ downsampling, dim, stages, codebook_size: codewords }) => ({
      downsampling,
      dim,
      stages,
      codewords,
    }));
    this.layers = this.bands
      .flatMap((band, number) =>
        Array.from({ length: band.stages }, (_, stage) => ({
          band: number,
          stage,
          scale: 16 / band.downsampling,
          codewords: band.codewords,
          ends: true,
        })),
      )
      .sort((a, b) => a.scale - b.scale || a.stage - b.stage || a.band - b.band);
    this.baseTables = this.tensor("base_tables").data;
    this.context = new ContextModel(this.layers, this.contextTensors());
  }

  contextTensors() {
    const found = this.layers.map(() => ({}));
    for (const key of Object.keys(this.entries)) {
      const [prefix, layer, name] = key.split(".");
      if (prefix === "context") found[layer][name] = this.tensor(key);
    }
    return found;
  }

  /** A tensor as {data, shape}; float16 becomes float32. */
  tensor(name) {
    const { dtype, shape, data_offsets: [first, end] } = this.entries[name];
    const bytes = this.file.slice(this.start + first, this.start + end).buffer;
    if (dtype === "F16") return { data: fromHalf(new Uint16Array(bytes)), shape };
    const kinds = { I8: Int8Array, I32: Int32Array, U16: Uint16Array, F32: Float32Array };
    return { data: new kinds[dtype](bytes), shape };
  }
}

function fromHalf(bits) {
  return Float32Array.from(bits, (half) => {
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    return half & 32768 ? -size : size;
  });
}
