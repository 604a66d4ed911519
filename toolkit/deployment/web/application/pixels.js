// The pixels of an image that the browser has decoded.

import { hasTransparency } from "./transparency.js";

/** RGBA of an ImageBitmap, not premultiplied. */
export function pixelsOf(bitmap) {
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`this browser cannot read pictures of ${width}×${height} pixels`);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return hasTransparency({ data }) ? straight(bitmap) : { data, width, height };
}

/** The same of a picture with transparency: a 2D canvas would lose the colours of transparent pixels, WebGL does not. */
function straight(bitmap) {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) throw new Error("pictures with transparency need WebGL 2, which this browser does not have");
  const most = gl.getParameter(gl.MAX_TEXTURE_SIZE);
  if (Math.max(width, height) > most) throw new Error(`pictures with transparency can have sides of ${most} pixels here`);
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  const data = new Uint8ClampedArray(4 * width * height);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, data);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return { data, width, height };
}
