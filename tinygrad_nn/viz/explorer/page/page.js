// The page: steps, play, search, the panel beside the graph, and the keyboard.

const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { nodes, edges, moments, arrays } = data;
const total = moments.reduce((counts, moment) => {
  for (const [e] of moment.carries) counts[edges[e][0]]++;
  if (moment.phase === "seed") counts[moment.node]++;
  return counts;
}, nodes.map(() => 0));

let step = 0, chosen = null, timer = null;

const graph = new Graph(data, (kind, number) => {
  if (kind === "box") return fold(number);
  choose(number);
});

// -- What is known at a step

function stateAt(index) {
  const reached = nodes.map(node => node.operation === "");
  const gradients = nodes.map(() => -1), missing = [...total], lines = edges.map(() => 0);
  for (let i = 0; i <= index; i++) {
    const { phase, node, gradient, carries } = moments[i];
    if (phase === "forward") reached[node] = true;
    if (phase === "seed") {
      gradients[node] = gradient;
      missing[node]--;
    }
    for (const [e, , sum] of carries) {
      gradients[edges[e][0]] = sum;
      missing[edges[e][0]]--;
      lines[e] = 2;
    }
  }
  const now = moments[index], back = now.phase === "backward" || now.phase === "seed";
  edges.forEach(([source, target], e) => {
    if (!lines[e] && reached[source] && reached[target]) lines[e] = 1;
    if (now.phase === "forward" && target === now.node) lines[e] = 3;
  });
  for (const [e] of now.carries) lines[e] = 4;
  return { reached, gradients, missing, edges: lines, node: now.node, carries: now.carries, back };
}

// -- Steps

function go(index, follow = true) {
  step = Math.max(0, Math.min(moments.length - 1, index));
  const moment = moments[step];
  $("slider").value = step;
  $("slider").setAttribute("aria-valuetext", moment.text);
  $("count").textContent = `${step} / ${moments.length - 1}`;
  $("say").textContent = negative(moment.text);
  $("first").disabled = $("back").disabled = step === 0;
  $("next").disabled = $("last").disabled = step === moments.length - 1;
  if (step === moments.length - 1) pause();
  document.body.dataset.phase = moment.phase;
  refresh();
  if (follow && moment.node >= 0) graph.reveal(graph.standIn(moment.node), true, true);
}

function refresh() {
  const state = stateAt(step);
  graph.light({ ...state, chosen: chosen === null ? "" : graph.standIn(chosen) });
  showPanel(state);
}

function play() {
  if (step === moments.length - 1) go(0);
  $("play").textContent = "⏸ Pause";
  $("play").setAttribute("aria-label", "Pause");
  const tick = () => {
    timer = setTimeout(tick, +$("speed").value);
    go(step + 1);
  };
  timer = setTimeout(tick, +$("speed").value);
}

function pause() {
  clearTimeout(timer);
  timer = null;
  $("play").textContent = "▶ Play";
  $("play").setAttribute("aria-label", "Play");
}

const toggle = () => (timer === null ? play() : pause());
const move = by => {
  pause();
  go(step + by);
};

// -- The panel

function choose(number) {
  chosen = number;
  refresh();
  if (number !== null) {
    $("panel").scrollTop = 0;
    graph.reveal(graph.standIn(number), true);
  }
}

function section(heading, ...children) {
  return el("section", null, el("h3", null, heading), ...children);
}

function formula(left, sign, right) {
  const element = math("math", math("mrow", ...(left ? [left] : []), ...(sign ? [math("mo", sign)] : []), ...[right].flat()));
  element.setAttribute("display", "block");
  return el("div", { class: "scroll formula", role: "group", "aria-label": "Equation" }, element);
}

// The same with numbers, and what comes of it: in the same line where that is short.
function worked(tree, known, index) {
  const right = equation(tree, known), array = arrays[index];
  if (index < 0 || !inline(array) || !array.rows.length) return [formula(null, "=", right)];
  if (array.rows.flat().length <= 2) return [formula(null, "=", [right, math("mo", "="), matrix(array)])];
  return [formula(null, "=", right), formula(null, "=", matrix(array))];
}

const letter = text => math("mi", text);
function barred(text) {
  const over = math("mover", letter(text), math("mo", "\u00af"));
  over.setAttribute("accent", "true");
  return over;
}

// What may stand for the letters of an operation's equations: its small operands, result and gradient.
function numbersOf(number, gradient) {
  const node = nodes[number], known = new Map();
  const put = (name, index) => {
    if (name && index >= 0 && inline(arrays[index]) && arrays[index].rows.length) known.set(name, () => matrix(arrays[index]));
  };
  for (const e of graph.into[number]) put(node.symbols[edges[e][2]], nodes[edges[e][0]].value);
  put("out", node.value);
  if (gradient !== undefined) put("g", gradient);
  return known;
}

function uses(tree, known) {
  return typeof tree !== "string" && (tree[0] === "mi" && known.has(tree[2]) || tree.slice(2).some(part => uses(part, known)));
}

function forwardEquation(number) {
  const node = nodes[number];
  if (node.equation < 0) return [];
  const tree = data.equations[node.equation], known = numbersOf(number);
  known.delete("out");
  return [formula(letter("out"), "=", equation(tree)), ...(uses(tree, known) ? worked(tree, known, node.value) : [])];
}

const ruleOf = (number, slot) => {
  const { rules, symbols } = nodes[number];
  return symbols.length || rules.length !== 1 ? rules[slot] ?? -1 : rules[0];
};

function operandName(number, slot) {
  return nodes[number].symbols[slot] || `operand ${slot}`;
}

function operands(number) {
  return graph.into[number].map(e => {
    const [source, , slot] = edges[e];
    return section(el("span", null, operandName(number, slot), " = ", link(source)), arrayView(arrays[nodes[source].value], nodes[source].named));
  });
}

function link(number) {
  const button = el("button", { class: "link", type: "button" }, nodes[number].named);
  button.addEventListener("click", () => choose(number));
  return button;
}

function showPanel(state) {
  $("follow-row").hidden = chosen === null;
  const detail = $("detail");
  const moment = moments[step];
  const number = chosen;
  const content = number !== null ? nodePanel(number, state) : moment.phase === "forward" ? forwardPanel(moment) :
    moment.phase === "backward" ? backwardPanel(moment) : moment.phase === "seed" ? seedPanel(moment) : edgePanel(moment);
  detail.replaceChildren(...content);
  for (const part of detail.querySelectorAll(".scroll")) if (part.scrollWidth > part.clientWidth) part.tabIndex = 0; // to be moved by keys
}

function heading(words, name, kind) {
  return [el("p", { class: `phase ${kind}` }, words), el("h2", null, name)];
}

function forwardPanel({ node }) {
  const { named, operation, metadata, value } = nodes[node];
  return [
    ...heading("Forward", named, "forward"),
    el("p", { class: "muted" }, operation + (metadata ? ` · ${metadata}` : "")),
    ...forwardEquation(node),
    section("out, the result", arrayView(arrays[value], "result")),
    ...operands(node),
  ];
}

function seedPanel({ node, gradient }) {
  return [
    ...heading("Backward begins", nodes[node].named, "backward"),
    el("p", null, "How the result changes with itself. From here each rule carries the gradient one operation further back."),
    section("g, the gradient here", arrayView(arrays[gradient], "gradient")),
  ];
}

function backwardPanel({ node, gradient, carries }) {
  const content = [
    ...heading("Backward", `through ${nodes[node].named}`, "backward"),
    el("p", { class: "muted" }, nodes[node].operation),
    section("g, the gradient here", arrayView(arrays[gradient], "gradient")),
  ];
  for (const [e, array, sum, count, summed] of carries) {
    const [source, , slot] = edges[e], rule = ruleOf(node, slot), name = operandName(node, slot);
    const parts = [el("p", { class: "to" }, "to ", link(source), ` (${name})`)];
    if (rule >= 0) {
      const tree = data.equations[rule], known = numbersOf(node, gradient);
      const left = nodes[node].symbols[slot] ? barred(nodes[node].symbols[slot]) : null;
      parts.push(formula(left, left && (count > 1 ? "+=" : "="), equation(tree)));
      if (uses(tree, known)) parts.push(...worked(tree, known, summed ? -1 : array));
    } else parts.push(el("p", { class: "muted" }, "This operation has no gradient in this operand: zeros."));
    if (summed) parts.push(el("p", { class: "muted" }, `summed over the axes along which ${name} was broadcast`));
    parts.push(el("h4", null, "contribution"), arrayView(arrays[array], "contribution"));
    if (count > 1) parts.push(el("h4", null, `sum of ${count} contributions`), arrayView(arrays[sum], "sum so far"));
    content.push(el("section", { class: "carried" }, ...parts));
  }
  return content;
}

function edgePanel({ phase, text }) {
  if (phase === "start") {
    return [
      ...heading("Start", document.title, "forward"),
      el("p", null, text.replace("Start: ", "")),
      el("p", null, "Press Play, or step with the arrow keys. Click a node to see its value, gradient and rule."),
    ];
  }
  const leaves = nodes.map((node, n) => [node, n]).filter(([node]) => node.kind === "leaf" && node.gradient >= 0);
  const shown = leaves.slice(0, 24).map(([node, n]) => section(link(n), arrayView(arrays[node.gradient], "gradient")));
  if (leaves.length > 24) shown.push(el("p", { class: "muted" }, `and ${leaves.length - 24} more`));
  return [...heading("Done", "The gradients", "backward"), ...shown];
}

function nodePanel(number, state) {
  const node = nodes[number], gradient = state.gradients[number];
  const content = [
    ...heading(node.kind, node.named, node.kind),
    el("p", { class: "muted" }, [node.operation, node.shape, node.metadata, node.scope && `in ${node.scope}`].filter(Boolean).join(" · ")),
    ...forwardEquation(number),
    section("Value", state.reached[number] ? arrayView(arrays[node.value], "value") : el("p", { class: "muted" }, "not yet computed at this step")),
  ];
  if (node.gradient >= 0) {
    const left = state.missing[number];
    const words = left && gradient >= 0 ? `Gradient so far, ${total[number] - left} of ${total[number]} contributions` : "Gradient";
    content.push(section(words, gradient >= 0 ? arrayView(arrays[gradient], "gradient") : el("p", { class: "muted" }, "has not arrived at this step")));
  } else content.push(section("Gradient", el("p", { class: "muted" }, "none: the result does not depend on it, or it is a constant")));
  if (node.stored >= 0) content.push(section("Left in .grad by backward", arrayView(arrays[node.stored], ".grad")));
  const rules = graph.into[number].map(e => [edges[e], ruleOf(number, edges[e][2])]).filter(([, rule]) => rule >= 0);
  if (rules.length) {
    const lines = rules.map(([[source, , slot], rule]) => {
      const name = nodes[number].symbols[slot];
      return formula(name ? barred(name) : null, name ? "=" : null, equation(data.equations[rule]));
    });
    content.push(section("Rules", ...(node.symbols.length ? lines : lines.slice(0, 1))));
  }
  if (node.operation) {
    const [file, line, code] = node.line || [];
    content.push(section("Produced by", node.line ? el("p", null, `${file}:${line}`) : el("p", { class: "muted" }, "line not recorded; run it inside detect_anomaly() to have it here"),
      ...(code ? [el("pre", { class: "scroll" }, code)] : [])));
  }
  const list = (words, list) => section(words, list.length ? el("ul", { class: "links" }, ...list.slice(0, 60).map(n => el("li", null, link(n)))) : el("p", { class: "muted" }, "none"),
    ...(list.length > 60 ? [el("p", { class: "muted" }, `and ${list.length - 60} more`)] : []));
  if (node.operation) content.push(list("Operands", graph.into[number].map(e => edges[e][0])));
  content.push(list("Consumers", [...new Set(graph.outof[number].map(e => edges[e][1]))]));
  return content;
}

// -- Folding

function fold(box) {
  graph.toggle(box);
  refresh();
  const part = document.querySelector(`[data-key="b${box}"][role=button]`) || document.querySelector(`[data-key="b${box}"] [role=button]`);
  if (part) part.focus({ preventScroll: true });
  graph.reveal("b" + box, true);
}

function foldAll(folded) {
  graph.setFolded(new Set(folded ? data.boxes.map((_, i) => i).filter(i => i > 0) : []));
  refresh();
  view(true);
}

// The whole graph if it can be read so, else its part that the step is about: its beginning, at first.
function view(glide) {
  graph.fit();
  if (graph.fitScale() >= WHOLE) return;
  const number = moments[step].node, [width, height] = graph.room, [, , w, h] = graph.spots.get("b0");
  const middle = (room, size, at, length) => (size * CLOSE <= room ? (room - size * CLOSE) / 2 : Math.min(8, Math.max(room - size * CLOSE, room / 2 - (at + length / 2) * CLOSE)));
  const [x, y, a, b] = number >= 0 ? graph.spots.get(graph.standIn(number)) : [0, 0, 0, 0];
  graph.look(middle(width, w, x, a), middle(height, h, y, b), CLOSE, glide);
}

// -- Controls

$("slider").max = moments.length - 1;
$("slider").addEventListener("input", () => {
  pause();
  go(+$("slider").value);
});
const clicks = {
  first: () => move(-Infinity), back: () => move(-1), play: toggle, next: () => move(1), last: () => move(Infinity),
  follow: () => { choose(null); go(step); }, "zoom-in": () => graph.zoom(1.3, undefined, undefined, true), "zoom-out": () => graph.zoom(1 / 1.3, undefined, undefined, true),
  fit: () => graph.fit(true), turn: () => { graph.down = !graph.down; graph.build(); refresh(); view(); },
  fold: () => foldAll(true), unfold: () => foldAll(false),
};
for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);

const keys = {
  " ": "play", ArrowLeft: "back", ArrowRight: "next", ",": "back", ".": "next", Home: "first", End: "last",
  "+": "zoom-in", "=": "zoom-in", "-": "zoom-out", 0: "fit", t: "turn", f: "fold", u: "unfold", Escape: "follow",
};
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const tag = event.target.tagName;
  if (tag === "SELECT" || (tag === "INPUT" && event.target.type !== "range")) return;
  if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY")) return; // it presses that button
  if (event.key === "/") {
    event.preventDefault();
    $("search").focus();
    return;
  }
  const id = keys[event.key];
  if (!id) return;
  event.preventDefault();
  clicks[id]();
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
let wide = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === wide) return; // a phone's bars come and go
  if (!wide) graph.down = innerWidth < NARROW; // it began in a frame that was not shown
  wide = innerWidth;
  graph.build();
  refresh();
  view();
});
for (const id of ["fold", "unfold"]) $(id).hidden = data.boxes.length < 2;
go(0, false);
view();
