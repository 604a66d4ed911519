// The comparison: picture before and after on two canvases, and the line between them.

export class View {
  /** @param find the elements of the page, by id */
  constructor(find) {
    this.left = find("viewleft");
    this.right = find("viewright");
    this.stage = find("viewstage");
    this.slider = this.stage.closest(".slider");
    this.upper = find("viewupper");
    this.line = find("viewline");
    this.actual = find("actual");
    this.result = null;
    this.line.addEventListener("input", () => this.move(this.line.value));
    this.actual.addEventListener("change", () => this.fit());
    for (const kind of ["pointerdown", "pointermove"]) this.stage.addEventListener(kind, (event) => this.drag(event));
    this.move(50);
  }

  /**
   * Shows a picture and its result.
   * @param {ImageBitmap} before enlarged here by the browser's best interpolation
   * @param {{data, width, height}} after
   */
  show(before, after) {
    const { width, height } = after;
    for (const canvas of [this.left, this.right]) Object.assign(canvas, { width, height });
    this.result = new ImageData(after.data, width, height);
    this.right.getContext("2d").putImageData(this.result, 0, 0);
    const context = this.left.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(before, 0, 0, width, height);
    this.fit();
  }

  /** The size on the page: what fits into the window, or one pixel of the screen for each of the result. */
  fit() {
    const { width, height } = this.right;
    this.stage.style.aspectRatio = `${width} / ${height}`;
    this.stage.style.width = this.actual.checked ? `${width / devicePixelRatio}px` : "100%";
    // The range is as wide as the picture, so that its handle is where the line is.
    this.slider.style.maxWidth = this.actual.checked ? "" : `max(15rem, ${(85 * width) / height}vh)`;
  }

  move(percent) {
    this.line.value = percent;
    this.upper.style.width = `${percent}%`;
    this.line.setAttribute("aria-valuetext", `${Math.round(percent)} percent of the picture is before`);
  }

  drag(event) {
    if (!event.isPrimary || (event.type === "pointermove" && !event.buttons)) return;
    const box = this.stage.getBoundingClientRect();
    this.move((100 * Math.min(Math.max(event.clientX - box.left, 0), box.width)) / box.width);
  }
}
