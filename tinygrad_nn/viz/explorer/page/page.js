// The page: steps, play, search, the panel beside the graph, and the keyboard.

let data, nodes, edges, moments, arrays, total;

// Show the data of a page; a served page gets new data after each change.
function show(record) {
  data = unpack(record);
  ({ nodes, edges, moments, arrays } = data);
  total = lazy(data.count, data.contributions);
}

show(JSON.parse($("data").textContent));

let step = 0, chosen = null, timer = null;

const graph = new Graph(data, (kind, at, to) => picks[kind](at, to));
const picks = {
  node: number => choose(number),
  box: level => fold(level),
  loop: level => showLoop(level),
  step: (loop, to) => turn(loop, to),
  origin: key => (key[0] === "n" ? take(+key.slice(1)) : graph.reveal(key, true, true)),
  uses: key => (key[0] === "n" ? choose(+key.slice(1), "uses") : graph.reveal(key, true, true)),
};

const touch = typeof Changes === "undefined" ? null : new Changes(); // only on a served page

// -- The numbers known at a step

function stateAt(index) {
  const now = moments[index], flowing = new Set(now.carries.map(([e]) => e));
  const edgeAt = e => (flowing.has(e) ? 4 : now.phase === "forward" && data.target[e] === now.node ? 3 : data.edgeState(e, index));
  return {
    reached: lazy(data.count, n => data.reached(n, index)), gradients: lazy(data.count, n => data.gradient(n, index)),
    missing: lazy(data.count, n => data.missing(n, index)), edges: lazy(edges.length, edgeAt),
    at: index, node: now.node, carries: now.carries, back: now.phase === "backward" || now.phase === "seed",
  };
}

// -- Steps

function go(index, follow = true) {
  step = Math.max(0, Math.min(moments.length - 1, index));
  const moment = moments[step];
  $("slider").value = step;
  $("slider").setAttribute("aria-valuetext", moment.text);
  $("count").textContent = `${step} / ${moments.length - 1}`;
  say(negative(moment.text));
  $("first").disabled = $("back").disabled = step === 0;
  $("next").disabled = $("last").disabled = step === moments.length - 1;
  if (step === moments.length - 1) pause();
  document.body.dataset.phase = moment.phase;
  if (follow) graph.follow(moment.node);
  refresh();
  if (follow && moment.node >= 0) graph.reveal(graph.standIn(moment.node), true, true);
}

// A sentence below the controls; one that is too long for its room can be scrolled by keyboard.
function say(text) {
  $("say").textContent = text;
  if ($("say").scrollHeight > $("say").clientHeight) $("say").tabIndex = 0;
  else $("say").removeAttribute("tabindex");
}

function refresh(graphOnly) {
  const state = stateAt(step);
  graph.light({ ...state, chosen: chosen === null ? "" : graph.standIn(chosen) });
  if (graphOnly === true) return;
  showPanel(state);
  if (touch) touch.follow();
}

function play() {
  if (step === moments.length - 1) go(0);
  $("play").classList.add("on"); // show the pause sign
  $("play").lastElementChild.textContent = "Pause";
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
  $("play").classList.remove("on");
  $("play").lastElementChild.textContent = "Play";
  $("play").setAttribute("aria-label", "Play");
}

const toggle = () => (timer === null ? play() : pause());
const move = by => {
  pause();
  go(step + by);
};

// -- The chosen node

function choose(number, part) {
  chosen = number;
  if (number !== null) graph.follow(number, true);
  refresh();
  if (number !== null) {
    const at = part && document.getElementById(part);
    $("panel").scrollTop = at ? at.offsetTop - $("panel").offsetTop : 0;
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

function foldAll() {
  graph.setFolded(new Set([...data.level.parent.keys()].slice(1)));
  refresh();
  view(true);
}

// Open all visible levels one level deeper.
function unfold() {
  const { left } = graph.levels.deeper();
  graph.rebuild();
  refresh();
  view(true);
  if (left) say(`So many levels are open that ${times(left, "level")} stay${left === 1 ? "s" : ""} folded; click what you look for to unfold it.`);
}

// Show another step of a loop; a button that was used by keyboard keeps the focus.
function turn(loop, step) {
  const held = document.activeElement.closest && document.activeElement.closest("[data-key]"), { key, step: to } = held ? held.dataset : {};
  graph.turn(loop, step);
  refresh();
  const buttons = [...document.querySelectorAll(`[data-key="${key}"]`)];
  const next = buttons.find(part => part.getAttribute("aria-label") === (held && held.getAttribute("aria-label"))) || buttons[0];
  if (held && next) next.focus({ preventScroll: true });
  return to;
}

// Show the whole graph if it is readable then, else the part of the current step (at first, the beginning).
function view(glide) {
  graph.fit();
  if (graph.fitScale() * graph.make.grown >= READ) return;
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
  fold: foldAll, unfold,
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
  if (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY")) return; // space presses the focused button
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
  if (innerWidth === wide) return; // the browser bars of a phone appear and disappear
  if (!wide) graph.down = innerWidth < NARROW; // the page was loaded in a hidden frame
  wide = innerWidth;
  graph.build();
  refresh();
  view();
});
for (const id of ["fold", "unfold"]) $(id).hidden = data.boxes.length < 2;
go(touch ? touch.start() : 0, false);
view();
