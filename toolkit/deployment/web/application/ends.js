// The ends of a network: 8-bit RGBA pixels to the values that its input holds, and from those of its output.
// The rules are those of toolkit/port.py.

const TYPES = { float32: () => Float32Array, uint8: () => Uint8Array, float16: () => globalThis.Float16Array };

const LUMA = [0.299, 0.587, 0.114]; // BT.601

export const luma = (data, at) => LUMA[0] * data[at] + LUMA[1] * data[at + 1] + LUMA[2] * data[at + 2];

/** The typed array of an end; an error where this browser has none. */
export function arrayType(end) {
  const type = TYPES[end.dtype]();
  if (!type) throw new Error(`this browser has no ${end.dtype} numbers, which the network takes: use a newer one`);
  return type;
}

/** Channels of an end, and how far apart neighbours are in its array. */
function steps(end, width, height) {
  const channels = end.order === "Y" ? 1 : 3;
  const planar = end.layout === "NCHW";
  const shape = planar ? [1, channels, height, width] : [1, height, width, channels];
  return { channels, shape, pixel: planar ? 1 : channels, channel: planar ? width * height : 1 };
}

/** The value of an input for a level 0..255. */
function encoder(end) {
  const factor = (end.high - end.low) / 255;
  if (end.dtype !== "uint8") return (level) => level * factor + end.low;
  const rounded = new Uint8ClampedArray(1); // rounds to nearest, ties to even
  return (level) => {
    rounded[0] = level * factor + end.low;
    return Math.min(Math.max(rounded[0], end.low), end.high);
  };
}

/**
 * Some rows and columns of a picture as the input of a network.
 * @param {{data: Uint8ClampedArray, width: number}} picture RGBA
 * @param {Int32Array} rows of the picture
 * @param {Int32Array} columns of the picture
 * @returns {{values, shape}}
 */
export function encode(end, picture, rows, columns) {
  const { channels, shape, pixel, channel } = steps(end, columns.length, rows.length);
  const values = new (arrayType(end))(channels * rows.length * columns.length);
  const value = encoder(end);
  const table = Float64Array.from({ length: 256 }, (_, level) => value(level));
  const order = end.order === "BGR" ? [2, 1, 0] : [0, 1, 2];
  let target = 0;
  for (const row of rows) {
    for (const column of columns) {
      const at = 4 * (row * picture.width + column);
      if (channels === 1) {
        values[target] = value(luma(picture.data, at));
      } else {
        values[target] = table[picture.data[at + order[0]]];
        values[target + channel] = table[picture.data[at + order[1]]];
        values[target + 2 * channel] = table[picture.data[at + order[2]]];
      }
      target += pixel;
    }
  }
  return { values, shape };
}

/** The levels 0..255, not limited and not rounded, of the values of an output. */
export function decoder(end) {
  const factor = 255 / (end.high - end.low);
  return (value) => (value - end.low) * factor;
}

/**
 * Writes rows of the output of a network of colours into a picture.
 * @param {{values, width: number, height: number}} output
 * @param {{first: number, last: number, shift: number}} rows of the picture; `shift` rows further up in the output
 * @param {{data: Uint8ClampedArray, width: number}} result RGBA; the array rounds to nearest, ties to even, and limits
 */
export function decode(end, output, rows, result) {
  const { values, width, height } = output;
  const { pixel, channel } = steps(end, width, height);
  const level = decoder(end);
  const [red, green, blue] = (end.order === "BGR" ? [2, 1, 0] : [0, 1, 2]).map((index) => index * channel);
  for (let row = rows.first; row < rows.last; row++) {
    let from = (row - rows.shift) * width * pixel;
    const start = 4 * row * result.width;
    for (let to = start; to < start + 4 * result.width; to += 4, from += pixel) {
      result.data[to] = level(values[from + red]);
      result.data[to + 1] = level(values[from + green]);
      result.data[to + 2] = level(values[from + blue]);
    }
  }
}
