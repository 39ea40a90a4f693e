// Texts, buttons, keys and touch.

function describe() {
  $("units").textContent = info.frame === "object" ? `${info.units}, ${info.axes}` : `${info.units}: ${info.axes}`;
  $("subtitle").textContent = [
    `lifted by olift, model ${info.model}`, info.skeleton && `skeleton ${info.skeleton}`,
    info.camera, count(info.total, "frame"), info.fps && `${Number(info.fps.toFixed(2))} frames/s`, count(J, "joint"),
  ].filter(Boolean).join(" · ");
  const touch = matchMedia("(pointer: coarse)").matches;
  const notes = ["Hollow: hidden in the input, estimated. Cross: detected below the confidence asked for."];
  notes.push(touch ? "One finger turns, two zoom and move." : "Drag to orbit, scroll to zoom.");
  if (info.stride > 1) notes.unshift(`Every ${ordinal(info.stride)} frame of ${info.total.toLocaleString("en")} is drawn.`);
  if (!info.fps) notes.unshift("Frames per second unknown: played at 30.");
  if (!info.edges.length) notes.unshift("No skeleton edges known: joints only.");
  if (info.edges.some((edge) => edge[3])) notes.unshift("Dashed: bones that were inferred, not given.");
  if (info.deviation) notes.push("±: one standard deviation of the depth, as the model estimates it.");
  if (info.floor) notes.push(info.floor.known ? "Grid: the floor." : "Grid: level, below the lowest joint; no floor is known.");
  $("uncertainty").hidden = !info.deviation;
  $("notes").textContent = notes.join(" ");
  $("scrub").max = F - 1;
  const names = N > 1 ? ["all tracks", ...info.tracks] : ["the animal"];
  $("follow").append(...names.map((name, n) => new Option(`Follow ${name}`, String(n))));
}

function buildLegend() {
  $("legend").replaceChildren();
  info.tracks.forEach((name, n) => {
    const chip = document.createElement("button"), swatch = document.createElement("span");
    chip.type = "button";
    chip.title = "Show or hide this track";
    chip.setAttribute("aria-pressed", String(shown[n]));
    swatch.className = "swatch";
    for (const color of colors(n)) { const bar = document.createElement("i"); bar.style.background = color; swatch.append(bar); }
    chip.append(swatch, name);
    chip.onclick = () => { shown[n] = !shown[n]; chip.setAttribute("aria-pressed", String(shown[n])); draw(state.frame); };
    $("legend").append(chip);
  });
  const keys = ["● seen", "○ estimated"];
  if (data.marks.some((mark, at) => !(mark & SEEN) && data.keypoints[2 * at] !== info.missing)) keys.push("× unsure");
  if (info.edges.some((edge) => edge[3])) keys.push("┄ inferred");
  if (info.sides.some(Boolean)) keys.push("shades: left, middle, right");
  const key = document.createElement("span");
  key.className = "key";
  key.textContent = keys.join("  ");
  $("legend").append(key);
}

function play() {
  if (state.playing || F < 2) return;
  state.playing = true;
  document.body.classList.add("playing");
  $("play").setAttribute("aria-label", "Pause");
  playVideo();
  let from = performance.now(), base = state.frame, speed = Number($("speed").value), last = state.frame;
  const tick = (now) => {
    if (!state.playing) return;
    const chosen = Number($("speed").value);
    // After a change of speed or of the frame, time counts from there.
    if (chosen !== speed || state.frame !== last) { from = now; base = state.frame; speed = chosen; }
    const filmed = videoFrame();
    const next = filmed ?? (base + Math.floor(Math.max(0, now - from) / 1000 * rate * speed)) % F;
    if (next !== state.frame && next >= 0 && !state.drawing) draw(next);
    last = state.frame;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function pause() {
  if (!state.playing) return;
  state.playing = false;
  pauseVideo();
  document.body.classList.remove("playing");
  $("play").setAttribute("aria-label", "Play");
  draw(state.frame);
}

function connect() {
  const toggle = () => (state.playing ? pause() : play());
  const step = (by) => { pause(); draw((state.frame + by + F) % F); };
  const scrub = () => { if (film.element) pause(); draw(Number($("scrub").value)); };
  $("play").onclick = toggle;
  $("scrub").oninput = scrub;
  $("follow").onchange = () => follow($("follow").value === "" ? null : Number($("follow").value));
  $("uncertainty").onclick = uncertainty;
  $("trails").onclick = trail;
  $("view").onchange = () => { state.side = $("view").value; draw(state.frame); };
  $("joints-button").onclick = () => showJoints($("joints").hidden);
  $("search").oninput = find;
  $("home").onclick = home;
  $("theme").onclick = () => { setTheme(isDark() ? "light" : "dark"); buildLegend(); buildJoints(); repaint(); };
  const next = () => follow(state.follow === null ? 0 : N > 1 && state.follow < N ? state.follow + 1 : null);
  const keys = {
    " ": toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(-state.frame), End: () => step(F - 1 - state.frame),
    f: next, u: uncertainty, t: trail, j: () => showJoints($("joints").hidden), h: home,
  };
  addEventListener("keydown", (event) => {
    const own = event.target.closest("input[type=search]") || (event.target.closest("button, select") && event.key === " ");
    if (!keys[event.key] || own || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("hashchange", () => {
    const asked = new URLSearchParams(location.hash.slice(1)).get("frame");
    if (asked !== null) olift.setFrame(Number(asked));
  });
  pinch($("scene"), zoomScene);
  pinch($("image"), zoomImage);
}

/** Makes the views follow all shown tracks (0), track n (n + 1), or none (null), and zoom in on them. */
async function follow(which) {
  state.follow = which;
  $("follow").value = which === null ? "" : String(which);
  $("follow").classList.toggle("on", which !== null);
  await repaint(true);
}

async function uncertainty() {
  if (!info.deviation) return;
  state.uncertainty = !state.uncertainty;
  $("uncertainty").setAttribute("aria-pressed", String(state.uncertainty));
  await draw(state.frame);
}

async function trail() {
  state.trails = !state.trails;
  $("trails").setAttribute("aria-pressed", String(state.trails));
  await draw(state.frame);
}

/** Calls zoom(by, dx, dy) while two fingers move on a plot, with the factor of their distance and their movement. */
function pinch(plot, zoom) {
  let had = null;
  const fingers = ({ touches: [a, b] }) => ({
    apart: Math.max(1, Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY)), x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2,
  });
  const take = (event) => { event.preventDefault(); event.stopPropagation(); };
  plot.addEventListener("touchstart", (event) => {
    had = event.touches.length === 2 ? fingers(event) : null;
    if (had) take(event);
  }, { capture: true, passive: false });
  plot.addEventListener("touchmove", (event) => {
    if (!had || event.touches.length !== 2) return;
    take(event);
    const now = fingers(event);
    zoom(now.apart / had.apart, now.x - had.x, now.y - had.y);
    had = now;
  }, { capture: true, passive: false });
  plot.addEventListener("touchend", () => { had = null; }, { capture: true });
}

function zoomScene(by) {
  const scene = $("scene"), camera = scene._fullLayout.scene._scene.getCamera();
  for (const k of ["x", "y", "z"]) camera.eye[k] = camera.center[k] + (camera.eye[k] - camera.center[k]) / by;
  Plotly.relayout(scene, { "scene.camera": camera });
}

function zoomImage(by, dx, dy) {
  const { xaxis, yaxis } = $("image")._fullLayout;
  const changed = (axis, moved) => {
    const [a, b] = axis.range, middle = (a + b) / 2 - (moved / axis._length) * (b - a), half = (b - a) / 2 / by;
    return [middle - half, middle + half];
  };
  Plotly.relayout($("image"), { "xaxis.range": changed(xaxis, dx), "yaxis.range": changed(yaxis, -dy) });
}

function setTheme(name) { document.documentElement.dataset.theme = name === "dark" ? "dark" : "light"; }
function clamp(i) { return Math.max(0, Math.min(F - 1, Math.round(i) || 0)); }
