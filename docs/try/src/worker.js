// Reads, lifts and writes animations beside the page, which stays alive meanwhile. Messages in: { files, minConfidence } or
// { write, result, id }; out: { ready }, { progress }, { result } or { error }, { id, blob } or { id, refused }.

import { bvhOf } from "./bvh.js";
import { loadModel } from "./engine.js";
import { InputError } from "./errors.js";
import { glbOf } from "./gltf.js";
import { liftTracks } from "./lifting.js";
import { read } from "./read.js";
import { tables, useTables } from "./tables.js";
import * as h5wasm from "./vendor/h5wasm/hdf5_hl.js";

const wanted = new URLSearchParams(location.hash.slice(1)).get("engine") ?? "auto";

async function start() {
  useTables(await (await fetch(new URL("./tables.json", import.meta.url))).json());
  const [model, { FS }] = await Promise.all([loadModel(new URL("./model.onnx", import.meta.url), wanted), h5wasm.ready]);
  postMessage({ ready: { said: model.said, name: model.name, version: tables.version } });
  return { model, hdf5: async () => ({ File: h5wasm.File, FS }) };
}

const started = start();
started.catch((error) => postMessage({ broken: `this page could not start: ${error.message}` }));

onmessage = ({ data }) => (data.write ? write(data) : lift(data));

async function lift({ files, minConfidence }) {
  try {
    const { model, hdf5 } = await started;
    const tracks = await read(files, { minConfidence, hdf5 }), begun = performance.now();
    const lifted = await liftTracks(model, tracks, { minConfidence, progress: (share) => postMessage({ progress: share }) });
    const seconds = (performance.now() - begun) / 1000;
    postMessage({ result: { ...tracks, ...lifted, model: model.name, version: tables.version, seconds } });
  } catch (error) {
    if (!(error instanceof InputError)) console.error(error);
    postMessage({ error: error instanceof InputError ? error.message : `the page failed: ${error.message}` });
  }
}

async function write({ write: kind, result, id }) {
  try {
    // Words tell which joint a body hangs from.
    await started;
    postMessage({ id, blob: kind === "bvh" ? bvhOf(result) : glbOf(result) });
  } catch (error) {
    if (!(error instanceof InputError)) console.error(error);
    const why = error instanceof RangeError ? "it is too much for this page's memory; olift convert writes it from the npz" : error.message;
    postMessage({ id, refused: why });
  }
}
