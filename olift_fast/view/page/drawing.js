// The points and lines of a frame, in both panels.

function isDark() { return document.documentElement.dataset.theme === "dark"; }
function colors(n) { return info.colors[isDark() ? "dark" : "light"][n]; }
function look() {
  return isDark()
    ? { grid: "#303a4a", floor: "#3d4a5e", text: "#8f9bad", label: "#e6e9ef", panel: "#151a22", mark: "#ffd34d" }
    : { grid: "#dde2e9", floor: "#c3cad4", text: "#667085", label: "#1c2430", panel: "#ffffff", mark: "#d97706" };
}

function frameTraces(f) {
  const solid = { x: [], y: [], z: [], color: [], text: [] }, hollow = { x: [], y: [], z: [], color: [], text: [] };
  const bones = { x: [], y: [], z: [], color: [] }, bars = { x: [], y: [], z: [], color: [] };
  const dots = { x: [], y: [], color: [], text: [] }, crosses = { x: [], y: [], color: [], text: [] };
  // For each track its given bones and its inferred bones, by side.
  const lines = info.tracks.map(() => [0, 1].map(() => [-1, 0, 1].map(() => ({ x: [], y: [] }))));
  const from = center(f), ranges = sceneRanges();
  for (let n = 0; n < N; n++) {
    if (!shown[n]) continue;
    const shade = (side) => colors(n)[1 - side];
    const J3 = [], J2 = [], seen = [];
    for (let j = 0; j < J; j++) {
      const p = joint(f, n, j), q = J2[j] = keypoint(f, n, j), side = info.sides[j] || 0;
      J3[j] = p && near(upright(p).map((v, k) => v - from[k]), ranges);
      seen[j] = isSeen(f, n, j);
      if (J3[j]) {
        const into = seen[j] ? solid : hollow;
        push(into, J3[j], shade(side));
        into.text.push(aboutJoint(f, n, j, p));
        const spread = deviation(f, n, j);
        if (state.uncertainty && spread) {
          line(bars, [-spread, spread].map((end) => J3[j].map((v, k) => v + end * depthAxis[k])), shade(side));
        }
      }
      if (q) {
        const into = seen[j] ? dots : crosses;
        into.x.push(q[0]); into.y.push(q[1]); into.color.push(shade(side));
        into.text.push(`<b>${who(n, j)}</b><br>x ${short(q[0])}  y ${short(q[1])}<br>${sure(f, n, j)}${seen[j] ? "" : ": hidden"}`);
      }
    }
    for (const [a, b, side, inferred] of info.edges) {
      if (J3[a] && J3[b]) for (const ends of inferred ? dashes(J3[a], J3[b]) : [[J3[a], J3[b]]]) line(bones, ends, shade(side));
      if (seen[a] && seen[b] && J2[a] && J2[b]) {
        const drawn = lines[n][inferred][1 - side];
        drawn.x.push(J2[a][0], J2[b][0], null); drawn.y.push(J2[a][1], J2[b][1], null);
      }
    }
  }
  return { bones, solid, hollow, bars, dots, crosses, lines, ...trails(f, from), ...marked(f, from, ranges) };
}

/** The point, or null if it is outside of the box while the view follows: WebGL would cut its bones at the box. */
function near(p, ranges) {
  return state.follow === null || p.every((v, k) => ranges[k][0] <= v && v <= ranges[k][1]) ? p : null;
}

function push(into, p, color) { into.x.push(p[0]); into.y.push(p[1]); into.z.push(p[2]); into.color.push(color); }
function line(into, ends, color) { for (const p of [...ends, [null, null, null]]) push(into, p, color); }

/** The dashes of a line in 3D, of about one length in the whole clip. WebGL's own dashes stretch with the line. */
function dashes(from, to) {
  const size = Math.max(...info.reach[0]), length = Math.hypot(...from.map((v, k) => to[k] - v));
  const count = Math.max(2, Math.round(length / (0.06 * size)));
  const at = (place) => from.map((v, k) => v + (place / (2 * count - 1)) * (to[k] - v));
  return Array.from({ length: count }, (_, i) => [at(2 * i), at(2 * i + 1)]);
}

/** The paths of the last second: of the pinned joints, or of each track's center if none is pinned. */
function trails(f, from) {
  const trail = { x: [], y: [], z: [], color: [] }, trail2D = { x: [], y: [] };
  if (!state.trails) return { trail, trail2D };
  const first = Math.max(0, f - Math.round(rate));
  const frames = Array.from({ length: f - first + 1 }, (_, i) => first + i);
  for (let n = 0; n < N; n++) {
    if (!shown[n]) continue;
    if (!state.pinned.size) {
      const there = frames.filter((g) => joint(g, n, 0) || info.joints.some((_, j) => joint(g, n, j)));
      line(trail, there.map((g) => path(n + 1, uprightJoint, 3)[g].map((v, k) => v - from[k])), colors(n)[1]);
    }
    for (const j of state.pinned) {
      const color = colors(n)[1 - (info.sides[j] || 0)];
      line(trail, frames.flatMap((g) => { const p = uprightJoint(g, n, j); return p ? [p.map((v, k) => v - from[k])] : []; }), color);
      for (const g of frames) { const q = seenKeypoint(g, n, j) || [null, null]; trail2D.x.push(q[0]); trail2D.y.push(q[1]); }
      trail2D.x.push(null); trail2D.y.push(null);
    }
  }
  return { trail, trail2D };
}

/** The joints that are pinned, and the one under the mouse in the list, with their names. */
function marked(f, from, ranges) {
  const mark = { x: [], y: [], z: [], text: [] }, mark2D = { x: [], y: [], text: [] };
  for (const j of new Set([...state.pinned, ...(state.hovered === null ? [] : [state.hovered])])) {
    for (let n = 0; n < N; n++) {
      if (!shown[n]) continue;
      const there = uprightJoint(f, n, j), q = keypoint(f, n, j);
      const p = there && near(there.map((v, k) => v - from[k]), ranges);
      if (p) { mark.x.push(p[0]); mark.y.push(p[1]); mark.z.push(p[2]); mark.text.push(escape(info.joints[j])); }
      if (q) { mark2D.x.push(q[0]); mark2D.y.push(q[1]); mark2D.text.push(escape(info.joints[j])); }
    }
  }
  return { mark, mark2D };
}

/** The lines of the floor's grid within the box. They are fixed in the world, so they pass by when the view follows. */
function floorLines(f) {
  const lines = { x: [], y: [], z: [] };
  if (!info.floor) return lines;
  const from = center(f), [rx, ry] = sceneRanges(), step = gridStep();
  const z = info.floor.height - from[2];
  for (const [axis, [low, high], other] of [[0, rx, ry], [1, ry, rx]]) {
    for (let i = Math.ceil((low + from[axis]) / step); i * step <= high + from[axis]; i++) {
      const at = i * step - from[axis];
      for (const end of other) { lines.x.push(axis ? end : at); lines.y.push(axis ? at : end); lines.z.push(z); }
      lines.x.push(null); lines.y.push(null); lines.z.push(null);
    }
  }
  return lines;
}

function aboutJoint(f, n, j, p) {
  const spread = deviation(f, n, j), about = spread === undefined || spread === null ? "" : ` ± ${short(spread)}`;
  const values = `x ${short(p[0])}  y ${short(p[1])}  z ${short(p[2])}${inWorld ? "" : about}`;
  const depth = inWorld && about ? `<br>depth${about}` : "", floor = isOnFloor(f, n, j) ? "<br>on the floor" : "";
  const known = isSeen(f, n, j) ? sure(f, n, j) : `hidden: estimated (${sure(f, n, j)})`;
  return `<b>${who(n, j)}</b><br>${values}${depth}<br>${known}${floor}`;
}

function who(n, j) { return escape(info.joints[j]) + (N > 1 ? ` · ${escape(info.tracks[n])}` : ""); }
function sure(f, n, j) {
  return keypoint(f, n, j) ? `confidence ${(data.confidence[(f * N + n) * J + j] / 250).toFixed(2)}` : "not detected";
}

function short(v) {
  const digits = Math.abs(v) < 10 ? 2 : 1;
  return v.toFixed(info.units === "meters" ? 3 : digits);
}
function count(n, word) { return `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`; }
function escape(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;"); }
function ordinal(n) {
  const last = n % 100 > 10 && n % 100 < 14 ? 0 : n % 10;
  return `${n}${["th", "st", "nd", "rd"][last] || "th"}`;
}
