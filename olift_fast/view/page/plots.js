// The two plots. Only the latest requested frame is drawn, so a slow browser drops frames and keeps time.

const BONES = 0, SOLID = 1, HOLLOW = 2, BARS = 3, TRAIL = 4, FLOOR = 5, MARK = 6, TITLES = 7;
const FIRST_DIRECTION = [0.75, -1.42, 0.52];

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
  const t = frameTraces(f), scene = $("scene"), image = $("image"), flat = t.lines.flat(2);
  // A WebGL trace needs a vertex, so an empty trace gets a point without a place.
  const three = [t.bones, t.solid, t.hollow, t.bars, t.trail, floorLines(f), t.mark].map((trace) => (
    trace.x.length ? trace : { x: [null], y: [null], z: [null], color: ["#000"], text: [""] }));
  const only = (...places) => three.map((trace, place) => (places.includes(place) ? trace.color : undefined));
  const changes = {
    x: [...flat.map((s) => s.x), t.dots.x, t.crosses.x, t.trail2D.x, t.mark2D.x],
    y: [...flat.map((s) => s.y), t.dots.y, t.crosses.y, t.trail2D.y, t.mark2D.y],
    text: [...flat.map(() => null), t.dots.text, t.crosses.text, null, t.mark2D.text],
    "marker.color": [...flat.map(() => undefined), t.dots.color, undefined, undefined, undefined],
    "marker.line.color": [...flat.map(() => undefined), undefined, t.crosses.color, undefined, undefined],
    "line.color": [...info.tracks.flatMap((_, n) => [...colors(n), ...colors(n)]), undefined, undefined, look().text, undefined],
  };
  await Promise.all([
    withCameraKept(scene, () => Plotly.restyle(scene, {
      x: three.map((s) => s.x), y: three.map((s) => s.y), z: three.map((s) => s.z), text: three.map((s) => s.text || null),
      "line.color": only(BONES, BARS, TRAIL), "marker.color": only(SOLID, HOLLOW), "marker.line.color": only(HOLLOW),
    }, three.map((_, place) => place))),
    state.follow === null ? Plotly.restyle(image, changes) : Plotly.update(image, changes, followed(f)),
    showVideo(f),
  ]);
  drawSide(f);
  $("scrub").value = f;
  const number = data.numbers[f], time = info.fps ? `${(number / info.fps).toFixed(2)} s ` : "";
  $("clock").innerHTML = `${time}<span>frame ${number.toLocaleString("en")}</span>`;
}

/** Runs work(), which draws new points, without resetting the camera while the mouse turns it. */
async function withCameraKept(scene, work) {
  const inner = scene._fullLayout.scene._scene;
  inner.setViewport = inner.updateFx = () => {};
  try { await work(); } finally { delete inner.setViewport; delete inner.updateFx; }
}

async function buildPlots() {
  const config = { displaylogo: false, displayModeBar: false, scrollZoom: true };
  const text = "%{text}<extra></extra>";
  const marker = (extra) => ({ type: "scatter", mode: "markers", hovertemplate: text, cliponaxis: true, ...extra });
  const images = info.tracks.flatMap((_, n) => ["solid", "6px,4px"].flatMap((dash) => [1, 0, -1].map((side) => ({
    type: "scatter", mode: "lines", hoverinfo: "skip", x: [], y: [], line: { color: colors(n)[1 - side], width: 2.5, dash },
  }))));
  images.push(marker({ x: [], y: [], marker: { size: 7, line: { width: 0 } } }));
  images.push(marker({ x: [], y: [], marker: { size: 6, symbol: "x-thin", line: { width: 1.8 }, opacity: 0.8 } }));
  images.push({ type: "scatter", mode: "lines", hoverinfo: "skip", x: [], y: [], line: { width: 1.5 } });
  images.push({
    type: "scatter", mode: "markers+text", hoverinfo: "skip", x: [], y: [], textposition: "top center",
    marker: { size: 13, symbol: "circle-open", color: look().mark, line: { width: 2 } }, textfont: { color: look().label },
  });
  const lines = (width, extra) => ({
    type: "scatter3d", mode: "lines", hoverinfo: "skip", connectgaps: false, line: { width }, x: [null], y: [null], z: [null], ...extra,
  });
  const solid = { type: "scatter3d", mode: "markers", hovertemplate: text, x: [null], y: [null], z: [null] };
  const scenes = [
    lines(6),
    { ...solid, marker: { size: 7, opacity: 1, line: { width: 0 } } },
    { ...solid, marker: { size: 9, symbol: "circle-open", opacity: 1, line: { width: 2 } } },
    lines(3, { opacity: 0.55 }),
    lines(3, { opacity: 0.8 }),
    lines(1, { line: { width: 1.5, color: look().floor } }),
    { ...solid, mode: "markers+text", hoverinfo: "skip", hovertemplate: null, textposition: "top center", textfont: { size: 13, color: look().label }, marker: { size: 12, symbol: "circle-open", color: look().mark, line: { width: 3 } } },
    { ...solid, mode: "text", hoverinfo: "skip", hovertemplate: null, ...axisTitles() },
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
  const { width: had, height: hadHeight } = plot._fullLayout;
  if (width && height && (Math.abs(width - had) > 1 || Math.abs(height - hadHeight) > 1)) Plotly.Plots.resize(plot);
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
  const { grid, text } = look(), { x, y } = imageRanges(), size = info.imageSize;
  const axis = { gridcolor: grid, zeroline: false, showline: false, ticks: "", constrain: "domain", showgrid: !info.video };
  const edge = { type: "rect", layer: "below", x0: 0, y0: 0, line: { color: text, width: 1, dash: "dot" } };
  return {
    ...baseLayout(), margin: { l: 46, r: 14, t: 10, b: 28 }, dragmode: "pan", hovermode: "closest", hoverdistance: 12,
    xaxis: { ...axis, range: x }, yaxis: { ...axis, range: [y[1], y[0]], scaleanchor: "x", scaleratio: 1 },
    shapes: size && !info.video ? [{ ...edge, x1: size[0], y1: size[1] }] : [],
  };
}

/** The ranges of the 2D panel: around the followed animal; or the whole video; or all keypoints. */
function imageRanges() {
  if (state.follow !== null) {
    const [x, y] = info.reach2D[state.follow].map((v) => 1.25 * v), [a, b] = center2D(state.frame);
    return { x: [a - x, a + x], y: [b - y, b + y] };
  }
  if (info.video) return { x: [0, info.video.size[0]], y: [0, info.video.size[1]] };
  const [x, y] = info.keypoint.range;
  return { x, y };
}

/** The changes to the 2D layout that keep the followed animal in the middle. */
function followed() {
  const { x, y } = imageRanges();
  return { "xaxis.range": x, "yaxis.range": [y[1], y[0]] };
}

/** The sides of the drawn box in the units of plotly's camera. */
function boxSides() {
  const sizes = sceneRanges().map(([a, b]) => b - a), diagonal = Math.hypot(...sizes);
  return sizes.map((size) => (1.9 * size) / diagonal);
}

function sceneLayout(camera) {
  const { grid, text } = look();
  const ranges = sceneRanges();
  const step = gridStep();
  const axis = (k, sign) => {
    const [low, high] = ranges[k], values = [];
    for (let v = Math.ceil(low / step) * step; v <= high; v += step) values.push(Number(v.toPrecision(12)));
    return {
      range: ranges[k], tickmode: "array", tickvals: values,
      ticktext: values.map((v) => (state.follow === null ? String(Number((sign * v).toPrecision(6)) || 0) : "")),
      title: { text: "" }, tickfont: { size: 10, color: text }, gridcolor: grid, zeroline: false,
      // The floor has its own grid.
      showgrid: !(info.floor && k < 2), showbackground: false, showspikes: false, showline: false, color: text,
    };
  };
  const [x, y, z] = boxSides();
  return {
    ...baseLayout(), margin: { l: 0, r: 0, t: 0, b: 0 },
    scene: {
      xaxis: axis(0, 1), yaxis: axis(1, 1), zaxis: axis(2, inWorld ? 1 : -1), aspectmode: "manual", aspectratio: { x, y, z },
      camera: camera || fittedCamera([x, y, z], FIRST_DIRECTION), dragmode: "turntable", uirevision: "kept",
    },
  };
}

/** The nearest camera in this direction that has all of a box with sides (x, y, z) in the panel. */
function fittedCamera(sides, direction) {
  const { width, height } = $("scene").getBoundingClientRect(), lowered = [0, 0, -0.06];
  const unit = direction.map((v) => v / Math.hypot(...direction)), level = Math.hypot(unit[0], unit[1]) || 1e-6;
  const right = [-unit[1] / level, unit[0] / level, 0], up = [-unit[2] * right[1], unit[2] * right[0], level];
  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  let distance = 0;
  // The vertical field of view is 45°; some room is left for the axes' numbers.
  const steep = 0.86 * Math.tan(Math.PI / 8), wide = (steep * width) / Math.max(height, 1);
  for (let corner = 0; corner < 8; corner++) {
    const p = sides.map((side, k) => (corner & (1 << k) ? side / 2 : -side / 2) - lowered[k]);
    distance = Math.max(distance, dot(p, unit) + Math.max(Math.abs(dot(p, up)) / steep, Math.abs(dot(p, right)) / wide));
  }
  const [ex, ey, ez] = unit.map((v, k) => lowered[k] + v * distance);
  return { eye: { x: ex, y: ey, z: ez }, up: { x: 0, y: 0, z: 1 }, center: { x: lowered[0], y: lowered[1], z: lowered[2] } };
}

function gridStep() { return niceStep(Math.max(...sceneRanges().map(([a, b]) => b - a)) / 5); }

/** Ranges of the drawn axes (to the right, away, up): the whole clip, or around the center if the view follows. */
function sceneRanges() {
  const turned = ([x, y, z]) => (inWorld ? [x, y, z] : [x, z, y]);
  let ranges;
  if (state.follow !== null) {
    ranges = turned(info.reach[state.follow]).map((v) => [-1.1 * v, 1.1 * v]);
  } else {
    const [rx, ry, rz] = info.joint.range;
    ranges = inWorld ? [rx, ry, rz] : [rx, rz, [-ry[1], -ry[0]]];
    if (info.floor) ranges[2] = [Math.min(ranges[2][0], info.floor.height), ranges[2][1]];
  }
  const least = 0.2 * Math.max(...ranges.map(([a, b]) => b - a));
  return ranges.map(([a, b]) => { const grow = Math.max(0, least - (b - a)) / 2; return [a - grow, b + grow]; });
}

/** The axes' names, at the ends of the edges that meet in the lower left front corner. */
function axisTitles() {
  const [[x0, x1], [y0, y1], [z0, z1]] = sceneRanges();
  return {
    x: [x1, x0, x0], y: [y0, y1, y0], z: [z0, z0, z1],
    text: inWorld ? ["x", "y away", "z up"] : ["x", "z depth", "y"],
    textposition: ["bottom left", "top center", "top center"], textfont: { size: 13, color: look().label },
  };
}

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough)), lead = rough / power;
  return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

/** Draws all again. With `fitted`, the camera moves as near as all of the box can be seen, in its direction. */
async function repaint(fitted = false) {
  const scene = $("scene"), titles = axisTitles(), { mark, label, floor } = look();
  let camera = scene._fullLayout.scene._scene.getCamera();
  if (fitted) camera = fittedCamera(boxSides(), ["x", "y", "z"].map((k) => camera.eye[k] - camera.center[k]));
  await Plotly.relayout(scene, sceneLayout(camera));
  await Plotly.restyle(scene, {
    x: [titles.x], y: [titles.y], z: [titles.z], "textfont.color": label,
  }, [TITLES]);
  await Plotly.restyle(scene, { "line.color": floor }, [FLOOR]);
  await Plotly.restyle(scene, { "marker.color": mark, "textfont.color": label }, [MARK]);
  const last = $("image").data.length - 1;
  await Plotly.restyle($("image"), { "marker.color": mark, "textfont.color": label }, [last]);
  await Plotly.relayout($("image"), imageLayout());
  await draw(state.frame);
}

async function home() {
  const { xaxis, yaxis } = imageLayout();
  await Plotly.relayout($("scene"), { "scene.camera": fittedCamera(boxSides(), FIRST_DIRECTION) });
  await Plotly.relayout($("image"), { "xaxis.range": xaxis.range, "yaxis.range": yaxis.range });
}
