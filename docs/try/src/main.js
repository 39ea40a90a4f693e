// The page: files in, a viewer and downloads out. What is read and lifted is read and lifted by worker.js.

import { plural } from "./errors.js";
import { useTables } from "./tables.js";
import { takeTrack, tracksWithJoints } from "./taking.js";
import { viewerPage } from "./viewer.js";
import { animationsOf, csvOf, npzOf } from "./writing.js";

const $ = (id) => document.getElementById(id);
const worker = new Worker(new URL("./worker.js", import.meta.url).href + location.hash, { type: "module" });
let template, links = [], files = null, typed = {}, shown = 0, messages = 0;
/** What waits for a file that worker.js writes, by the number of the message. */
const waiting = new Map();

/** What tests and scripts see: the newest result, and how far the page is. */
const page = window.page = { result: null, ready: false, busy: false };

start().catch((error) => tell(`This page could not start: ${error.message}`, "error"));

async function start() {
  const [words, viewer, example] = await Promise.all(["tables.json", "viewer.html", "example.csv"].map(fetched));
  useTables(await words.json());
  template = await viewer.text();
  const sample = new File([await example.blob()], "example.csv");
  $("example").onclick = () => take([sample]);
  $("choose").onclick = () => $("files").click();
  $("files").onchange = () => {
    const given = [...$("files").files];
    // The same file may be chosen again, once it has changed on disk.
    $("files").value = "";
    take(given);
  };
  $("confidence").onchange = () => files && take(files);
  $("fps").onchange = () => {
    typed = { files, fps: Number($("fps").value) > 0 ? Number($("fps").value) : null };
    if (page.result) show({ ...page.result, fps: typed.fps }).catch(cantShow);
  };
  $("track").onchange = () => page.result && offerAnimations(page.result);
  connectDrop(document.body);
}

async function fetched(name) {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: the server answered ${answer.status}`);
  return answer;
}

worker.onmessage = ({ data }) => {
  if (data.ready) {
    page.ready = true;
    $("engine").textContent = `${data.ready.said} · model ${data.ready.name} ${data.ready.version}`;
    if (!page.busy && !page.result) tell("Ready. From here on nothing needs the network.");
  } else if (data.broken) {
    tell(data.broken, "error");
  } else if (data.progress !== undefined) {
    $("progress").value = data.progress;
  } else if (data.id !== undefined) {
    const { done, failed } = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.blob) done(data.blob);
    else failed(new Error(data.refused));
  } else {
    page.busy = false;
    $("progress").hidden = true;
    if (data.error) tell(data.error, "error");
    else show({ ...data.result, fps: fpsOf(data.result) }).catch(cantShow);
  }
};
worker.onerror = () => tell("This page could not start: it needs a browser of 2023 or later.", "error");

function connectDrop(area) {
  area.ondragover = (event) => {
    event.preventDefault();
    area.classList.add("over");
  };
  area.ondragleave = () => area.classList.remove("over");
  area.ondrop = async (event) => {
    event.preventDefault();
    area.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
    const folder = entries.find((entry) => entry?.isDirectory);
    take(folder ? await filesOf(folder) : [...event.dataTransfer.files]);
  };
}

/** The files in a dropped folder. */
async function filesOf(folder) {
  const reader = folder.createReader(), found = [];
  for (;;) {
    const entries = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!entries.length) return found;
    const own = entries.filter((entry) => entry.isFile && !entry.name.startsWith("."));
    found.push(...await Promise.all(own.map((entry) => new Promise((done, failed) => entry.file(done, failed)))));
  }
}

/** Reads and lifts files that the visitor gave. */
async function take(given) {
  if (!given.length || page.busy) return;
  files = given;
  Object.assign(page, { busy: true, result: null });
  clear();
  $("progress").hidden = false;
  $("progress").removeAttribute("value");
  tell(`Lifting ${given.length === 1 ? given[0].name : plural(given.length, "file")} …`);
  try {
    const read = await Promise.all(given.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    worker.postMessage({ files: read, minConfidence: Number($("confidence").value) });
  } catch (error) {
    page.busy = false;
    $("progress").hidden = true;
    tell(`${given[0].name}: can't be read: ${error.message}`, "error");
  }
}

/** What was typed for these files, what they tell, or what was typed for others. */
function fpsOf(result) {
  return (typed.files === files ? typed.fps : null) ?? result.fps ?? typed.fps ?? null;
}

function cantShow(error) {
  tell(`The result can't be shown: ${error.message}`, "error");
}

/** Shows a result, and offers it as files. */
async function show(result) {
  const turn = ++shown, { N, T, J, seconds } = result, name = nameOf(result);
  // A viewer that plays would leave little time for the next one.
  clear();
  const html = new Blob([await viewerPage(template, result)], { type: "text/html" }), npz = await npzOf(result);
  // Meanwhile there may be a newer one.
  if (turn !== shown || page.busy) return;
  $("downloads").append(...[[html, "html", "Page"], [npz, "npz", "npz"], [csvOf(result), "csv", "csv"]]
    .map(([blob, ending, label]) => linkTo(blob, `${name}.${ending}`, label)));
  $("viewer").src = links[0].href;
  for (const [kind, list] of [["warning", result.warnings], ["note", result.notes]]) {
    for (const text of list) $("notes").append(Object.assign(document.createElement("li"), { className: kind, textContent: text }));
  }
  $("fps").value = result.fps ?? "";
  $("track").replaceChildren(...tracksWithJoints(result).map((track) => new Option(result.tracks[track], track)));
  offerAnimations(result);
  $("result").hidden = false;
  const rate = Math.round((N * T) / Math.max(seconds, 1e-3)).toLocaleString("en");
  tell(`${result.source}: ${result.format}, ${plural(N, "track")}, ${plural(T, "frame")}, ${plural(J, "joint")}, lifted at ${rate} frames/s.`);
  page.result = result;
}

/** What the files of a result are called, without their ending. */
function nameOf(result) {
  return `${result.source.replace(/^.* from /, "").replace(/\.[^.]*$/, "")}.lifted`;
}

function linkTo(blob, file, label) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: file, textContent: label });
  links.push(link);
  return link;
}

/** Buttons for the animations that a result can be written as, and what the others lack. */
function offerAnimations(result) {
  const several = result.N > 1, track = several ? Number($("track").value) : 0, { kinds, lacks } = animationsOf(result, track);
  $("one").hidden = !several || !result.fps;
  $("lacks").textContent = lacks.join(" ");
  $("animations").replaceChildren(...kinds.map((kind) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind.toUpperCase() });
    const own = result.tracks[track].replace(/[^\p{L}\p{N}_.-]+/gu, "_"), ending = kind === "bvh" && several ? `${own}.bvh` : kind;
    button.onclick = async () => {
      button.disabled = true;
      try {
        const blob = await written(kind, kind === "bvh" ? takeTrack(result, track) : result);
        if (!button.isConnected) return;
        const link = linkTo(blob, `${nameOf(result)}.${ending}`, button.textContent);
        button.replaceWith(link);
        link.click();
      } catch (error) {
        button.disabled = false;
        tell(`${button.textContent} can't be written: ${error.message}`, "error");
      }
    };
    return button;
  }));
}

/** Promises a Blob that worker.js makes of a result: it may take seconds. */
function written(kind, { keypoints, confidence, visible, centers, ...result }) {
  const id = ++messages;
  worker.postMessage({ write: kind, result, id });
  return new Promise((done, failed) => waiting.set(id, { done, failed }));
}

function clear() {
  links.forEach((link) => URL.revokeObjectURL(link.href));
  links = [];
  $("downloads").replaceChildren();
  $("animations").replaceChildren();
  $("notes").replaceChildren();
  $("viewer").removeAttribute("src");
  $("result").hidden = true;
}

function tell(text, kind = "") {
  $("status").textContent = text;
  $("status").className = kind;
}
