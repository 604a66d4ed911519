// Colour for networks of luma: chroma of the picture, enlarged by bicubic interpolation, joined with the new luma.

import { decoder, luma } from "./ends.js";

/**
 * Writes rows of the output of a network of luma into a picture, with the chroma of the picture before: see `decode`.
 * @param {{picture, rows: Int32Array, columns: Int32Array}} source what the network was given, before strips were cut
 */
export function decodeLuma(network, output, rows, source, result) {
  const level = decoder(network.output);
  for (let row = rows.first; row < rows.last; row++) {
    const chroma = chromaRow(source, network.chroma, row);
    const from = (row - rows.shift) * output.width;
    for (let x = 0; x < result.width; x++) {
      const at = 4 * (row * result.width + x);
      for (let c = 0; c < 3; c++) result.data[at + c] = level(output.values[from + x]) + chroma[3 * x + c];
    }
  }
}

/**
 * Chroma of a picture (RGB minus luma) at one row of the enlarged picture.
 * @param weights network.chroma: for each position of an enlarged pixel, of the pixels around it
 * @returns {Float64Array} of 3 values for each column of the enlarged picture
 */
function chromaRow({ picture, rows, columns }, weights, row) {
  const scale = weights.length;
  const support = (weights[0].length - 1) / 2;
  const clamp = (value, length) => Math.min(Math.max(value, 0), length - 1);
  const across = new Float64Array(3 * columns.length);
  weights[row % scale].forEach((weight, step) => {
    if (!weight) return;
    const from = rows[clamp(Math.floor(row / scale) + step - support, rows.length)];
    columns.forEach((column, x) => {
      const at = 4 * (from * picture.width + column);
      const grey = luma(picture.data, at);
      for (let c = 0; c < 3; c++) across[3 * x + c] += weight * (picture.data[at + c] - grey);
    });
  });
  const result = new Float64Array(3 * scale * columns.length);
  for (let x = 0; x < scale * columns.length; x++) {
    weights[x % scale].forEach((weight, step) => {
      if (!weight) return;
      const from = 3 * clamp(Math.floor(x / scale) + step - support, columns.length);
      for (let c = 0; c < 3; c++) result[3 * x + c] += weight * across[from + c];
    });
  }
  return result;
}
