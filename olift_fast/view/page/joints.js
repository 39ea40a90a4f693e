// The list of joints. The mouse over a name marks the joint in all views; a click pins the joint, with its trail.

function buildJoints() {
  const list = $("joint-list");
  list.replaceChildren(...info.joints.map((name, j) => {
    const item = document.createElement("button"), side = info.sides[j] || 0;
    item.type = "button";
    item.setAttribute("aria-pressed", String(state.pinned.has(j)));
    const dot = document.createElement("i");
    dot.style.background = colors(0)[1 - side];
    item.append(dot, name);
    item.onmouseenter = item.onfocus = () => mark(j);
    item.onmouseleave = item.onblur = () => mark(null);
    item.onclick = () => {
      if (!state.pinned.delete(j)) state.pinned.add(j);
      item.setAttribute("aria-pressed", String(state.pinned.has(j)));
      draw(state.frame);
    };
    return item;
  }));
  find();
}

function mark(j) {
  state.hovered = j;
  if (!state.playing) draw(state.frame);
}

/** Shows only the joints whose names contain the searched text. */
function find() {
  const wanted = $("search").value.trim().toLowerCase();
  info.joints.forEach((name, j) => { $("joint-list").children[j].hidden = !name.toLowerCase().includes(wanted); });
}

function showJoints(open) {
  $("joints").hidden = !open;
  document.body.classList.toggle("with-joints", open);
  $("joints-button").setAttribute("aria-pressed", String(open));
}
