// The model in ONNX Runtime: WebGPU where there is one, else WebAssembly, on several threads where the page may have them.

const FOLDER = new URL("./vendor/onnxruntime-web/", import.meta.url);

/**
 * { run(inputs), hops, before, after, name, said }: the model as `liftTracks` takes it, and in words where it runs.
 *
 * `inputs` of `run` are { T, J, keypoints (T·J·2), visible (T·J), graph (J·J), sides (J) }; it promises joints (T·J·3).
 */
export async function loadModel(url, wanted = "auto") {
  const model = await bytesOf(url), facts = await (await fetch(new URL("./model.json", import.meta.url))).json();
  if (wanted !== "wasm" && (await hasGpu())) {
    try {
      return await started(model, facts, "webgpu");
    } catch (error) {
      console.warn("WebGPU can't run the model:", error);
    }
  }
  return started(model, facts, "wasm");
}

async function hasGpu() {
  try {
    return Boolean(await navigator.gpu?.requestAdapter());
  } catch {
    return false;
  }
}

async function started(model, facts, provider) {
  const gpu = provider === "webgpu", code = gpu ? "ort-wasm-simd-threaded.asyncify" : "ort-wasm-simd-threaded";
  const ort = await import(new URL(gpu ? "ort.webgpu.min.mjs" : "ort.wasm.min.mjs", FOLDER).href);
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: new URL(`${code}.mjs`, FOLDER).href, wasm: new URL(`${code}.wasm`, FOLDER).href };
  ort.env.wasm.wasmBinary = await unpacked(new URL(`${code}.wasm.gz`, FOLDER));
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, { executionProviders: [provider], graphOptimizationLevel: "all" });
  const run = async ({ T, J, keypoints, visible, graph, sides }) => {
    const { joints } = await session.run({
      keypoints: new ort.Tensor("float32", keypoints, [1, T, J, 2]),
      visible: new ort.Tensor("bool", visible, [1, T, J]),
      graph: new ort.Tensor("bool", graph, [1, J, J]),
      sides: new ort.Tensor("float32", sides, [1, J]),
    });
    return joints.data;
  };
  await check(run, facts.check);
  const said = gpu ? "WebGPU" : `WebAssembly, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
  return { ...facts, run, said };
}

/**
 * Throws unless the engine gives the joints that were computed when the page was built.
 *
 * What is compiled late is compiled with this first run: afterwards the page needs no network.
 */
async function check(run, { T, J, keypoints, joints: expected }) {
  const found = await run({
    T, J, keypoints: Float32Array.from(keypoints), visible: new Uint8Array(T * J).fill(1),
    graph: new Uint8Array(J * J).fill(1), sides: new Float32Array(J),
  });
  const off = expected.reduce((most, value, at) => Math.max(most, Math.abs(value - found[at])), 0);
  if (!(off < 1e-3)) throw new Error(`the model's joints are off by ${off} here`);
}

async function bytesOf(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: the server answered ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

async function unpacked(url) {
  const bytes = await bytesOf(url);
  // Some servers say that the file is packed, and browsers unpack it then.
  if (bytes[0] !== 0x1f) return bytes.buffer;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
