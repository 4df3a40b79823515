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

// -- The chosen node

function choose(number) {
  chosen = number;
  refresh();
  if (number !== null) {
    $("panel").scrollTop = 0;
    graph.reveal(graph.standIn(number), true);
  }
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
