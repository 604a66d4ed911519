// The page: connects what the reader does with the worker that computes, and says what happens.

import { Engine, Superseded } from "./engine.js";
import { Film } from "./film.js";
import { View } from "./view.js";

const MOST = 16384; // pixels of a side of a canvas, in the browsers of desktops
const MOST_PIXELS = 100e6; // of a result: 400 MB in memory

const find = (id) => document.getElementById(id);
const view = new View(find);
const engine = new Engine();
const film = new Film(find("video"), (bitmap) => enlarge(bitmap, source), fail);
let network;
let source = { name: "picture", moving: false }; // what is shown, or will be

find("unstarted").hidden = true;
/** `?provider=wasm` or `webgpu` allows only that one; `?memory=N` is the MiB of one strip. */
async function start() {
  const query = new URLSearchParams(location.search);
  const names = ["webgpu", "wasm"].filter((name) => [name, null].includes(query.get("provider")));
  if (!names.length) throw new Error("?provider= takes webgpu or wasm");
  say("Loading the network…");
  const answer = await engine.ask("start", { names, memory: Number(query.get("memory")) * 2 ** 20 });
  network = answer.network;
  showProvider(answer.provider);
  find("application").hidden = false;
  find("share").hidden = !navigator.mediaDevices?.getDisplayMedia;
  say("Ready.");
}

function showProvider({ name, device, levels, rejected }) {
  const title = name === "webgpu" ? "WebGPU" : "WebAssembly";
  find("provider").textContent = `${title} (${device})`;
  const equal = levels === 0 ? "exactly" : `within ${levels} of 255 levels`;
  find("reference").textContent = `yes, ${equal}`;
  find("reference").className = "good";
  find("reference").title = `A test tile, computed when the page was opened and by ${network.tile.runtime}.`;
  if (rejected.length) warn("fallback", `Computed by ${title} on the CPU, which is slower. ${rejected.join("; ")}.`);
}

/** Shows a file: a picture, or else a video. */
async function open(file) {
  film.close();
  const moving = file.type.startsWith("video/");
  source = { name: file.name.replace(/\.[^.]*$/, "") || "picture", moving };
  find("error").hidden = true;
  showVideo(false);
  say(`Reading ${file.name}…`);
  try {
    if (moving) await openFilm(file);
    else await enlarge(await createImageBitmap(file, { premultiplyAlpha: "none" }), source);
  } catch (error) {
    if (error instanceof Superseded) return;
    showVideo(false);
    const unread = error instanceof DOMException || moving;
    const advice = "is no picture or video that this browser can decode. PNG, JPEG, WebP, AVIF, MP4 and WebM usually are";
    fail(unread ? new Error(`${file.name} ${advice}.`) : error);
  }
}

async function openFilm(content) {
  showVideo(true, content); // a video that is not rendered has no frames
  await film.open(content);
  say("");
}

async function share() {
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: true, audio: false });
    stream.getVideoTracks()[0].addEventListener("ended", stop);
    source = { name: "shared", moving: true };
    find("error").hidden = true;
    await openFilm(stream);
  } catch (error) {
    // Declining is no error.
    if (error.name !== "NotAllowedError") fail(error);
  }
}

function stop() {
  film.close();
  showVideo(false);
  say("Sharing has ended.");
}

/** Shows the controls of a film, or the button that ends a stream, of which there is nothing to control. */
function showVideo(shown, content) {
  const stream = content instanceof MediaStream;
  find("video").hidden = !shown;
  find("video").classList.toggle("unseen", stream);
  find("stop").hidden = !stream;
}

/** Enlarges one picture or frame and shows it. */
async function enlarge(bitmap, from) {
  const width = network.scale * bitmap.width;
  const height = network.scale * bitmap.height;
  if (Math.max(width, height) > MOST || width * height > MOST_PIXELS) {
    throw new Error(`The result would have ${width}×${height} pixels, more than a page can show. Crop the picture first.`);
  }
  const onProgress = (fraction) => {
    find("progress").hidden = from.moving; // it would flicker
    find("progress").value = fraction;
  };
  try {
    const { result, times, provider } = await engine.ask("upscale", { bitmap }, { onProgress });
    showProvider(provider);
    if (from !== source) return; // another file was opened meanwhile
    find("result").hidden = false;
    view.show(bitmap, result);
    describe(bitmap, result, times, from);
  } finally {
    find("progress").hidden = true;
    bitmap.close();
  }
}

function describe(bitmap, result, times, { name, moving }) {
  const sizes = `${bitmap.width}×${bitmap.height} → ${result.width}×${result.height}`;
  find("caption").textContent = `${name}: ${sizes}`;
  const runs = times.runs > 1 ? ` in ${times.runs} runs` : "";
  find("time").textContent = `${milliseconds(times.total)} (network ${milliseconds(times.network)}${runs})`;
  // Screen readers are not told of every frame.
  if (!moving) say(`${name} enlarged, ${sizes} pixels, in ${milliseconds(times.total)}.`);
}

const milliseconds = (time) => (time < 10_000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`);

async function save() {
  const { data, width, height } = view.result;
  const { blob } = await engine.ask("png", { picture: { data, width, height } });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${source.name}_x${network.scale}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const say = (text) => (find("status").textContent = text);

function warn(id, text) {
  find(id).textContent = text;
  find(id).hidden = false;
}

function fail(error) {
  if (error instanceof Superseded) return;
  say("");
  warn("error", error.message);
}

find("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = ""; // the same file can be chosen again
});
find("share").addEventListener("click", share);
find("stop").addEventListener("click", stop);
find("save").addEventListener("click", () => save().catch(fail));
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").classList.add("over");
});
addEventListener("dragleave", () => find("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").classList.remove("over");
  if (network && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
});
addEventListener("paste", ({ clipboardData }) => {
  if (network && clipboardData.files.length) open(clipboardData.files[0]);
});

start().catch((error) => {
  find("provider").textContent = "nothing";
  find("reference").textContent = "no";
  find("reference").className = "bad";
  say("");
  warn("fallback", `Nothing can be enlarged here. ${error.message}.`);
});
