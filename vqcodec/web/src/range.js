/** Range decoder of a tile, with 64-bit numbers as pairs of 32-bit ones: high and low. */

import { FileError } from "./errors.js";

const TWO32 = 2 ** 32;

export class RangeDecoder {
  /** @param {Uint8Array} stream bytes; those missing at the end count as zero */
  constructor(stream) {
    this.stream = stream;
    this.at = 0;
    this.lowerHigh = this.lowerLow = 0;
    this.rangeHigh = this.rangeLow = TWO32 - 1;
    this.pointHigh = this.word();
    this.pointLow = this.word();
    this.high = this.low = 0; // of the last product
  }

  word() {
    const { stream, at } = this;
    this.at += 4;
    if (at + 4 <= stream.length) {
      return ((stream[at] << 24) | (stream[at + 1] << 16) | (stream[at + 2] << 8) | stream[at + 3]) >>> 0;
    }
    let value = 0;
    for (let place = at; place < at + 4; place++) value = value * 256 + (stream[place] ?? 0);
    return value;
  }

  /** Multiply a number below 2^40 with one of at most 2^24: sets `high` and `low`. */
  multiply(scale, factor) {
    const upper = Math.floor(scale / 16777216); // below 2^16
    const lower = (scale - upper * 16777216) * factor; // below 2^48
    const rest = upper * factor; // below 2^40, counts 2^24
    const restHigh = Math.floor(rest / 256);
    const sum = lower + (rest - restHigh * 256) * 16777216; // below 2^49
    const carry = Math.floor(sum / TWO32);
    this.low = sum - carry * TWO32;
    this.high = restHigh + carry; // below 2^33, and below 2^32 wherever the product is below 2^64
  }

  /**
   * Decode a symbol.
   *
   * @param table frequencies, of sum 2^16
   * @param {number} start of the frequencies in the table
   * @param {number} size of the alphabet
   */
  decode(table, start, size) {
    // range >> 24, below 2^40
    const scale = this.rangeHigh * 256 + Math.floor(this.rangeLow / 16777216);
    let diffLow = this.pointLow - this.lowerLow;
    let diffHigh = this.pointHigh - this.lowerHigh;
    if (diffLow < 0) {
      diffLow += TWO32;
      diffHigh -= 1;
    }
    if (diffHigh < 0) diffHigh += TWO32;
    let quotient = Math.floor((diffHigh * TWO32 + diffLow) / scale);
    if (quotient > 2 ** 24) damaged();
    // The quotient of rounded numbers may be off by one.
    this.multiply(scale, quotient);
    if (this.high > diffHigh || (this.high === diffHigh && this.low > diffLow)) quotient -= 1;
    else {
      let restLow = diffLow - this.low;
      let restHigh = diffHigh - this.high;
      if (restLow < 0) {
        restLow += TWO32;
        restHigh -= 1;
      }
      if (restHigh * TWO32 + restLow >= scale) quotient += 1;
    }
    if (quotient >= 2 ** 24) damaged();
    const wanted = quotient >> 8;
    let below = 0;
    let symbol = 0;
    while (symbol < size - 1) {
      const next = below + table[start + symbol];
      if (next > wanted) break;
      below = next;
      symbol++;
    }
    this.multiply(scale, below * 256);
    this.lowerLow += this.low;
    this.lowerHigh += this.high;
    if (this.lowerLow >= TWO32) {
      this.lowerLow -= TWO32;
      this.lowerHigh += 1;
    }
    if (this.lowerHigh >= TWO32) this.lowerHigh -= TWO32;
    this.multiply(scale, table[start + symbol] * 256);
    this.rangeHigh = this.high;
    this.rangeLow = this.low;
    if (this.rangeHigh === 0) {
      this.lowerHigh = this.lowerLow;
      this.lowerLow = 0;
      this.rangeHigh = this.rangeLow;
      this.rangeLow = 0;
      this.pointHigh = this.pointLow;
      this.pointLow = this.word();
    }
    return symbol;
  }
}

function damaged() {
  throw new FileError("CorruptStream", "the range coder stream is damaged");
}
