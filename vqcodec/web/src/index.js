export { readAlpha } from "./alpha.js";
export { read, tileBox } from "./container.js";
export { crc32 } from "./crc.js";
export { decode } from "./decode.js";
export { FileError } from "./errors.js";
export { readMetadata } from "./metadata.js";
export { Model } from "./model.js";
export { RangeDecoder } from "./range.js";
