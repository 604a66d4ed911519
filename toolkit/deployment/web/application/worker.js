// The worker, which computes while the page stays responsive. Each message is { id, task, ... }, and so is each answer.

import { pixelsOf } from "./pixels.js";
import { png } from "./png.js";
import { firstLine, startProvider, title } from "./provider.js";
import { Superseded } from "./upscaler.js";

let network, provider;
let latest = 0; // id of the newest picture: older ones are not finished

const tasks = {
  async start({ names, memory }) {
    const answer = await fetch("network.json");
    if (!answer.ok) throw new Error(`the server does not have network.json (${answer.status})`);
    network = { ...(await answer.json()) };
    if (memory) network.memory = memory;
    provider = await startProvider(network, names);
    return { network, provider: summary() };
  },

  async upscale({ id, bitmap }) {
    const begun = performance.now();
    const picture = pixelsOf(bitmap);
    bitmap.close();
    let runs = 0;
    const onStrip = async (done, count) => {
      runs = count;
      postMessage({ id, progress: done / count });
      await new Promise((resume) => setTimeout(resume)); // messages of the page come in
      if (id !== latest) throw new Superseded();
    };
    const result = await computed(picture, onStrip);
    const times = { total: performance.now() - begun, network: provider.upscaler.networkTime, runs };
    return { result, times, provider: summary(), transfer: [result.data.buffer] };
  },

  async png({ picture }) {
    return { blob: await png(picture) };
  },
};

/** The enlarged picture. If the GPU fails, for example because it was removed, WebAssembly goes on, and says so. */
async function computed(picture, onStrip) {
  try {
    return await provider.upscaler.upscale(picture, onStrip);
  } catch (error) {
    if (error instanceof Superseded || provider.name !== "webgpu") throw error;
    const reason = `${title(provider.name)} failed: ${firstLine(error)}`;
    provider = await startProvider(network, ["wasm"]);
    provider.rejected.unshift(reason);
    return provider.upscaler.upscale(picture, onStrip);
  }
}

const summary = () => ({ name: provider.name, device: provider.device, levels: provider.levels, rejected: provider.rejected });

addEventListener("message", async ({ data }) => {
  if (data.task === "upscale") latest = data.id;
  try {
    const { transfer, ...answer } = await tasks[data.task](data);
    postMessage({ id: data.id, answer }, transfer ?? []);
  } catch (error) {
    postMessage({ id: data.id, error: firstLine(error), superseded: error instanceof Superseded });
  }
});
