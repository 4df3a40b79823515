// The panel of a loop, in which any of its steps can be chosen, and long lists of links.

// Links to nodes, a page of them at a time.
function links(numbers, most = 60) {
  const list = el("ul", { class: "links" }), more = el("button", { type: "button" });
  let shown = 0;
  const add = () => {
    list.append(...numbers.slice(shown, shown + most).map(n => el("li", null, link(n))));
    shown = Math.min(shown + most, numbers.length);
    more.textContent = `Show ${Math.min(most, numbers.length - shown)} of ${numbers.length - shown} more`;
    more.hidden = shown === numbers.length;
  };
  add();
  more.addEventListener("click", add);
  return el("div", null, list, more);
}

function showLoop(loop) {
  const { levels } = graph, many = levels.within[loop].length, at = levels.shown.get(loop) ?? 0, label = data.level.label(loop);
  const number = el("input", { type: "number", min: 1, max: many, value: at + 1, id: "which", "aria-label": "Step to show" });
  const slider = el("input", { type: "range", min: 1, max: many, value: at + 1, "aria-label": "Step to show" });
  const show = value => {
    const to = Math.max(1, Math.min(many, Math.round(value) || 1));
    number.value = slider.value = to;
    graph.turn(loop, to - 1);
    refresh(true);
  };
  for (const input of [number, slider]) input.addEventListener(input === slider ? "input" : "change", () => show(+input.value));
  $("follow-row").hidden = false;
  $("detail").replaceChildren(
    ...heading("Loop", label, "operation"),
    el("p", null, `${times(many, "equal step")}, ${times(levels.operations[loop], "operation")}: the same operations on the same shapes, each on what the one before left. One step is shown; the others stand folded beside it.`),
    section(el("label", { for: "which" }, "Step"), el("div", { class: "which" }, slider, number, el("span", { class: "muted" }, `of ${many.toLocaleString("en")}`))),
  );
  number.focus();
}
