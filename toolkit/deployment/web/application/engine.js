// The worker as seen by the page: tasks are promises.

export class Superseded extends Error {}

export class Engine {
  constructor() {
    this.waiting = new Map();
    this.count = 0;
    this.worker = new Worker("worker.js", { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.answered(data));
    this.worker.addEventListener("error", (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the worker does not start"));
      this.waiting.clear();
    });
  }

  /** Runs a task of worker.js. */
  ask(task, content, { transfer = [], onProgress = () => {} } = {}) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, onProgress });
      this.worker.postMessage({ id, task, ...content }, transfer);
    });
  }

  answered({ id, answer, error, progress, superseded }) {
    const task = this.waiting.get(id);
    if (!task) return;
    if (progress !== undefined) {
      task.onProgress(progress);
      return;
    }
    this.waiting.delete(id);
    if (answer) task.resolve(answer);
    else task.reject(superseded ? new Superseded() : new Error(error));
  }
}
