// Zip archives as NumPy's .npz files are: reading and writing, with the browser's own deflate.

import { InputError } from "./errors.js";

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

/** The largest content that an archive may unpack to. */
const MOST_BYTES = 2 ** 30;

/** A Map from the names of an archive's members to functions that promise their bytes. */
export function unzip(bytes) {
  const broken = () => new InputError("not a readable NumPy archive (cut short?)");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), members = new Map();
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw broken();
  try {
    let at = view.getUint32(end + 16, true), left = view.getUint16(end + 10, true), total = 0;
    for (; left > 0; left--) {
      if (view.getUint32(at, true) !== 0x02014b50) throw broken();
      const method = view.getUint16(at + 10, true), crc = view.getUint32(at + 16, true), packed = view.getUint32(at + 20, true);
      const size = view.getUint32(at + 24, true), length = view.getUint16(at + 28, true), header = view.getUint32(at + 42, true);
      const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + length));
      total += size;
      if (total > MOST_BYTES || ![0, 8].includes(method)) throw broken();
      const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
      if (start + packed > bytes.length) throw broken();
      members.set(name, async () => {
        const stored = bytes.subarray(start, start + packed);
        const content = method === 0 ? stored : await through(stored, new DecompressionStream("deflate-raw")).catch(() => null);
        if (!content || content.length !== size || crc32(content) !== crc) throw broken();
        return content;
      });
      at += 46 + length + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    }
  } catch (error) {
    if (error instanceof RangeError) throw broken();
    throw error;
  }
  return members;
}

/** A Blob of an archive with these members, a list of [name, bytes]. */
export async function zip(members) {
  const parts = [], directory = [];
  let offset = 0;
  for (const [name, content] of members) {
    const packed = await through(content, new CompressionStream("deflate-raw")), label = new TextEncoder().encode(name);
    const shared = new DataView(new ArrayBuffer(26));
    [20, 0x800, 8, 0, 33].forEach((value, index) => shared.setUint16(2 * index, value, true));
    [crc32(content), packed.length, content.length].forEach((value, index) => shared.setUint32(10 + 4 * index, value, true));
    shared.setUint16(22, label.length, true);
    const fields = new Uint8Array(shared.buffer);
    parts.push(u32(0x04034b50), fields, label, packed);
    const place = new DataView(new ArrayBuffer(14));
    place.setUint32(10, offset, true);
    directory.push(u32(0x02014b50), Uint8Array.of(20, 0), fields, new Uint8Array(place.buffer), label);
    offset += 30 + label.length + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0), end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, members.length, true);
  end.setUint16(10, members.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, offset, true);
  return new Blob([...parts, ...directory, end.buffer], { type: "application/zip" });
}

function u32(value) {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, value, true);
  return new Uint8Array(view.buffer);
}
