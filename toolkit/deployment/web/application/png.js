// Pictures as PNG files (ISO/IEC 15948). The canvas of a browser would change the colours of transparent pixels.

import { hasTransparency } from "./transparency.js";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const UP = 2; // the filter: each value minus the one above

const CRC = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** A PNG file, as a Blob: RGB, or RGBA where a pixel is transparent. */
export async function png({ data, width, height }) {
  const channels = hasTransparency({ data }) ? 4 : 3;
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8); // bits
  header.setUint8(9, channels === 4 ? 6 : 2); // colour type
  const packed = new Blob([filtered(data, width, height, channels)]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = new Uint8Array(await new Response(packed).arrayBuffer());
  const chunks = [chunk("IHDR", new Uint8Array(header.buffer)), chunk("IDAT", body), chunk("IEND", new Uint8Array())];
  return new Blob([SIGNATURE, ...chunks], { type: "image/png" });
}

function filtered(data, width, height, channels) {
  const rows = new Uint8Array(height * (1 + channels * width));
  let to = 0;
  for (let y = 0; y < height; y++) {
    rows[to++] = UP;
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      for (let c = 0; c < channels; c++) rows[to++] = data[at + c] - (y ? data[at + c - 4 * width] : 0);
    }
  }
  return rows;
}

function chunk(name, body) {
  const bytes = new Uint8Array(body.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, body.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(body, 8);
  let crc = ~0;
  for (let at = 4; at < body.length + 8; at++) crc = CRC[(crc ^ bytes[at]) & 255] ^ (crc >>> 8);
  view.setUint32(body.length + 8, ~crc >>> 0);
  return bytes;
}
