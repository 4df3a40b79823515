// The graph on the stage: boxes, nodes and edges as SVG, folding, the camera, and what is lit.

const WHOLE = 0.6, CLOSE = 0.85, FAR = 0.3, TINY = 0.12; // scales: a whole graph can be read; a part; titles only; nothing
const NARROW = 700; // a window that is read from top to bottom
const MANY = 300; // parts; of more, those outside the window are not drawn

// Give an element a class if it has another; say whether it had.
function dress(element, kind) {
  if (element.dressed === kind) return false;
  element.dressed = kind;
  element.setAttribute("class", kind);
  return true;
}

class Graph {
  constructor(data, pick) {
    this.data = data;
    this.pick = pick;
    this.stage = document.getElementById("stage");
    this.root = document.getElementById("graph");
    this.world = document.getElementById("world");
    this.folded = new Set();
    this.down = innerWidth < NARROW;
    this.camera = { x: 0, y: 0, k: 1 };
    this.into = data.nodes.map(() => []);
    this.outof = data.nodes.map(() => []);
    data.edges.forEach(([source, target], e) => {
      this.into[target].push(e);
      this.outof[source].push(e);
    });
    this.flight = 0;
    this.build();
    this.listen();
  }

  nodeSize(number) {
    const node = this.data.nodes[number];
    if (node.small) return [node.width, 30];
    return [node.width, 58 + (node.gradient < 0 ? 0 : 15)];
  }

  // What stands for a node: itself, or the outermost folded box around it.
  standIn(number) {
    let key = "n" + number;
    for (let box = this.data.home[number]; box > 0; box = this.data.boxes[box].parent) {
      if (this.folded.has(box)) key = "b" + box;
    }
    return key;
  }

  build() {
    const { data } = this;
    const sizes = key => (key[0] === "n" ? this.nodeSize(+key.slice(1)) : this.foldSize(+key.slice(1)));
    this.placed = fit(data.boxes, sizes, this.down, this.folded, data.gaps, this.room.map(size => Math.max(size - 8, 100)));
    this.spots = this.placed.spots;
    this.parts = new Map();
    const boxes = [], nodes = [];
    for (const [key, spot] of this.spots) {
      if (key === "b0" || key[0] === "l") continue;
      const number = +key.slice(1);
      const open = key[0] === "b" && !this.folded.has(number);
      const part = open ? this.openBox(number, spot) : key[0] === "b" ? this.foldedBox(number, spot) : this.node(number, spot);
      part.dataset.key = key;
      this.parts.set(key, part);
      (open ? boxes : nodes).push([number, part]);
    }
    nodes.sort((a, b) => this.age(a[1]) - this.age(b[1]));
    this.order = nodes.map(([, part]) => part);
    document.getElementById("boxes").replaceChildren(...boxes.map(([, part]) => part.frame));
    document.getElementById("heads").replaceChildren(...boxes.map(([, part]) => part)); // above the edges that pass there
    document.getElementById("nodes").replaceChildren(...this.order);
    this.buildEdges();
    this.cells = [...[...this.parts].map(([key, part]) => [part, [key]]), ...this.lines].map(([part, keys]) => {
      const corners = keys.map(key => this.spots.get(key));
      const low = side => Math.min(...corners.map(c => c[side])), high = side => Math.max(...corners.map(c => c[side] + c[side + 2]));
      return { part, seen: true, spot: [low(0), low(1), high(0), high(1)] };
    });
    this.rects = [...this.parts].filter(([, part]) => this.order.includes(part)).map(([key]) => this.spots.get(key));
    this.cellOf = new Map(this.cells.map(cell => [cell.part, cell]));
    this.roving = null;
    if (this.order.length) this.rove(this.order[0]);
  }

  age(part) {
    const key = part.dataset.key;
    if (key[0] === "n") return +key.slice(1);
    return this.data.home.findIndex((box, n) => this.standIn(n) === key);
  }

  foldSize(number) {
    const box = this.data.boxes[number];
    return [Math.max(120, 8.4 * box.label.length + 44), 62];
  }

  node(number, [x, y, w, h]) {
    const node = this.data.nodes[number];
    const part = svg("g", { transform: `translate(${x} ${y})`, role: "button", tabindex: "-1" });
    const round = node.kind === "leaf" || node.kind === "constant" ? 3 : 14;
    part.append(svg("rect", { width: w, height: h, rx: round }));
    const lines = svg("g", { class: "lines" }), line = (name, at, text) => {
      const element = svg("text", { class: name, x: w / 2, y: at }, text);
      lines.append(element);
      return element;
    };
    part.append(part.middle = svg("g", null, lines));
    line("title", node.small ? 19.5 : 20, node.title);
    if (!node.small) {
      line("under", 34, node.under);
      part.value = line("value", 49, "");
      if (node.gradient >= 0) part.gradient = line("gradient", 64, "");
    }
    part.room = [w, h];
    part.texts = [[node.title, 15], [node.under, 13]];
    this.limit(part);
    part.word = `${node.named}, ${node.kind}${node.operation && node.kind !== "leaf" ? " " + node.operation : ""}, ${node.shape}`;
    part.kind = `node ${node.kind}`;
    return part;
  }

  foldedBox(number, [x, y, w, h]) {
    const box = this.data.boxes[number];
    const part = svg("g", { transform: `translate(${x} ${y})`, role: "button", tabindex: "-1", "aria-expanded": "false" });
    part.append(svg("rect", { width: w, height: h, rx: 6 }), svg("rect", { x: 3.5, y: 3.5, width: w - 7, height: h - 7, rx: 4, class: "inner" }));
    part.append(svg("text", { class: "title", x: w / 2, y: 26 }, "▸ " + box.label), svg("text", { class: "under", x: w / 2, y: 44 }, box.under));
    part.kind = "node fold";
    part.setAttribute("aria-label", `${box.path}, folded, ${box.under}`);
    return part;
  }

  openBox(number, [x, y, w, h]) {
    const box = this.data.boxes[number];
    const head = svg("g", { class: "head", role: "button", tabindex: "0", "aria-expanded": "true", "aria-label": `${box.path}, layer, ${box.under}` });
    const label = box.label;
    const room = Math.max(3, Math.floor((w - 34) / 7.5));
    const shown = label.length > room ? label.slice(0, room - 1) + "…" : label;
    head.append(svg("rect", { width: Math.min(w, 7.5 * shown.length + 34), height: 22, rx: 6 }), svg("text", { x: 10, y: 15.5 }, "▾ " + shown), svg("title", null, box.path));
    head.setAttribute("transform", `translate(${x} ${y})`);
    head.frame = svg("rect", { class: "frame", x, y, width: w, height: h, rx: 8 });
    return head;
  }

  buildEdges() {
    const { data } = this, made = new Map(), ways = new Ways(data, this.placed, this.down);
    const shown = data.edges.map(([source, target, slot], e) => {
      const from = this.standIn(source), to = this.standIn(target);
      if (from === to) return null;
      const keys = [from, ...(data.routes[e] || []).filter(key => this.spots.has(key)), to];
      ways.claim(keys, source);
      const arity = to[0] === "n" ? Math.max(...this.into[target].map(e => data.edges[e][2])) + 1 : 1;
      return {
        id: to[0] === "n" ? `${from} ${to} ${slot} ${source}` : `${from} ${to}`,
        keys,
        source,
        share: to[0] === "n" ? (slot + 1) / (arity + 1) : 0.5,
      };
    });
    this.lines = []; // each with the things on its way
    this.edgeParts = shown.map(edge => {
      if (!edge) return null;
      if (!made.has(edge.id)) {
        made.set(edge.id, svg("path", { class: "edge", d: ways.path(edge.keys, edge.source, edge.share) }));
        this.lines.push([made.get(edge.id), edge.keys]);
      }
      return made.get(edge.id);
    });
    document.getElementById("edges").replaceChildren(...made.values());
    document.getElementById("labels").replaceChildren();
  }

  setFolded(folded) {
    const before = this.roving && this.roving.dataset.key;
    this.folded = folded;
    this.build();
    if (before && this.parts.has(before)) this.rove(this.parts.get(before));
  }

  toggle(box) {
    const folded = new Set(this.folded);
    if (!folded.delete(box)) folded.add(box);
    this.setFolded(folded);
  }

  // Show what a step has reached. `state` says it by node and edge; only what changed is touched.
  light(state) {
    const { data } = this, words = new Map();
    data.nodes.forEach((node, n) => {
      const part = this.parts.get(this.standIn(n)), given = state.gradients[n] >= 0;
      const word = words.get(part) || { done: false, current: false, given: false };
      words.set(part, { done: word.done || state.reached[n], current: word.current || state.node === n, given: word.given || given });
      if (part.dataset.key[0] === "n") this.write(part, node, state.reached[n], state.gradients[n], given && state.missing[n] > 0);
    });
    for (const [part, { done, current, given }] of words) {
      const kind = part.kind + (done ? "" : " wait") + (current ? " current" : "") + (current && state.back ? " back" : "") +
        (given ? " given" : "") + (state.chosen === part.dataset.key ? " chosen" : "");
      if (!dress(part, kind)) continue;
      if (current) part.setAttribute("aria-current", "step");
      else part.removeAttribute("aria-current");
    }
    const kinds = new Map();
    this.edgeParts.forEach((path, e) => {
      if (path) kinds.set(path, Math.max(kinds.get(path) || 0, state.edges[e]));
    });
    for (const [path, kind] of kinds) dress(path, "edge " + ["wait", "done", "carried", "on", "flow"][kind]);
    document.getElementById("labels").replaceChildren(...labels(this, state));
  }

  write(part, node, reached, gradient, partial) {
    const said = `${reached} ${gradient} ${partial}`;
    if (part.said === said) return;
    part.said = said;
    const { arrays } = this.data, told = [part.word, reached ? `value ${arrays[node.value].brief}` : "not yet computed"];
    if (part.middle && !node.small) { // in the middle, however many lines there are
      part.texts.length = 2;
      if (reached) part.texts.push([arrays[node.value].brief, 13]);
      if (gradient >= 0 && part.gradient) part.texts.push(["∂ " + arrays[gradient].brief, 14]);
      this.limit(part);
      const last = gradient >= 0 && part.gradient ? 64 : reached ? 49 : node.under ? 34 : 20;
      part.middle.setAttribute("transform", `translate(0 ${(29 + (part.gradient ? 7.5 : 0) - (13 + last) / 2).toFixed(1)})`);
    }
    if (part.value) part.value.textContent = reached ? negative(arrays[node.value].brief) : "";
    if (part.gradient) {
      part.gradient.textContent = gradient >= 0 ? "∂ " + negative(arrays[gradient].brief) : "";
      part.gradient.classList.toggle("partial", partial);
    }
    if (gradient >= 0) told.push(`gradient ${partial ? "so far " : ""}${arrays[gradient].brief}`);
    if (touch) told.push(...touch.mark(part, reached, gradient, partial));
    part.setAttribute("aria-label", negative(told.join(", ")));
  }

  // -- The camera

  look(x, y, k, glide) {
    cancelAnimationFrame(this.flight);
    const start = { ...this.camera }, goal = { x, y, k: Math.min(4, Math.max(0.005, k)) };
    const still = !glide || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const begin = performance.now();
    this.size = this.room;
    const frame = now => {
      const t = still ? 1 : Math.min(1, Math.max(0, (now - begin) / 260)), s = t * t * (3 - 2 * t);
      this.camera = { x: start.x + (goal.x - start.x) * s, y: start.y + (goal.y - start.y) * s, k: start.k + (goal.k - start.k) * s };
      this.world.setAttribute("transform", `translate(${this.camera.x} ${this.camera.y}) scale(${this.camera.k})`);
      if (t === 1) this.letters();
      this.root.classList.toggle("far", this.camera.k < FAR);
      this.root.classList.toggle("tiny", this.camera.k < TINY);
      this.cull();
      if (t < 1) this.flight = requestAnimationFrame(frame);
    };
    frame(begin);
  }

  // How large the letters of a node can be, by their number: nothing is measured.
  limit(part) {
    const [w, h] = part.room, n = part.texts.length;
    const wide = ([text, size]) => size * [...text].reduce((sum, c) => sum + (/[ .,:·()[\]ijl]/.test(c) ? 0.36 : /[-−…∂]/.test(c) ? 0.8 : /[a-z_]/.test(c) ? 0.57 : 0.64), 0);
    const most = Math.min((w - 6) / Math.max(1, ...part.texts.map(wide)), (h - 4) / (n < 2 ? 20 : 14.7 * n));
    part.style.setProperty("--most", most.toFixed(2));
  }

  // Letters of a graph that is made a little smaller grow again to 11 pixels, as far as their nodes have room.
  letters() {
    const up = Math.min(1.3, Math.max(1, Math.ceil((20 * 11) / (13 * this.camera.k)) / 20)).toFixed(2);
    if (up !== this.up) this.world.style.setProperty("--up", this.up = up);
  }

  // Take what is outside the window out of the drawing, so that the rest moves smoothly.
  cull() {
    if (this.cells.length < MANY) return;
    const { x, y, k } = this.camera, [width, height] = this.size;
    const left = (-120 - x) / k, top = (-120 - y) / k, right = (width + 120 - x) / k, bottom = (height + 120 - y) / k;
    for (const cell of this.cells) {
      const [a, b, c, d] = cell.spot;
      const seen = (a < right && c > left && b < bottom && d > top) || cell.part === this.roving;
      if (seen !== cell.seen) this.draw(cell, seen);
    }
  }

  draw(cell, seen) {
    cell.seen = seen;
    if (seen) cell.part.removeAttribute("display");
    else cell.part.setAttribute("display", "none");
  }

  get room() {
    const { width, height } = this.root.getBoundingClientRect();
    return [width, height];
  }

  fitScale() {
    const [, , w, h] = this.spots.get("b0"), [width, height] = this.room;
    return Math.min(1.6, (width - 8) / w, (height - 8) / h);
  }

  fit(glide) {
    const [, , w, h] = this.spots.get("b0"), [width, height] = this.room, k = this.fitScale();
    this.look((width - w * k) / 2, (height - h * k) / 2, k, glide);
  }

  zoom(factor, cx, cy, glide) {
    const { x, y, k } = this.camera, [width, height] = this.room;
    const px = cx ?? width / 2, py = cy ?? height / 2;
    const to = Math.min(4, Math.max(0.005, k * factor));
    this.look(px - ((px - x) * to) / k, py - ((py - y) * to) / k, to, glide);
  }

  // Bring a part into view, at a size that can be read, and move no more than needed.
  reveal(key, glide, readable) {
    const spot = this.spots.get(key);
    if (!spot) return;
    const [x, y, w, h] = spot, [width, height] = this.room;
    const k = readable ? Math.max(this.camera.k, Math.min(CLOSE, width / (w + 40))) : this.camera.k;
    const left = x * k + this.camera.x, top = y * k + this.camera.y;
    const rim = Math.min(70, width / 6, height / 6);
    const inside = left >= rim && top >= rim && left + w * k <= width - rim && top + h * k <= height - rim;
    if (this.fitsWhole() && this.camera.k >= WHOLE) return;
    if (k === this.camera.k && inside) return;
    this.look(width / 2 - (x + w / 2) * k, height / 2 - (y + h / 2) * k, k, glide);
  }

  fitsWhole() {
    const [, , w, h] = this.spots.get("b0"), [width, height] = this.room, { x, y, k } = this.camera;
    return x >= -1 && y >= -1 && x + w * k <= width + 1 && y + h * k <= height + 1;
  }

  // -- Hands and keys

  rove(part) {
    if (this.roving) this.roving.setAttribute("tabindex", "-1");
    this.roving = part;
    this.draw(this.cellOf.get(part), true); // else it could not be reached by a key
    part.setAttribute("tabindex", "0");
  }

  listen() {
    const fingers = new Map();
    let start = null, dragged = false, spread = 0;
    const where = event => {
      const { left, top } = this.root.getBoundingClientRect();
      return [event.clientX - left, event.clientY - top];
    };
    this.root.addEventListener("pointerdown", event => {
      fingers.set(event.pointerId, where(event));
      start = where(event);
      if (fingers.size === 1) dragged = false;
      spread = 0;
    });
    this.root.addEventListener("pointermove", event => {
      if (!fingers.has(event.pointerId)) return;
      const before = fingers.get(event.pointerId), now = where(event);
      if (!dragged && Math.hypot(now[0] - start[0], now[1] - start[1]) < 5) return;
      if (!dragged) this.root.setPointerCapture(event.pointerId);
      dragged = true;
      fingers.set(event.pointerId, now);
      const { x, y, k } = this.camera;
      if (fingers.size === 1) this.look(x + now[0] - before[0], y + now[1] - before[1], k);
      else {
        const [[a, b], [c, d]] = [...fingers.values()], wide = Math.hypot(a - c, b - d);
        if (spread) this.zoom(wide / spread, (a + c) / 2, (b + d) / 2);
        spread = wide;
      }
    });
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      this.root.addEventListener(name, event => {
        if (name === "pointerleave" && this.root.hasPointerCapture(event.pointerId)) return;
        fingers.delete(event.pointerId);
        spread = 0;
      });
    }
    this.root.addEventListener("wheel", event => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...where(event));
    }, { passive: false });
    this.root.addEventListener("click", event => {
      const part = event.target.closest("[data-key]");
      if (!dragged && part) this.act(part);
    });
    this.root.addEventListener("keydown", event => {
      const part = event.target.closest("[data-key]");
      if (!part || event.ctrlKey || event.metaKey || event.altKey) return;
      const press = event.key === "Enter" || (event.key === " " && part.matches(":focus-visible")); // after a click, it plays
      if (press) this.act(part);
      else if (!this.walk(part, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.stage.addEventListener("focusin", event => { // on the SVG itself it would make that a stop of its own
      const part = event.target.closest(".node");
      if (part) this.rove(part);
    });
  }

  act(part) {
    const key = part.dataset.key;
    if (key[0] === "b") this.pick("box", +key.slice(1));
    else this.pick("node", +key.slice(1));
  }

  // Arrow keys: along an edge, or to the next older or younger part.
  walk(part, pressed) {
    const at = this.order.indexOf(part);
    if (at < 0) return false;
    const key = part.dataset.key, own = n => this.standIn(n) === key;
    let to = null;
    if (pressed === "ArrowUp") to = this.order[at - 1];
    else if (pressed === "ArrowDown") to = this.order[at + 1];
    else if (pressed === "ArrowLeft" || pressed === "ArrowRight") {
      const right = pressed === "ArrowRight";
      for (const [source, target] of this.data.edges) {
        const [mine, other] = right ? [source, target] : [target, source];
        if (own(mine) && !own(other)) {
          to = this.parts.get(this.standIn(other));
          break;
        }
      }
    } else return false;
    if (to) {
      this.rove(to);
      to.focus({ preventScroll: true });
      this.reveal(to.dataset.key, true);
    }
    return true;
  }
}
