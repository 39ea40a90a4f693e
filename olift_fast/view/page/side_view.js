// A second view that can't be turned: from the side, from above or from the front, without perspective.

const SIDES = {
  side: { axes: [1, 2], far: 0, words: ["depth →", "up ↑"] },
  top: { axes: [0, 1], far: 2, words: ["right →", "depth ↑"] },
  front: { axes: [0, 2], far: 1, words: ["right →", "up ↑"] },
};

function drawSide(f) {
  const canvas = $("side"), view = SIDES[state.side];
  canvas.hidden = !view;
  if (!view) return;
  const { width, height } = canvas.getBoundingClientRect(), dense = devicePixelRatio || 1;
  if (!width || !height) return;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  const pen = canvas.getContext("2d"), { floor, text, mark } = look();
  pen.scale(dense, dense);
  const ranges = sceneRanges(), [across, up] = view.axes.map((k) => ranges[k]), from = center(f);
  const scale = Math.min((width - 16) / (across[1] - across[0]), (height - 34) / (up[1] - up[0]));
  const place = (p) => [
    width / 2 + scale * (p[view.axes[0]] - (across[0] + across[1]) / 2),
    (height - 12) / 2 + 6 - scale * (p[view.axes[1]] - (up[0] + up[1]) / 2),
  ];
  const stroke = (a, b, color, thick) => {
    pen.beginPath(); pen.moveTo(...a); pen.lineTo(...b); pen.strokeStyle = color; pen.lineWidth = thick; pen.stroke();
  };
  if (info.floor && view.axes[1] === 2) {
    const [, y] = place([0, 0, info.floor.height - from[2]]);
    stroke([4, y], [width - 4, y], floor, 1.5);
  }
  for (let n = 0; n < N; n++) {
    if (!shown[n]) continue;
    const points = info.joints.map((_, j) => { const p = uprightJoint(f, n, j); return p && place(p.map((v, k) => v - from[k])); });
    for (const [a, b, side, inferred] of info.edges) {
      if (!points[a] || !points[b]) continue;
      pen.setLineDash(inferred ? [4, 3] : []);
      stroke(points[a], points[b], colors(n)[1 - side], 2);
    }
    pen.setLineDash([]);
    points.forEach((p, j) => {
      if (!p) return;
      pen.beginPath();
      pen.arc(p[0], p[1], 2.2, 0, 7);
      pen.fillStyle = colors(n)[1 - (info.sides[j] || 0)];
      if (isSeen(f, n, j)) pen.fill();
      if (j === state.hovered || state.pinned.has(j)) { pen.beginPath(); pen.arc(p[0], p[1], 5, 0, 7); pen.strokeStyle = mark; pen.stroke(); }
    });
  }
  pen.font = "11px system-ui, sans-serif";
  pen.fillStyle = text;
  pen.fillText(inWorld ? view.words[0].replace("depth", "away") : view.words[0], 6, height - 6);
  pen.textAlign = "right";
  pen.fillText(inWorld ? view.words[1].replace("depth", "away") : view.words[1], width - 6, height - 6);
}
