// ONNX Runtime Web, WebAssembly: `node ort_web.mjs MODEL INPUT OUTPUT TYPE SHAPE`, raw values, TYPE as ORT names it.
import { readFileSync, writeFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

const [model, input, output, type, shape] = process.argv.slice(2);
const bytes = readFileSync(input);
const kinds = { float32: Float32Array, uint8: Uint8Array };
const values = new kinds[type](bytes.buffer, bytes.byteOffset, bytes.length / kinds[type].BYTES_PER_ELEMENT);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ["wasm"] });
const feeds = { [session.inputNames[0]]: new ort.Tensor(type, values, shape.split(",").map(Number)) };
const result = (await session.run(feeds))[session.outputNames[0]];
writeFileSync(output, result.data);
console.log(result.dims.join(","));
