// Transparency: hidden colours must not influence visible ones, and edges get no halo. See toolkit/media/channels.py.

const EDGE = 1; // pixels by which enlarged transparency may reach beyond visible ones
const GROWN = 32; // pixels that the visible area grows by if the reach of the network is not known

export function hasTransparency({ data }) {
  for (let at = 3; at < data.length; at += 4) {
    if (data[at] < 255) return true;
  }
  return false;
}

/** The transparency of a picture as a grey picture. */
export function transparency(picture) {
  const data = new Uint8ClampedArray(picture.data.length);
  for (let at = 0; at < data.length; at += 4) data.fill(picture.data[at + 3], at, at + 3), (data[at + 3] = 255);
  return { ...picture, data };
}

/** A picture whose fully transparent pixels near visible ones have the colours around them. */
export function withoutHidden(picture, reach) {
  const { width, height } = picture;
  const data = picture.data.slice();
  const known = new Uint8Array(width * height);
  for (let i = 0; i < known.length; i++) known[i] = data[4 * i + 3] > 0 ? 1 : 0;
  if (!known.includes(0) || !known.includes(1)) return { ...picture, data };
  const steps = reach ? Math.max(reach.above, reach.below) + reach.alignment - 1 + EDGE : GROWN;
  for (let step = 0; step < steps; step++) {
    const grown = [];
    for (let i = 0; i < known.length; i++) {
      if (known[i]) continue;
      const mean = meanAround(data, known, i, width, height);
      if (mean) grown.push([i, mean]);
    }
    if (!grown.length) break;
    for (const [i, mean] of grown) {
      data.set(mean, 4 * i);
      known[i] = 1;
    }
  }
  return { ...picture, data };
}

function meanAround(data, known, index, width, height) {
  const total = [0, 0, 0];
  let count = 0;
  eachAround(index, width, height, (near) => {
    if (near === index || !known[near]) return;
    for (let c = 0; c < 3; c++) total[c] += data[4 * near + c];
    count++;
  });
  return count ? total.map((sum) => sum / count) : null;
}

function eachAround(index, width, height, call) {
  const x = index % width;
  const y = (index - x) / width;
  for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
    for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) call(row * width + column);
  }
}

/** Writes enlarged transparency into a result, limited to what is around each pixel of the picture. */
export function applyTransparency(result, picture, enlarged) {
  const scale = result.width / picture.width;
  const low = new Uint8Array(picture.width * picture.height).fill(255);
  const high = new Uint8Array(low.length);
  for (let i = 0; i < low.length; i++) {
    eachAround(i, picture.width, picture.height, (near) => {
      low[i] = Math.min(low[i], picture.data[4 * near + 3]);
      high[i] = Math.max(high[i], picture.data[4 * near + 3]);
    });
  }
  for (let y = 0; y < result.height; y++) {
    for (let x = 0; x < result.width; x++) {
      const i = Math.floor(y / scale) * picture.width + Math.floor(x / scale);
      const at = 4 * (y * result.width + x);
      result.data[at + 3] = Math.min(Math.max(enlarged.data[at], low[i]), high[i]);
    }
  }
}
