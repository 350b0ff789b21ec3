/** Raw LZMA1 streams with lc = lp = pb = 0 and an end marker. */

/** What ended the decoding before the end marker. */
export const [CORRUPT, CUT] = ["corrupt", "cut"];

const TOP = 2 ** 24;
const half = (size) => new Uint16Array(size).fill(1024);

class Fault extends Error {
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

class Bits {
  constructor(data) {
    this.data = data;
    this.at = 0;
    this.range = 0xffffffff;
    this.code = 0;
    const first = this.byte();
    for (let count = 0; count < 4; count++) this.code = ((this.code << 8) | this.byte()) >>> 0;
    if (first) throw new Fault(CORRUPT);
  }

  byte() {
    if (this.at === this.data.length) throw new Fault(CUT);
    return this.data[this.at++];
  }

  normalize() {
    if (this.range < TOP) {
      this.range = (this.range << 8) >>> 0;
      this.code = ((this.code << 8) | this.byte()) >>> 0;
    }
  }

  bit(chances, at) {
    this.normalize();
    const bound = (this.range >>> 11) * chances[at];
    if (this.code < bound) {
      this.range = bound;
      chances[at] += (2048 - chances[at]) >> 5;
      return 0;
    }
    this.range -= bound;
    this.code -= bound;
    chances[at] -= chances[at] >> 5;
    return 1;
  }

  direct(count) {
    let value = 0;
    for (; count; count--) {
      this.normalize();
      this.range >>>= 1;
      const bit = this.code >= this.range ? 1 : 0;
      if (bit) this.code -= this.range;
      value = value * 2 + bit;
    }
    return value;
  }

  tree(chances, start, count) {
    let at = 1;
    for (let level = 0; level < count; level++) at = 2 * at + this.bit(chances, start + at);
    return at - (1 << count);
  }

  reverseTree(chances, start, count) {
    let at = 1;
    let value = 0;
    for (let level = 0; level < count; level++) {
      const bit = this.bit(chances, start + at);
      at = 2 * at + bit;
      value |= bit << level;
    }
    return value;
  }
}

class Lengths {
  constructor() {
    this.choice = half(2);
    this.low = half(8);
    this.middle = half(8);
    this.high = half(256);
  }

  read(bits) {
    if (!bits.bit(this.choice, 0)) return bits.tree(this.low, 0, 3);
    if (!bits.bit(this.choice, 1)) return 8 + bits.tree(this.middle, 0, 3);
    return 16 + bits.tree(this.high, 0, 8);
  }
}

/**
 * Decode a stream.
 *
 * @param {Uint8Array} data the stream
 * @param {number} most bytes of the result; nothing beyond is decoded
 * @returns `bytes`, as many as there are; `fault`: CORRUPT or CUT if these end early; `ended`: whether the end marker
 *   followed; `more`: whether bytes of the result or of the stream followed
 */
export function inflate(data, most) {
  // The result grows with what the stream holds, not with what is claimed.
  let out = new Uint8Array(Math.min(most, 1 << 16));
  let size = 0;
  const put = (byte) => {
    if (size === out.length) {
      const larger = new Uint8Array(Math.min(most, 2 * size));
      larger.set(out);
      out = larger;
    }
    out[size++] = byte;
  };
  const literals = half(0x300);
  const isMatch = half(12);
  const isRepeat = half(12);
  const isRepeat0 = half(12);
  const isRepeat1 = half(12);
  const isRepeat2 = half(12);
  const isLong = half(12);
  const slots = half(256);
  const special = half(128);
  const align = half(16);
  const lengths = new Lengths();
  const repeatLengths = new Lengths();
  let state = 0;
  let [rep0, rep1, rep2, rep3] = [0, 0, 0, 0];
  const found = (more, ended = false, fault = null) => ({ bytes: out.subarray(0, size), fault, ended, more });
  try {
    const bits = new Bits(data);
    for (;;) {
      if (!bits.bit(isMatch, state)) {
        let symbol = 1;
        if (state >= 7) {
          let match = out[size - rep0 - 1];
          do {
            const matchBit = (match >> 7) & 1;
            match <<= 1;
            const bit = bits.bit(literals, ((1 + matchBit) << 8) + symbol);
            symbol = (symbol << 1) | bit;
            if (matchBit !== bit) break;
          } while (symbol < 0x100);
        }
        while (symbol < 0x100) symbol = (symbol << 1) | bits.bit(literals, symbol);
        if (size === most) return found(true);
        put(symbol & 255);
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
        continue;
      }
      let length;
      if (bits.bit(isRepeat, state)) {
        if (!size) throw new Fault(CORRUPT);
        if (!bits.bit(isRepeat0, state)) {
          if (!bits.bit(isLong, state)) {
            state = state < 7 ? 9 : 11;
            if (rep0 >= size) throw new Fault(CORRUPT);
            if (size === most) return found(true);
            put(out[size - rep0 - 1]);
            continue;
          }
        } else {
          let distance;
          if (!bits.bit(isRepeat1, state)) distance = rep1;
          else {
            if (!bits.bit(isRepeat2, state)) distance = rep2;
            else {
              distance = rep3;
              rep3 = rep2;
            }
            rep2 = rep1;
          }
          rep1 = rep0;
          rep0 = distance;
        }
        length = repeatLengths.read(bits);
        state = state < 7 ? 8 : 11;
      } else {
        rep3 = rep2;
        rep2 = rep1;
        rep1 = rep0;
        length = lengths.read(bits);
        state = state < 7 ? 7 : 10;
        const slot = bits.tree(slots, 64 * Math.min(length, 3), 6);
        rep0 = slot;
        if (slot >= 4) {
          const count = (slot >> 1) - 1;
          rep0 = (2 | (slot & 1)) * 2 ** count;
          if (slot < 14) rep0 += bits.reverseTree(special, rep0 - slot, count);
          else rep0 += bits.direct(count - 4) * 16 + bits.reverseTree(align, 0, 4);
        }
        if (rep0 === 0xffffffff) {
          bits.normalize();
          if (bits.code) throw new Fault(CORRUPT);
          return found(bits.at < data.length, true);
        }
      }
      if (rep0 >= size || rep0 >= 2 ** 22) throw new Fault(CORRUPT);
      for (let count = length + 2; count; count--) {
        if (size === most) return found(true);
        put(out[size - rep0 - 1]);
      }
    }
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return found(false, false, error.kind);
  }
}
