// Chooses what computes the network: WebGPU if it computes the test tile as ONNX Runtime did, otherwise WebAssembly.

import { Upscaler } from "./upscaler.js";

const FOLDER = "./onnxruntime/";
const MODULES = { webgpu: "ort.webgpu.min.mjs", wasm: "ort.wasm.min.mjs" };

/**
 * @typedef {object} Provider
 * @property {"webgpu" | "wasm"} name
 * @property {string} device what computes, for people
 * @property {number} levels by which the test tile differs from the reference
 * @property {string[]} rejected why the providers before it were not taken
 * @property {Upscaler} upscaler
 */

/**
 * The first provider that computes the test tile correctly.
 * @param network the description
 * @param {string[]} names of providers, the preferred one first
 * @returns {Promise<Provider>}
 */
export async function startProvider(network, names) {
  const rejected = [];
  for (const name of names) {
    try {
      const device = name === "webgpu" ? await gpuDevice(network) : cpuDevice();
      const upscaler = new Upscaler(network, await opened(network, name));
      const levels = await tileDifference(network, upscaler);
      if (levels <= network.tile.levels) return { name, device, levels, rejected, upscaler };
      rejected.push(`${title(name)} differs from the reference by ${levels} levels of 255`);
    } catch (error) {
      rejected.push(`${title(name)}: ${reason(error)}`);
    }
  }
  throw new Error(rejected.join("; "));
}

export const title = (name) => (name === "webgpu" ? "WebGPU" : "WebAssembly");

/** Why a provider does not run the network; the most frequent message of ONNX Runtime is about its own options. */
function reason(error) {
  const text = firstLine(error);
  return text.includes("fallback to CPU EP") ? "it has no kernels for some nodes of the network" : text;
}

export const firstLine = (error) => String(error?.message ?? error).split("\n")[0].slice(0, 300);

/** The GPU's name. Without shader-f16, ONNX Runtime Web 1.22 computed garbage in float16, without an error. */
async function gpuDevice(network) {
  if (!globalThis.navigator.gpu) throw new Error("this browser does not have it, or not on pages without https");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("there is no GPU that it can use");
  if (network.half && !adapter.features.has("shader-f16")) {
    throw new Error("this GPU does not compute in float16 (shader-f16), which the network needs");
  }
  const { vendor, architecture, description } = adapter.info;
  return description || [vendor, architecture].filter(Boolean).join(" ") || "GPU";
}

const threads = () => (globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1);

const cpuDevice = () => `CPU, ${threads()} ${threads() === 1 ? "thread" : "threads"}`;

/** The network as a function of one frame. */
async function opened(network, name) {
  const ort = await import(FOLDER + MODULES[name]);
  ort.env.logLevel = "fatal"; // what went wrong is an exception, and shown on the page
  ort.env.wasm.numThreads = threads();
  const session = await ort.InferenceSession.create(network.model, {
    executionProviders: [name],
    // No silent fallback: a node without a WebGPU kernel is an error, which leads to WebAssembly for the whole network.
    extra: { session: { disable_cpu_ep_fallback: name === "webgpu" ? "1" : "0" } },
  });
  return async (values, shape) => {
    const input = new ort.Tensor(network.input.dtype, values, shape);
    const output = (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]];
    const data = await output.getData(true);
    input.dispose();
    return data;
  };
}

/** The largest difference, in levels of 255, between the test tile computed here and by ONNX Runtime. */
async function tileDifference(network, upscaler) {
  const { width, height, input, expected } = network.tile;
  const wanted = await bytes(expected);
  const { data } = await upscaler.upscale({ width, height, data: rgba(await bytes(input)) });
  const found = rgba(wanted);
  if (found.length !== data.length) throw new Error("the test tile has another size");
  return data.reduce((most, value, at) => Math.max(most, Math.abs(value - found[at])), 0);
}

async function bytes(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`the server does not have ${name} (${answer.status})`);
  return new Uint8Array(await answer.arrayBuffer());
}

function rgba(rgb) {
  const data = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) data.set(rgb.subarray(from, from + 3), to);
  return data;
}
