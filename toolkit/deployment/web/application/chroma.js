// Colour for networks of luma: chroma of the picture, enlarged by bicubic interpolation, joined with the new luma.

import { luma } from "./ends.js";

/**
 * Chroma of a picture (RGB minus luma) at one row of the enlarged picture.
 * @param weights network.chroma: for each position of an enlarged pixel, of the pixels around it
 * @returns {Float64Array} of 3 values for each column of the enlarged picture
 */
export function chromaRow(picture, rows, columns, weights, row) {
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
