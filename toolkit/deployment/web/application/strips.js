// Strips of a picture: of full width and equal height, each with the rows that its result depends on (halo).
// The same rule as toolkit/media/strips.py, with which it is compared by tests.

const up = (value, multiple) => Math.ceil(value / multiple) * multiple;

/** Divides `height` rows into strips { start, stop, keepStart, keepStop } of about `rows` valid rows. */
export function cut(height, rows, reach) {
  const above = up(reach.above, reach.alignment);
  const below = up(reach.below, reach.alignment);
  const count = Math.max(1, Math.ceil(height / Math.max(rows, reach.alignment)));
  const kept = up(Math.ceil(height / count), reach.alignment);
  const window = above + kept + below;
  if (window >= height) return [{ start: 0, stop: height, keepStart: 0, keepStop: height }];
  const strips = [];
  for (let first = 0; first < height; first += kept) {
    const start = Math.min(Math.max(first - above, 0), height - window);
    strips.push({ start, stop: start + window, keepStart: first, keepStop: Math.min(first + kept, height) });
  }
  return strips;
}

/** Valid rows of the highest strip whose tensors take at most `memory` bytes. */
export function highest(memory, height, width, bytesPerPixel, reach) {
  const window = Math.floor(memory / (bytesPerPixel * width));
  if (window >= height) return height;
  const halo = up(reach.above, reach.alignment) + up(reach.below, reach.alignment);
  return Math.max(Math.floor((window - halo) / reach.alignment) * reach.alignment, reach.alignment);
}

/** The smallest side >= `side` that a network takes. */
export const padded = (side, network) => up(Math.max(side, network.smallest), network.multiple);

/** For each of `target` positions, the sample that it repeats: reflection at the end, without the edge twice. */
export function reflected(size, target) {
  const period = Math.max(2 * (size - 1), 1);
  return Int32Array.from({ length: target }, (_, i) => (size === 1 ? 0 : Math.min(i % period, period - (i % period))));
}
