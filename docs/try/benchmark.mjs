// Frames a second of the page's model in onnxruntime-web: `node docs/try/benchmark.mjs build/try`, on a quiet machine.

import { gunzipSync } from "node:zlib";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { cpus } from "node:os";
import { pathToFileURL } from "node:url";

const J = 26, FRAMES = 1536, ROUNDS = 5;
const folder = resolve(process.argv[2] ?? "build/try"), vendor = `${folder}/vendor/onnxruntime-web/`;
const { liftTracks } = await import(pathToFileURL(`${folder}/lifting.js`).href);
const facts = JSON.parse(readFileSync(`${folder}/model.json`, "utf-8"));
const threads = Number(process.argv[3] ?? 0);

if (!threads) {
  // A process for each: the number of threads is fixed once the code is compiled.
  const { spawnSync } = await import("node:child_process");
  console.log(`${cpus()[0].model}, ${J} joints, ${FRAMES} frames, median of ${ROUNDS}`);
  for (const count of [1, 2]) spawnSync(process.execPath, [process.argv[1], folder, String(count)], { stdio: "inherit" });
} else {
  const ort = await import(pathToFileURL(`${vendor}ort.wasm.min.mjs`).href);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: pathToFileURL(`${vendor}ort-wasm-simd-threaded.mjs`).href };
  ort.env.wasm.wasmBinary = gunzipSync(readFileSync(`${vendor}ort-wasm-simd-threaded.wasm.gz`)).buffer;
  const session = await ort.InferenceSession.create(readFileSync(`${folder}/model.onnx`), { executionProviders: ["wasm"] });
  const run = async ({ T, keypoints, visible, graph, sides }) => {
    const { joints } = await session.run({
      keypoints: new ort.Tensor("float32", keypoints, [1, T, J, 2]), visible: new ort.Tensor("bool", visible, [1, T, J]),
      graph: new ort.Tensor("bool", graph, [1, J, J]), sides: new ort.Tensor("float32", sides, [1, J]),
    });
    return joints.data;
  };
  const names = Array.from({ length: J }, (_, joint) => `joint_${joint}`), edges = names.slice(1).map((_, joint) => [joint, joint + 1]);
  const tracks = {
    N: 1, T: FRAMES, J, keypoints: Float32Array.from({ length: 2 * FRAMES * J }, (_, at) => 300 + 80 * Math.sin(at * 1.7) + 9 * Math.sin(at / 97)),
    confidence: new Float32Array(FRAMES * J).fill(1), skeleton: { names, edges, sides: names.map(() => 0) },
  };
  const rates = [];
  // The first rounds are left out: V8 compiles the code once more while it runs.
  for (let round = -2; round < ROUNDS; round++) {
    const begun = performance.now();
    await liftTracks({ ...facts, run }, tracks);
    if (round >= 0) rates.push((1000 * FRAMES) / (performance.now() - begun));
  }
  console.log(`${threads} thread${threads > 1 ? "s" : ""}: ${Math.round(rates.sort((a, b) => a - b)[ROUNDS >> 1])} frames/s`);
  process.exit(0);
}
