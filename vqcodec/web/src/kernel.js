/** Products of matrices of bytes, exactly, in WebAssembly. */

import code from "./kernel.wasm";

const PAGE = 65536;
const { memory, multiply: product } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;

// Matrices stay where they were put; inputs and products follow them.
let used = 0;
const places = new WeakMap();

/**
 * Multiply rows of bytes with the transpose of a matrix of bytes.
 *
 * @param {Int8Array} inputs (n, C)
 * @param matrix {data, shape}: (N, C), or several of these
 * @param {number} number which of these
 * @param {number} n rows of inputs
 * @returns {Int32Array} (n, N)
 */
export function multiply(inputs, matrix, number, n) {
  const [rows, columns] = matrix.shape.slice(-2);
  const stride = up(columns, 16);
  const four = up(rows, 4);
  const start = placeOf(matrix, rows, columns, stride, four) + number * four * stride;
  const given = used;
  const out = given + n * stride;
  reserve(out + 4 * n * four);
  put(inputs, given, n, columns, stride);
  product(given, n, start, rows, stride, out);
  const found = new Int32Array(memory.buffer, out, n * four);
  if (four === rows) return found.slice();
  const trimmed = new Int32Array(n * rows);
  for (let row = 0; row < n; row++) trimmed.set(found.subarray(row * four, row * four + rows), row * rows);
  return trimmed;
}

/** Where the first of the matrices lies. */
function placeOf(matrix, rows, columns, stride, four) {
  if (!places.has(matrix)) {
    const count = matrix.data.length / (rows * columns);
    const start = used;
    reserve(start + count * four * stride);
    for (let number = 0; number < count; number++) {
      const part = matrix.data.subarray(number * rows * columns, (number + 1) * rows * columns);
      put(part, start + number * four * stride, rows, columns, stride);
    }
    used = start + count * four * stride;
    places.set(matrix, start);
  }
  return places.get(matrix);
}

function put(values, start, rows, columns, stride) {
  const bytes = new Int8Array(memory.buffer);
  if (stride === columns) {
    bytes.set(values.subarray(0, rows * columns), start);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const at = start + row * stride;
    bytes.set(values.subarray(row * columns, (row + 1) * columns), at);
    bytes.fill(0, at + columns, at + stride);
  }
}

function reserve(bytes) {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
}

function up(value, step) {
  return step * Math.ceil(value / step);
}
