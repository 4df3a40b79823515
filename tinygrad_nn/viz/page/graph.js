// The graph on the stage: boxes, nodes and edges as SVG, folding, the camera, and what is lit.

class Graph {
  constructor(data, pick) {
    this.data = data;
    this.pick = pick;
    this.stage = document.getElementById("stage");
    this.root = document.getElementById("graph");
    this.world = document.getElementById("world");
    this.folded = new Set();
    this.down = innerWidth < 700;
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
    this.spots = place(data.boxes, sizes, this.down, this.folded, data.gaps);
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
    document.getElementById("boxes").replaceChildren(...boxes.map(([, part]) => part));
    document.getElementById("nodes").replaceChildren(...this.order);
    this.buildEdges();
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
    const part = svg("g", { class: `node ${node.kind}`, transform: `translate(${x} ${y})`, role: "button", tabindex: "-1" });
    const round = node.kind === "leaf" || node.kind === "constant" ? 3 : 14;
    part.append(svg("rect", { width: w, height: h, rx: round }));
    const line = (name, at, text) => {
      const element = svg("text", { class: name, x: w / 2, y: at }, text);
      part.append(element);
      return element;
    };
    line("title", node.small ? 19.5 : 20, node.title);
    if (!node.small) {
      line("under", 34, node.under);
      part.value = line("value", 49, "");
      if (node.gradient >= 0) part.gradient = line("gradient", 64, "");
    }
    part.word = `${node.named}, ${node.kind}${node.operation && node.kind !== "leaf" ? " " + node.operation : ""}, ${node.shape}`;
    part.setAttribute("aria-label", part.word);
    return part;
  }

  foldedBox(number, [x, y, w, h]) {
    const box = this.data.boxes[number];
    const part = svg("g", { class: "node fold", transform: `translate(${x} ${y})`, role: "button", tabindex: "-1", "aria-expanded": "false" });
    part.append(svg("rect", { width: w, height: h, rx: 6 }), svg("rect", { x: 3.5, y: 3.5, width: w - 7, height: h - 7, rx: 4, class: "inner" }));
    part.append(svg("text", { class: "title", x: w / 2, y: 26 }, "▸ " + box.label), svg("text", { class: "under", x: w / 2, y: 44 }, box.under));
    part.word = `${box.path}, folded, ${box.under}`;
    part.setAttribute("aria-label", part.word);
    return part;
  }

  openBox(number, [x, y, w, h]) {
    const box = this.data.boxes[number];
    const head = svg("g", { class: "head", role: "button", tabindex: "0", "aria-expanded": "true", "aria-label": `${box.path}, layer, ${box.under}` });
    const label = box.label;
    const room = Math.max(3, Math.floor((w - 34) / 7));
    const shown = label.length > room ? label.slice(0, room - 1) + "…" : label;
    head.append(svg("rect", { width: w, height: 22, rx: 6 }), svg("text", { x: 10, y: 15 }, "▾ " + shown), svg("title", null, box.path));
    head.dataset.key = "b" + number;
    return svg("g", { class: "box", transform: `translate(${x} ${y})` }, svg("rect", { class: "frame", width: w, height: h, rx: 8 }), head);
  }

  buildEdges() {
    const { data } = this, made = new Map();
    this.edgeParts = data.edges.map(([source, target, slot], e) => {
      const from = this.standIn(source), to = this.standIn(target);
      if (from === to) return null;
      const id = to[0] === "n" ? `${from} ${to} ${slot} ${source}` : `${from} ${to}`;
      if (!made.has(id)) {
        const lanes = (data.routes[e] || []).filter(key => this.spots.has(key));
        const path = svg("path", { class: "edge", d: this.route(from, to, target, slot, lanes) });
        made.set(id, path);
      }
      return made.get(id);
    });
    document.getElementById("edges").replaceChildren(...made.values());
    document.getElementById("labels").replaceChildren();
  }

  route(from, to, target, slot, lanes) {
    const [x, y, w, h] = this.spots.get(from), [u, v, a, b] = this.spots.get(to);
    const arity = to[0] === "n" ? Math.max(...this.into[target].map(e => this.data.edges[e][2])) + 1 : 1;
    const share = to[0] === "n" ? (slot + 1) / (arity + 1) : 0.5;
    const points = this.down ? [[x + w / 2, y + h]] : [[x + w, y + h / 2]];
    for (const key of lanes) {
      const [p, q, r, s] = this.spots.get(key);
      points.push(...(this.down ? [[p + r / 2, q], [p + r / 2, q + s]] : [[p, q + s / 2], [p + r, q + s / 2]]));
    }
    points.push(this.down ? [u + a * share, v] : [u, v + b * share]);
    let d = `M${points[0]}`;
    for (let i = 1; i < points.length; i++) {
      const [p, q] = points[i - 1], [r, s] = points[i];
      const bend = Math.max(24, Math.abs(this.down ? s - q : r - p) / 2);
      d += this.down ? `C${p},${q + bend} ${r},${s - bend} ${r},${s}` : `C${p + bend},${q} ${r - bend},${s} ${r},${s}`;
    }
    return d;
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

  // Show what a step has reached. `state` says it by node and edge.
  light(state) {
    const { data } = this, words = new Map();
    for (const [key, part] of this.parts) {
      if (part.classList.contains("box")) continue;
      words.set(part, { done: false, current: false, given: false });
    }
    data.nodes.forEach((node, n) => {
      const part = this.parts.get(this.standIn(n)), word = words.get(part);
      const value = state.reached[n], gradient = state.gradients[n];
      word.done = word.done || value;
      word.current = word.current || state.node === n;
      word.given = word.given || gradient >= 0;
      if (part.dataset.key[0] !== "n") return;
      if (part.value) part.value.textContent = value ? negative(data.arrays[node.value].brief) : "";
      if (part.gradient) {
        part.gradient.textContent = gradient >= 0 ? "∂ " + negative(data.arrays[gradient].brief) : "";
        part.gradient.classList.toggle("partial", state.missing[n] > 0);
      }
      const told = [part.word, value ? `value ${data.arrays[node.value].brief}` : "not yet computed"];
      if (gradient >= 0) told.push(`gradient ${state.missing[n] > 0 ? "so far " : ""}${data.arrays[gradient].brief}`);
      part.setAttribute("aria-label", told.join(", "));
    });
    for (const [part, word] of words) {
      part.classList.toggle("wait", !word.done);
      part.classList.toggle("current", word.current);
      part.classList.toggle("back", word.current && state.back);
      part.classList.toggle("given", word.given);
      if (word.current) part.setAttribute("aria-current", "step");
      else part.removeAttribute("aria-current");
    }
    const kinds = new Map();
    this.edgeParts.forEach((path, e) => {
      if (path) kinds.set(path, Math.max(kinds.get(path) || 0, state.edges[e]));
    });
    for (const [path, kind] of kinds) path.setAttribute("class", "edge " + ["wait", "done", "carried", "on", "flow"][kind]);
    this.labels(state);
  }

  // What each lit edge carries, as a label in its middle.
  labels(state) {
    const labels = [], seen = new Map();
    for (const [e, array] of state.carries) {
      const path = this.edgeParts[e];
      if (!path) continue;
      seen.set(path, seen.has(path) ? null : this.data.arrays[array].tiny);
    }
    for (const [path, text] of seen) {
      if (text === null) continue; // several values in one line of a folded box
      const away = this.down ? 30 + 24 * (labels.length % 3) : 54; // beside its source, where no node stands
      const at = path.getPointAtLength(Math.min(away, path.getTotalLength() / 2));
      const shown = negative(text), width = 7.4 * shown.length + 14;
      labels.push(svg("g", { class: "carry", transform: `translate(${at.x} ${at.y})` },
        svg("rect", { x: -width / 2, y: -9, width, height: 18, rx: 9 }), svg("text", { y: 4 }, shown)));
    }
    document.getElementById("labels").replaceChildren(...labels);
  }

  // -- The camera

  look(x, y, k, glide) {
    cancelAnimationFrame(this.flight);
    const start = { ...this.camera }, goal = { x, y, k: Math.min(4, Math.max(0.02, k)) };
    const still = !glide || matchMedia("(prefers-reduced-motion: reduce)").matches;
    const begin = performance.now();
    const frame = now => {
      const t = still ? 1 : Math.min(1, Math.max(0, (now - begin) / 260)), s = t * t * (3 - 2 * t);
      this.camera = { x: start.x + (goal.x - start.x) * s, y: start.y + (goal.y - start.y) * s, k: start.k + (goal.k - start.k) * s };
      this.world.setAttribute("transform", `translate(${this.camera.x} ${this.camera.y}) scale(${this.camera.k})`);
      this.root.classList.toggle("far", this.camera.k < 0.3);
      if (t < 1) this.flight = requestAnimationFrame(frame);
    };
    frame(begin);
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
    const to = Math.min(4, Math.max(0.02, k * factor));
    this.look(px - ((px - x) * to) / k, py - ((py - y) * to) / k, to, glide);
  }

  // Bring a part into view, at a size that can be read, and move no more than needed.
  reveal(key, glide, readable) {
    const spot = this.spots.get(key);
    if (!spot) return;
    const [x, y, w, h] = spot, [width, height] = this.room;
    const k = readable ? Math.max(this.camera.k, Math.min(0.75, width / (w + 40))) : this.camera.k;
    const left = x * k + this.camera.x, top = y * k + this.camera.y;
    const rim = Math.min(70, width / 6, height / 6);
    const inside = left >= rim && top >= rim && left + w * k <= width - rim && top + h * k <= height - rim;
    if (k === this.camera.k && (inside || this.fitsWhole())) return;
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
      if (event.key === "Enter") this.act(part);
      else if (!this.walk(part, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.root.addEventListener("focusin", event => {
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
      to.focus({ preventScroll: true });
      this.reveal(to.dataset.key, true);
    }
    return true;
  }
}
