"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const info = JSON.parse($("info").textContent);
  const N = info.tracks.length, J = info.joints.length, F = info.frames;
  const rate = (info.fps || 30) / info.stride;
  const options = new URLSearchParams(location.hash.slice(1));
  const shown = info.tracks.map(() => true);
  const state = { frame: 0, playing: false, follow: false, uncertainty: false, drawing: null, wanted: null };
  let data, firstEye;

  const olift = window.olift = {
    frameCount: F,
    get frame() { return state.frame; },
    /** Draws frame i; resolves when it is on the screen. */
    setFrame(i) { pause(); return draw(clamp(i)); },
    /** Joints of the frame on show, [track][joint] = [x, y, z] as in the file, or null where there is none. */
    positions() { return info.tracks.map((_, n) => info.joints.map((_, j) => joint(state.frame, n, j))); },
    play, pause,
  };
  olift.ready = start().catch((error) => { $("message").textContent = `This page cannot be shown: ${error.message}`; throw error; });

  async function start() {
    if (!("DecompressionStream" in window)) throw new Error("it needs a browser of 2023 or later");
    setTheme(options.get("theme") || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    const [blob, plotly] = await Promise.all([unpack("blob"), unpack("plotly")]);
    data = split(blob);
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(plotly);
    document.head.append(script);
    describe();
    buildLegend();
    await buildPlots();
    connect();
    $("message").textContent = "";
    const asked = options.get("frame");
    await draw(asked === null ? firstFrame() : clamp(Number(asked)));
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (asked === null && F > 1 && !still) play();
  }

  async function unpack(id) {
    const bytes = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
    $(id).remove();
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  function split(buffer) {
    let at = 0;
    const take = (type, count) => {
      const bytes = count * type.BYTES_PER_ELEMENT;
      const array = new type(buffer.slice(at, at + bytes));
      at += bytes;
      return array;
    };
    return {
      numbers: take(Int32Array, F),
      joints: take(Int16Array, F * N * J * 3),
      keypoints: take(Int16Array, F * N * J * 2),
      deviations: info.deviation ? take(Int16Array, F * N * J) : null,
      confidence: take(Uint8Array, F * N * J),
      visible: take(Uint8Array, F * N * J),
    };
  }

  // Reading one point

  function joint(f, n, j) { return point(data.joints, info.joint, ((f * N + n) * J + j) * 3, 3); }
  function keypoint(f, n, j) { return point(data.keypoints, info.keypoint, ((f * N + n) * J + j) * 2, 2); }
  /** The standard deviation of a joint's depth, or undefined where none is known. */
  function deviation(f, n, j) { return info.deviation && (point(data.deviations, info.deviation, (f * N + n) * J + j, 1) || [])[0]; }
  function point(codes, scale, at, size) {
    const values = [];
    for (let k = at; k < at + size; k++) {
      if (codes[k] === info.missing) return null;
      values.push(scale.offset + scale.step * codes[k]);
    }
    return values;
  }
  function firstFrame() {
    const at = data.visible.indexOf(1);
    return at < 0 ? 0 : Math.floor(at / (N * J));
  }

  // What a frame looks like

  function frameTraces(f) {
    const solid = { x: [], y: [], z: [], color: [], text: [] }, hollow = { x: [], y: [], z: [], color: [], text: [] };
    const bones = { x: [], y: [], z: [], color: [] }, bars = { x: [], y: [], z: [], color: [] };
    const dots = { x: [], y: [], color: [], text: [] }, crosses = { x: [], y: [], color: [], text: [] };
    // For each track the given bones and the inferred ones, by side.
    const lines = info.tracks.map(() => [0, 1].map(() => [-1, 0, 1].map(() => ({ x: [], y: [] }))));
    const center = state.follow ? middle(f) : [0, 0, 0];
    for (let n = 0; n < N; n++) {
      if (!shown[n]) continue;
      const shade = (side) => colors(n)[1 - side];
      const J3 = [], J2 = [], seen = [];
      for (let j = 0; j < J; j++) {
        const p = J3[j] = joint(f, n, j), q = J2[j] = keypoint(f, n, j), side = info.sides[j] || 0;
        const at = (f * N + n) * J + j;
        seen[j] = data.visible[at] === 1;
        const who = escape(info.joints[j]) + (N > 1 ? ` · ${escape(info.tracks[n])}` : "");
        const sure = q ? `confidence ${(data.confidence[at] / 250).toFixed(2)}` : "not detected";
        if (p) {
          const into = seen[j] ? solid : hollow;
          into.x.push(p[0] - center[0]); into.y.push(p[2] - center[2]); into.z.push(center[1] - p[1]);
          into.color.push(shade(side));
          const spread = deviation(f, n, j), about = spread === undefined || spread === null ? "" : ` ± ${short(spread)}`;
          into.text.push(`<b>${who}</b><br>x ${short(p[0])}  y ${short(p[1])}  z ${short(p[2])}${about}<br>${seen[j] ? sure : `hidden: estimated (${sure})`}`);
          if (state.uncertainty && about) {
            for (const end of [-spread, spread]) { bars.x.push(p[0] - center[0]); bars.y.push(p[2] - center[2] + end); bars.z.push(center[1] - p[1]); bars.color.push(shade(side)); }
            bars.x.push(null); bars.y.push(null); bars.z.push(null); bars.color.push(shade(side));
          }
        }
        if (q) {
          const into = seen[j] ? dots : crosses;
          into.x.push(q[0]); into.y.push(q[1]); into.color.push(shade(side));
          into.text.push(`<b>${who}</b><br>x ${short(q[0])}  y ${short(q[1])}<br>${sure}${seen[j] ? "" : ": hidden"}`);
        }
      }
      for (const [a, b, side, inferred] of info.edges) {
        if (J3[a] && J3[b]) {
          for (const ends of inferred ? dashes(J3[a], J3[b]) : [[J3[a], J3[b]]]) {
            for (const p of ends) { bones.x.push(p[0] - center[0]); bones.y.push(p[2] - center[2]); bones.z.push(center[1] - p[1]); bones.color.push(shade(side)); }
            bones.x.push(null); bones.y.push(null); bones.z.push(null); bones.color.push(shade(side));
          }
        }
        if (seen[a] && seen[b] && J2[a] && J2[b]) {
          const line = lines[n][inferred][1 - side];
          line.x.push(J2[a][0], J2[b][0], null); line.y.push(J2[a][1], J2[b][1], null);
        }
      }
    }
    return { bones, solid, hollow, bars, dots, crosses, lines };
  }

  /** The dashes of a line in 3D, of one length in the whole clip: WebGL's own stretch with the line. */
  function dashes(from, to) {
    const size = Math.max(...info.reach), count = Math.max(2, Math.round(Math.hypot(...from.map((v, k) => to[k] - v)) / (0.06 * size)));
    const at = (place) => from.map((v, k) => v + (place / (2 * count - 1)) * (to[k] - v));
    return Array.from({ length: count }, (_, i) => [at(2 * i), at(2 * i + 1)]);
  }

  function middle(f) {
    const sum = [0, 0, 0];
    let count = 0;
    for (let n = 0; n < N; n++) for (let j = 0; shown[n] && j < J; j++) {
      const p = joint(f, n, j);
      if (p) { count++; for (let k = 0; k < 3; k++) sum[k] += p[k]; }
    }
    return sum.map((s) => s / Math.max(count, 1));
  }

  // Drawing: only the latest frame asked for is drawn, so a slow browser drops frames and keeps the time.

  function draw(f) {
    state.wanted = f;
    state.drawing ||= (async () => {
      while (state.wanted !== null) {
        const next = state.wanted;
        state.wanted = null;
        state.frame = next;
        await update(next);
      }
      state.drawing = null;
    })();
    return state.drawing;
  }

  async function update(f) {
    const t = frameTraces(f), scene = $("scene"), flat = t.lines.flat(2);
    // WebGL traces need a vertex: a point that is nowhere stands in for an empty trace.
    const three = [t.bones, t.solid, t.hollow, t.bars].map((trace) => (trace.x.length ? trace : { x: [null], y: [null], z: [null], color: ["#000"], text: [""] }));
    await Promise.all([
      withCameraKept(scene, () => Plotly.restyle(scene, {
        x: three.map((s) => s.x), y: three.map((s) => s.y), z: three.map((s) => s.z), text: three.map((s) => s.text || null),
        "line.color": [three[0].color, undefined, undefined, three[3].color], "marker.color": [undefined, three[1].color, three[2].color, undefined],
        "marker.line.color": [undefined, undefined, three[2].color, undefined],
      }, [0, 1, 2, 3])),
      Plotly.restyle($("image"), {
        x: [...flat.map((s) => s.x), t.dots.x, t.crosses.x], y: [...flat.map((s) => s.y), t.dots.y, t.crosses.y],
        text: [...flat.map(() => null), t.dots.text, t.crosses.text],
        "marker.color": [...flat.map(() => undefined), t.dots.color, undefined],
        "marker.line.color": [...flat.map(() => undefined), undefined, t.crosses.color],
        "line.color": [...info.tracks.flatMap((_, n) => [...colors(n), ...colors(n)]), undefined, undefined],
      }),
    ]);
    $("scrub").value = f;
    const number = data.numbers[f], time = info.fps ? `${(number / info.fps).toFixed(2)} s ` : "";
    $("clock").innerHTML = `${time}<span>frame ${number.toLocaleString("en")}</span>`;
  }

  /** Does work() without letting a redraw put the camera back while the mouse turns it: new points need neither. */
  async function withCameraKept(scene, work) {
    const inner = scene._fullLayout.scene._scene;
    inner.setViewport = inner.updateFx = () => {};
    try { await work(); } finally { delete inner.setViewport; delete inner.updateFx; }
  }

  async function buildPlots() {
    const config = { displaylogo: false, displayModeBar: false, scrollZoom: true };
    const marker = (extra) => ({ type: "scatter", mode: "markers", hovertemplate: "%{text}<extra></extra>", cliponaxis: true, ...extra });
    const images = info.tracks.flatMap((_, n) => ["solid", "6px,4px"].flatMap((dash) => [1, 0, -1].map((side) => ({
      type: "scatter", mode: "lines", hoverinfo: "skip", x: [], y: [], line: { color: colors(n)[1 - side], width: 2.5, dash },
    }))));
    images.push(marker({ x: [], y: [], marker: { size: 7, line: { width: 0 } } }));
    images.push(marker({ x: [], y: [], marker: { size: 6, symbol: "x-thin", line: { width: 1.8 }, opacity: 0.8 } }));
    const empty = () => ({ x: [null], y: [null], z: [null] });
    const solid = { type: "scatter3d", mode: "markers", hovertemplate: "%{text}<extra></extra>" };
    const scenes = [
      { type: "scatter3d", mode: "lines", hoverinfo: "skip", connectgaps: false, line: { width: 6 }, ...empty() },
      { ...solid, marker: { size: 7, opacity: 1, line: { width: 0 } }, ...empty() },
      { ...solid, marker: { size: 9, symbol: "circle-open", opacity: 1, line: { width: 2 } }, ...empty() },
      { type: "scatter3d", mode: "lines", hoverinfo: "skip", connectgaps: false, opacity: 0.55, line: { width: 3 }, ...empty() },
    ];
    await Promise.all([
      Plotly.newPlot($("image"), images, imageLayout(), config),
      Plotly.newPlot($("scene"), scenes, sceneLayout(), config),
    ]);
    const resized = new ResizeObserver((entries) => { for (const { target } of entries) fit(target); });
    for (const id of ["image", "scene"]) resized.observe($(id));
  }

  function fit(plot) {
    const { width, height } = plot.getBoundingClientRect();
    if (width && height && (Math.abs(width - plot._fullLayout.width) > 1 || Math.abs(height - plot._fullLayout.height) > 1)) Plotly.Plots.resize(plot);
  }

  function isDark() { return document.documentElement.dataset.theme === "dark"; }
  function colors(n) { return info.colors[isDark() ? "dark" : "light"][n]; }
  function look() {
    return isDark() ? { grid: "#303a4a", text: "#8f9bad", label: "#e6e9ef", panel: "#151a22" } : { grid: "#dde2e9", text: "#667085", label: "#1c2430", panel: "#ffffff" };
  }

  function baseLayout() {
    const { panel, text, grid, label } = look();
    return {
      showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", uirevision: "kept",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 11, color: text },
      hoverlabel: { bgcolor: panel, bordercolor: grid, font: { color: label, size: 12 }, align: "left" },
    };
  }

  function imageLayout() {
    const { grid } = look(), [x, y] = info.keypoint.range;
    const axis = { gridcolor: grid, zeroline: false, showline: false, ticks: "", constrain: "domain" };
    const frame = info.imageSize && { type: "rect", layer: "below", x0: 0, y0: 0, x1: info.imageSize[0], y1: info.imageSize[1], line: { color: look().text, width: 1, dash: "dot" } };
    return {
      ...baseLayout(), margin: { l: 46, r: 14, t: 10, b: 28 }, dragmode: "pan", hovermode: "closest", hoverdistance: 12,
      xaxis: { ...axis, range: x }, yaxis: { ...axis, range: [y[1], y[0]], scaleanchor: "x", scaleratio: 1 }, shapes: frame ? [frame] : [],
    };
  }

  function sceneLayout(camera) {
    const { grid, text } = look();
    const ranges = sceneRanges(), sizes = ranges.map(([a, b]) => b - a), diagonal = Math.hypot(...sizes);
    const step = niceStep(Math.max(...sizes) / 5);
    const axis = (k, title, sign) => {
      const [low, high] = ranges[k], values = [];
      for (let v = Math.ceil(low / step) * step; v <= high; v += step) values.push(Number(v.toPrecision(12)));
      return {
        range: ranges[k], tickmode: "array", tickvals: values, ticktext: values.map((v) => (state.follow ? "" : String(sign * v || 0))),
        title: { text: title, font: { size: 13, color: text } }, tickfont: { size: 10, color: text }, gridcolor: grid, zeroline: false,
        showbackground: false, showspikes: false, showline: false, color: text,
      };
    };
    const [x, y, z] = sizes.map((size) => (1.9 * size) / diagonal);
    const { width, height } = $("scene").getBoundingClientRect();
    // The view's angle is that of its height: a narrow panel needs a camera farther off.
    const away = 1.08 * Math.max(1, height / width);
    firstEye ||= { eye: { x: 0.75 * away, y: -1.42 * away, z: 0.52 * away }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.06 } };
    return {
      ...baseLayout(), margin: { l: 0, r: 0, t: 0, b: 0 },
      scene: {
        xaxis: axis(0, "x", 1), yaxis: axis(1, "z depth", 1), zaxis: axis(2, "y", -1), aspectmode: "manual", aspectratio: { x, y, z },
        camera: camera || structuredClone(firstEye), dragmode: "turntable", uirevision: "kept",
      },
    };
  }

  /** Ranges of the drawn axes (x, depth, up): the whole clip, or about the middle when following. */
  function sceneRanges() {
    const [rx, ry, rz] = info.joint.range, [x, y, z] = info.reach;
    const ranges = state.follow ? [[-x, x], [-z, z], [-y, y]] : [rx, rz, [-ry[1], -ry[0]]];
    const least = 0.2 * Math.max(...ranges.map(([a, b]) => b - a));
    return ranges.map(([a, b]) => { const grow = Math.max(0, least - (b - a)) / 2; return [a - grow, b + grow]; });
  }

  function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough)), lead = rough / power;
    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
  }

  // Words on the page

  function describe() {
    $("units").textContent = info.frame === "camera" ? `${info.units}: x right, y down, z away from the camera` : `${info.units}, the object's own frame`;
    $("subtitle").textContent = [
      `lifted by olift, model ${info.model}`, info.skeleton && `skeleton ${info.skeleton}`,
      info.camera, count(info.total, "frame"), info.fps && `${Number(info.fps.toFixed(2))} frames/s`, count(J, "joint"),
    ].filter(Boolean).join(" · ");
    const notes = ["Hollow: hidden in the input, estimated. Cross: detected below the confidence asked for.", "Drag to orbit, scroll to zoom."];
    if (info.stride > 1) notes.unshift(`Every ${ordinal(info.stride)} frame of ${info.total.toLocaleString("en")} is drawn.`);
    if (!info.fps) notes.unshift("Frames per second unknown: played at 30.");
    if (!info.edges.length) notes.unshift("No skeleton edges known: joints only.");
    if (info.edges.some((edge) => edge[3])) notes.unshift("Dashed: bones that were inferred, not given.");
    if (info.deviation) notes.push("±: one standard deviation of the depth, as the model estimates it.");
    $("uncertainty").hidden = !info.deviation;
    $("notes").textContent = notes.join(" ");
    $("scrub").max = F - 1;
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
    if (info.sides.some(Boolean)) {
      const key = document.createElement("span");
      key.className = "key";
      key.textContent = "shades: left, middle, right";
      $("legend").append(key);
    }
  }

  // Playing

  function play() {
    if (state.playing || F < 2) return;
    state.playing = true;
    document.body.classList.add("playing");
    $("play").setAttribute("aria-label", "Pause");
    let from = performance.now(), base = state.frame, speed = Number($("speed").value), last = state.frame;
    const tick = (now) => {
      if (!state.playing) return;
      const chosen = Number($("speed").value);
      // Another speed, or a scrubbed frame: the clock starts anew from there.
      if (chosen !== speed || state.frame !== last) { from = now; base = state.frame; speed = chosen; }
      const next = (base + Math.floor(Math.max(0, now - from) / 1000 * rate * speed)) % F;
      if (next !== state.frame && !state.drawing) draw(next);
      last = state.frame;
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  function pause() {
    state.playing = false;
    document.body.classList.remove("playing");
    $("play").setAttribute("aria-label", "Play");
  }

  function connect() {
    const toggle = () => (state.playing ? pause() : play());
    const step = (by) => { pause(); draw((state.frame + by + F) % F); };
    $("play").onclick = toggle;
    $("scrub").oninput = () => draw(Number($("scrub").value));
    $("follow").onclick = follow;
    $("uncertainty").onclick = uncertainty;
    $("home").onclick = home;
    $("theme").onclick = () => { setTheme(isDark() ? "light" : "dark"); buildLegend(); repaint(); };
    const keys = { " ": toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => draw(0), End: () => draw(F - 1), f: follow, u: uncertainty, h: home };
    addEventListener("keydown", (event) => {
      const own = event.target.closest("button, select") && event.key === " ";
      if (!keys[event.key] || own || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    addEventListener("hashchange", () => {
      const asked = new URLSearchParams(location.hash.slice(1)).get("frame");
      if (asked !== null) olift.setFrame(Number(asked));
    });
  }

  async function follow() {
    state.follow = !state.follow;
    $("follow").setAttribute("aria-pressed", String(state.follow));
    await repaint();
  }

  async function uncertainty() {
    if (!info.deviation) return;
    state.uncertainty = !state.uncertainty;
    $("uncertainty").setAttribute("aria-pressed", String(state.uncertainty));
    await draw(state.frame);
  }

  async function home() {
    const { xaxis, yaxis } = imageLayout();
    await Plotly.relayout($("scene"), { "scene.camera": structuredClone(firstEye) });
    await Plotly.relayout($("image"), { "xaxis.range": xaxis.range, "yaxis.range": yaxis.range });
  }

  async function repaint() {
    await Plotly.relayout($("scene"), sceneLayout($("scene")._fullLayout.scene._scene.getCamera()));
    await Plotly.relayout($("image"), imageLayout());
    await draw(state.frame);
  }

  function setTheme(name) { document.documentElement.dataset.theme = name === "dark" ? "dark" : "light"; }

  function clamp(i) { return Math.max(0, Math.min(F - 1, Math.round(i) || 0)); }
  function short(v) { return v.toFixed(Math.abs(v) < 10 ? 2 : 1); }
  function count(n, word) { return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`; }
  function escape(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;"); }
  function ordinal(n) {
    const last = n % 100 > 10 && n % 100 < 14 ? 0 : n % 10;
    return `${n}${["th", "st", "nd", "rd"][last] || "th"}`;
  }
})();
