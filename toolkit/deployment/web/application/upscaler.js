// A network as a function of pictures { data: RGBA, width, height }, in strips where memory is limited.

import { decodeLuma } from "./chroma.js";
import { decode, encode } from "./ends.js";
import { cut, highest, padded, reflected } from "./strips.js";
import { applyTransparency, hasTransparency, transparency, withoutHidden } from "./transparency.js";

/** Thrown by `onStrip` to end an upscaling whose result nobody waits for. */
export class Superseded extends Error {}

export class Upscaler {
  /**
   * @param network the description, network.json
   * @param {(values, shape: number[]) => Promise<TypedArray>} run one frame through the network
   */
  constructor(network, run) {
    this.network = network;
    this.run = run;
    this.networkTime = 0;
  }

  /** The enlarged picture. `onStrip(done, count)` is awaited before each run of the network. */
  async upscale(picture, onStrip = async () => {}) {
    this.networkTime = 0;
    const grey = isGrey(picture);
    if (!hasTransparency(picture)) return this.opaque(picture, grey, onStrip);
    const visible = withoutHidden(picture, this.network.reach);
    const result = await this.opaque(visible, isGrey(visible), (done, count) => onStrip(done, 2 * count));
    const half = (done, count) => onStrip(count + done, 2 * count);
    applyTransparency(result, picture, await this.opaque(transparency(picture), true, half));
    return result;
  }

  async opaque(picture, grey, onStrip) {
    const { network } = this;
    const rows = reflected(picture.height, padded(picture.height, network));
    const columns = reflected(picture.width, padded(picture.width, network));
    const strips = this.strips(rows.length, columns.length);
    const result = { width: network.scale * picture.width, height: network.scale * picture.height };
    result.data = new Uint8ClampedArray(4 * result.width * result.height).fill(255);
    for (const [index, strip] of strips.entries()) {
      await onStrip(index, strips.length);
      const { values, shape } = encode(network.input, picture, rows.subarray(strip.start, strip.stop), columns);
      const begun = performance.now();
      const output = await this.run(values, shape);
      this.networkTime += performance.now() - begun;
      this.place(output, strip, { picture, rows, columns }, result);
    }
    if (grey) makeGrey(result);
    return result;
  }

  strips(height, width) {
    const { reach, memory, bytesPerPixel, wholeReason } = this.network;
    if (reach) return cut(height, highest(memory, height, width, bytesPerPixel, reach), reach);
    if (bytesPerPixel * height * width > memory) {
      throw new Error(`the picture is too large, and cannot be cut into strips: ${wholeReason}`);
    }
    return [{ start: 0, stop: height, keepStart: 0, keepStop: height }];
  }

  /** Writes the valid rows of a strip's output into the result, which has no rows and columns of the extension. */
  place(values, strip, source, result) {
    const { scale, chroma, output: end } = this.network;
    const output = { values, width: scale * source.columns.length, height: scale * (strip.stop - strip.start) };
    const last = Math.min(scale * strip.keepStop, result.height);
    const rows = { first: scale * strip.keepStart, last, shift: scale * strip.start };
    if (chroma) decodeLuma(this.network, output, rows, source, result);
    else decode(end, output, rows, result);
  }
}

/** Makes a result grey: the mean of the three channels, which are nearly equal. */
function makeGrey({ data }) {
  for (let at = 0; at < data.length; at += 4) data.fill((data[at] + data[at + 1] + data[at + 2]) / 3, at, at + 3);
}

/** Whether red, green and blue are equal everywhere: then they are in the result too. */
function isGrey({ data }) {
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] !== data[at + 1] || data[at] !== data[at + 2]) return false;
  }
  return true;
}
