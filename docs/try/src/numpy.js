// NumPy's .npy arrays: { shape, kind, values }, kind being "f", "i", "b" or "U" as NumPy has them.

import { InputError } from "./errors.js";

const TYPES = {
  f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, i8: BigInt64Array,
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, u8: BigUint64Array, b1: Uint8Array,
};

/** The array of a .npy file; numbers as Float64Array or Float32Array, texts as a list. */
export function readNpy(bytes) {
  const broken = (what) => new InputError(`not a readable NumPy array: ${what}`);
  if (bytes.length < 12 || bytes[0] !== 0x93) throw broken("it is cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), long = bytes[6] > 1;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true), start = (long ? 12 : 10) + length;
  const header = new TextDecoder("latin1").decode(bytes.subarray(long ? 12 : 10, start));
  const type = /'descr': '([<>|=]?)([a-zA-Z])(\d+)'/.exec(header), size = /'shape': \(([\d, ]*)\)/.exec(header);
  if (!size || !type) throw broken(/'descr': '\|?O'/.test(header) ? "it holds pickled Python objects" : "its header says nothing of it");
  const [, order, kind, width] = type, shape = size[1].split(",").filter((part) => part.trim()).map(Number);
  const count = shape.reduce((product, side) => product * side, 1), each = kind === "U" ? 4 * width : Number(width);
  if (order === ">") throw broken("its numbers are big-endian");
  if (start + count * each > bytes.length) throw broken(`it announces ${count * each} bytes, but has ${bytes.length - start}`);
  const data = bytes.slice(start, start + count * each);
  if (/'fortran_order': True/.test(header) && shape.length > 1) throw broken("it is in Fortran's order");
  if (kind === "U") return { shape, kind, values: texts(data, count, Number(width)) };
  if (kind + width === "f2") return { shape, kind, values: halves(data) };
  const Type = TYPES[kind + width];
  if (!Type) throw broken(`it holds ${kind}${width}, wanted numbers or text`);
  const values = new Type(data.buffer);
  return { shape, kind: kind === "u" ? "i" : kind, values: Type === Float32Array ? values : Float64Array.from(values, Number) };
}

function texts(data, count, width) {
  const codes = new Uint32Array(data.buffer);
  return Array.from({ length: count }, (_, index) => {
    const own = Array.from(codes.subarray(index * width, (index + 1) * width));
    while (own.length && own[own.length - 1] === 0) own.pop();
    return String.fromCodePoint(...own);
  });
}

function halves(data) {
  return Float64Array.from(new Uint16Array(data.buffer), (bits) => {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023, sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
  });
}

/** The bytes of a .npy file: of a typed array with its shape, or of a list of texts, or of one text (shape []). */
export function writeNpy(values, shape) {
  const types = { Float32Array: "<f4", Float64Array: "<f8", BigInt64Array: "<i8", Int8Array: "|i1", Uint8Array: "|b1" };
  let descr = types[values.constructor.name], data = values;
  if (!descr) {
    const points = (Array.isArray(values) ? values : [values]).map((text) => Array.from(text, (sign) => sign.codePointAt(0)));
    const width = Math.max(1, ...points.map((own) => own.length));
    data = new Uint32Array(width * points.length);
    points.forEach((own, index) => data.set(own, index * width));
    descr = `<U${width}`;
  }
  const sides = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${sides}), }`;
  header += " ".repeat(63 - ((10 + header.length) % 64)) + "\n";
  const bytes = new Uint8Array(10 + header.length + data.byteLength);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return bytes;
}
