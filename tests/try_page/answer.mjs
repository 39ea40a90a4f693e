// Answers questions about the page's modules: { tables, ask, … } as JSON on standard input, the answer on its output.

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";

const source = (name) => import(new URL(`../../docs/try/src/${name}.js`, import.meta.url));
const { useTables } = await source("tables");
const given = JSON.parse(readFileSync(0, "utf-8"));
useTables(JSON.parse(readFileSync(given.tables, "utf-8")));

const listed = (value) => (ArrayBuffer.isView(value) ? Array.from(value, (one) => (Number.isFinite(one) ? one : null)) : value);
const fromLists = (result) => {
  const numbers = (name, Type) => Type.from(result[name], (value) => value ?? NaN);
  const floats = ["joints", "keypoints", "confidence", "scale", "centers", "rotation"].map((name) => [name, numbers(name, Float32Array)]);
  return { ...result, ...Object.fromEntries(floats), visible: numbers("visible", Uint8Array) };
};

const answers = {
  async names({ lists }) {
    const [{ edgesByName }, { inferSides }] = await Promise.all([source("anatomy"), source("sides")]);
    return lists.map((names) => ({ edges: edgesByName(names), sides: inferSides(names) }));
  },
  async read({ recordings }) {
    const { read } = await source("read");
    return Promise.all(recordings.map(async (paths) => {
      try {
        const files = paths.map((path) => ({ name: basename(path), bytes: new Uint8Array(readFileSync(path)) }));
        return Object.fromEntries(Object.entries(await read(files)).map(([name, value]) => [name, listed(value)]));
      } catch (error) {
        if (error.constructor.name !== "InputError") throw error;
        return { refused: error.message };
      }
    }));
  },
  async camera({ moments }) {
    const { fitCamera } = await source("camera");
    return moments.map(fitCamera);
  },
  async stretches({ visible, before, after, chunk }) {
    const { stretchesOf } = await source("lifting");
    return stretchesOf(Uint8Array.from(visible), visible.length, 1, { before, after }, chunk);
  },
  async prepare({ keypoints, visible, T, J }) {
    const { prepare } = await source("lifting");
    const prepared = prepare(Float32Array.from(keypoints, (value) => value ?? NaN), Uint8Array.from(visible), T, J);
    return Object.fromEntries(Object.entries(prepared).map(([name, value]) => [name, listed(value)]));
  },
  async pack({ result, stride }) {
    const { pack } = await source("viewer");
    const { info, bytes } = pack(fromLists(result), stride);
    return { info, bytes: Buffer.from(bytes).toString("base64") };
  },
  async write({ result, npz, csv }) {
    const { csvOf, npzOf } = await source("writing"), whole = fromLists(result);
    writeFileSync(npz, Buffer.from(await (await npzOf(whole)).arrayBuffer()));
    writeFileSync(csv, await csvOf(whole).text());
    return true;
  },
  async hands({ lists, tracks }) {
    const { handOf, isHand } = await source("hands");
    return lists.map((names) => ({
      hand: isHand(names), sides: tracks.map((track) => handOf({ names, sides: names.map(() => 0) }, track).sides),
    }));
  },
  async kinds({ lists }) {
    const { kindsOf } = await source("kinds");
    return lists.map(kindsOf);
  },
  async rotations({ matrices, sequence }) {
    const { eulerZxy, makeProper, quaternions } = await source("rotations");
    const proper = Float64Array.from(matrices), turns = Float64Array.from(sequence);
    for (let at = 0; at < proper.length; at += 9) makeProper(proper, at);
    return { proper: [...proper], euler: [...eulerZxy(turns)], quaternions: [...quaternions(turns)] };
  },
  async animate({ results }) {
    const modules = await Promise.all(["writing", "taking", "bvh", "gltf"].map(source));
    const [{ animationsOf }, { takeTrack, tracksWithJoints }, { bvhOf }, { glbOf }] = modules;
    return Promise.all(results.map(async ({ result, bvh, glb, track = 0 }) => {
      const whole = fromLists(result), answer = { ...animationsOf(whole, track), tracks: tracksWithJoints(whole) };
      for (const [path, write] of [[bvh, () => bvhOf(takeTrack(whole, track))], [glb, () => glbOf(whole)]]) {
        if (!path) continue;
        try {
          writeFileSync(path, Buffer.from(await write().arrayBuffer()));
        } catch (error) {
          if (error.constructor.name !== "InputError") throw error;
          answer.refused = error.message;
        }
      }
      return answer;
    }));
  },
};

writeFileSync(1, JSON.stringify(await answers[given.ask](given)));
