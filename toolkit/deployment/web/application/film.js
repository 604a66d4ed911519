// Frames of a video file or of a shared tab, one after the other: the next one is taken when the last one is done.

export class Film {
  /**
   * @param {HTMLVideoElement} video
   * @param {(bitmap: ImageBitmap) => Promise<void>} onFrame
   * @param {(error: Error) => void} onError
   */
  constructor(video, onFrame, onError) {
    this.video = video;
    this.onFrame = onFrame;
    this.onError = onError;
    this.run = 0; // a new source ends the loop of the one before
  }

  /** Plays a file, or a stream; resolves when its first frame is there. */
  async open(source) {
    this.close();
    if (source instanceof MediaStream) this.video.srcObject = source;
    else this.video.src = URL.createObjectURL(source);
    const { video } = this;
    const decoded = new Promise((resolve, reject) => {
      video.requestVideoFrameCallback(resolve);
      video.onerror = () => reject(new Error("the browser cannot decode it"));
    });
    video.play().catch(() => {}); // where that needs a click, the first frame is shown, and the button for it
    await decoded;
    this.loop(++this.run);
  }

  close() {
    this.run++;
    if (this.video.srcObject) this.video.srcObject.getTracks().forEach((track) => track.stop());
    if (this.video.src) URL.revokeObjectURL(this.video.src);
    this.video.srcObject = null;
    this.video.removeAttribute("src");
    this.video.load();
  }

  async loop(run) {
    try {
      while (run === this.run) {
        // While a film jumps to another place, it has no frame.
        if (!(await this.until(run, () => this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA))) return;
        const shown = this.video.currentTime;
        await this.onFrame(await createImageBitmap(this.video));
        await this.until(run, () => this.video.currentTime !== shown);
      }
    } catch (error) {
      if (run === this.run) this.onError(error);
    }
  }

  /** Waits, from one frame of the screen to the next; false: another source was opened. */
  async until(run, condition) {
    while (run === this.run && !condition()) await new Promise(requestAnimationFrame);
    return run === this.run;
  }
}
