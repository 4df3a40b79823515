// The graph on the page: SVG of the parts and lines in view, folding, the camera, and highlighting.

const READ = 0.79, CLOSE = 0.85, FAINT = 0.3, TINY = 0.12; // scales: text of 14 has 11 pixels; for one part; titles only; no text
const GROWN = [1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.4, 1], FEW = 60; // factors of the size of nodes, so that a small graph is readable as a whole
const NARROW = 700; // a narrower window shows the graph from top to bottom
const MANY = 300; // if there are more parts and lines, only those in view are in the page

// Set the class of an element if it differs; return whether it did.
function dress(element, kind) {
  if (element.dressed === kind) return false;
  element.dressed = kind;
  element.setAttribute("class", kind);
  return true;
}

class Graph {
  constructor(data, pick) {
    Object.assign(this, { data, pick, into: data.into, outof: data.outof });
    this.stage = document.getElementById("stage");
    this.root = document.getElementById("graph");
    this.world = document.getElementById("world");
    this.levels = new Levels(data);
    this.make = new Parts(data, this.levels);
    this.down = innerWidth < NARROW;
    this.camera = { x: 0, y: 0, k: 1 };
    this.flight = 0;
    this.state = null;
    this.build();
    this.hands = new Hands(this);
  }

  // Replace the numbers of the same graph.
  take(data) {
    Object.assign(this, { data, into: data.into, outof: data.outof });
    this.levels.data = this.make.data = data;
  }

  standIn(number) {
    return this.levels.standIn(number);
  }

  // -- The visible parts and their positions

  build() {
    const { data, levels } = this;
    let ways;
    for (const grown of GROWN) {
      ways = this.arrange(grown);
      if (data.count > FEW || this.fitScale() * grown >= READ) break;
    }
    const lines = levels.current;
    const open = new Set(this.boxes.map(box => "b" + box.number)), cells = { heads: [], edges: [], nodes: [] };
    for (const [key, [x, y, w, h]] of this.spots) {
      if (key === "b0" || key[0] === "l") continue;
      cells[open.has(key) ? "heads" : "nodes"].push({ key, spot: [x, y, x + w, y + h] });
    }
    cells.nodes.forEach(cell => Object.assign(cell, { age: this.age(cell.key), ...("nbpq".includes(cell.key[0]) ? levels.times(cell.key) : {}) }));
    cells.nodes.sort((a, b) => a.age - b.age);
    for (const { keys, from } of lines) ways.claim(keys, from);
    cells.edges = lines.map(line => {
      const { keys } = line;
      const spots = keys.slice(1).map((key, i) => { // of each part of its path
        const [[x, y, w, h], [u, v, r, s]] = [this.spots.get(keys[i]), this.spots.get(key)];
        return [Math.min(x, u), Math.min(y, v), Math.max(x + w, u + r), Math.max(y + h, v + s)];
      });
      return { line, way: () => ways.path(keys, line.from, line.share), spots };
    });
    this.cellOfLine = new Map(cells.edges.map(cell => [cell.line, cell]));
    this.edgeParts = lazy(data.edges.length, e => this.path(this.cellOfLine.get(levels.line(e))));
    this.cells = cells;
    this.count = cells.heads.length + cells.edges.length + cells.nodes.length;
    this.cellOf = new Map([...cells.nodes, ...cells.heads].map(cell => [cell.key, cell]));
    this.rects = cells.nodes.map(cell => this.spots.get(cell.key));
    for (const id of ["boxes", "heads", "edges", "nodes", "labels"]) document.getElementById(id).replaceChildren();
    for (const [id, list] of Object.entries(cells)) list.forEach((cell, i) => Object.assign(cell, { i, list, group: document.getElementById(id), part: null, drawn: false }));
    this.roving = null;
    if (this.count < MANY) this.drawAll();
    else this.cull();
    if (this.state) this.light(this.state);
    if (cells.nodes.length) this.rove(this.cellOf.has(this.before) ? this.before : cells.nodes[0].key);
  }

  // Place all visible parts, enlarged by the factor `grown` compared to a large graph.
  arrange(grown) {
    const { data, levels, make } = this, { head, ahead } = data.gaps; // names of levels, and numbers between nodes, are enlarged alike
    const gaps = { ...data.gaps, head: head * grown, ahead: this.down ? ahead : ahead * (1 + grown) / 2 };
    Object.assign(this, { gaps });
    make.grown = grown;
    const boxes = levels.open().map(box => ({ ...box, least: make.least(box.number) }));
    const arranged = arrange(boxes, levels.lines(), n => data.uses(n), gaps);
    make.pills = arranged.pills;
    this.boxes = arranged.boxes;
    this.placed = fit(arranged.boxes, key => make.room(key, this.down), this.down, gaps, this.room.map(size => Math.max(size - 8, 100)));
    const ways = new Ways(arranged.boxes, this.placed, this.down, gaps); // the paths also avoid stubs
    this.spots = make.withStubs(this.placed.spots, this.down);
    return ways;
  }

  age(key) {
    const number = parseInt(key.slice(1), 10), { levels } = this;
    if (key[0] === "n") return number;
    if (key[0] === "b") return levels.first[number];
    if (key[0] === "p") return levels.first[number] - 0.5;
    if (key[0] === "q") return levels.last[number] + 0.5;
    const line = this.make.pills.get(key);
    return key[0] === "o" ? this.age(line.from) + 0.25 : this.age(line.to) - 0.25;
  }

  path(cell) {
    if (!cell) return null;
    return (cell.part ??= svg("path", { class: "edge", d: cell.way() }));
  }

  partOf(cell) {
    if (cell.part) return cell.part;
    if (cell.line) return this.path(cell);
    return (cell.part = cell.list === this.cells.heads ? this.make.open(+cell.key.slice(1), this.spots.get(cell.key)) : this.make.make(cell.key, this.spots.get(cell.key)));
  }

  draw(cell, seen) {
    if (cell.drawn === seen) return;
    cell.drawn = seen;
    const part = this.partOf(cell);
    if (!seen) {
      part.remove();
      if (part.frame) part.frame.remove();
      return;
    }
    let next = cell.i + 1;
    while (next < cell.list.length && !cell.list[next].drawn) next++;
    const before = next < cell.list.length ? cell.list[next].part : null;
    cell.group.insertBefore(part, before);
    if (part.frame) document.getElementById("boxes").insertBefore(part.frame, before && before.frame);
    if (this.state) this.lightCell(cell);
  }

  drawAll() {
    for (const list of Object.values(this.cells)) for (let i = list.length - 1; i >= 0; i--) this.draw(list[i], true);
  }

  // Put the parts and lines in view into the page, and remove all others.
  cull() {
    if (this.count < MANY) return;
    const { x, y, k } = this.camera, [width, height] = this.size || this.room;
    const left = (-120 - x) / k, top = (-120 - y) / k, right = (width + 120 - x) / k, bottom = (height + 120 - y) / k;
    const inView = ([a, b, c, d]) => a < right && c > left && b < bottom && d > top;
    const { heads, edges, nodes } = this.cells, ends = new Set([this.roving]); // a line is always drawn with its ends
    let flowing = false; // whether a line with a number was added or removed
    const seen = (list, test) => {
      for (let i = list.length - 1; i >= 0; i--) {
        if (test(list[i]) === list[i].drawn) continue;
        this.draw(list[i], !list[i].drawn);
        flowing ||= this.flowing?.has(list[i].line);
      }
    };
    seen(heads, cell => inView(cell.spot));
    seen(edges, cell => {
      const drawn = cell.spots.some(inView);
      if (drawn) ends.add(cell.line.keys[0]).add(cell.line.keys.at(-1));
      return drawn;
    });
    seen(nodes, cell => ends.has(cell.key) || inView(cell.spot));
    if (flowing) this.label();
  }

  // Set the folded levels; all others are open.
  setFolded(folded) {
    const { levels } = this;
    levels.closed = new Set(folded);
    levels.opened = new Set([...Array(levels.count).keys()].filter(b => b > 0 && !levels.closed.has(b)));
    this.rebuild();
  }

  rebuild() {
    this.before = this.roving;
    this.levels.change();
    this.build();
  }

  toggle(level) {
    const { levels } = this, open = levels.isOpen(level), up = this.data.level.parent[level];
    for (const b of levels.loop[up] ? levels.within[up] : [level]) { // all steps of a loop are folded together
      levels[open ? "opened" : "closed"].delete(b);
      levels[open ? "closed" : "opened"].add(b);
    }
    this.rebuild();
  }

  // Show a step of a loop.
  turn(loop, step) {
    this.levels.shown.set(loop, Math.max(0, Math.min(this.levels.within[loop].length - 1, step)));
    this.rebuild();
  }

  // Unfold the levels around a node that the walk reaches; for a searched node, also those that the reader folded.
  follow(node, sought) {
    const unfolded = sought && this.levels.chain(this.data.home[node]).map(b => this.levels.closed.delete(b)).includes(true);
    const moved = this.levels.follow(node);
    if (unfolded || moved) this.rebuild();
  }

  // -- Highlighting

  // Show how far a step has come; only elements that are in the page and have changed are updated.
  light(state) {
    const { data, levels } = this;
    this.state = state;
    this.flowing = new Set(state.carries.map(([e]) => levels.line(e)));
    this.feeding = new Set(state.node >= 0 && !state.back ? data.into[state.node].map(e => levels.line(e)) : []);
    this.current = state.node >= 0 ? this.standIn(state.node) : "";
    for (const list of [this.cells.nodes, this.cells.edges]) for (const cell of list) if (cell.drawn) this.lightCell(cell);
    this.label();
  }

  label() {
    document.getElementById("labels").replaceChildren(...labels(this, this.state));
  }

  lightCell(cell) {
    const { state, data } = this, { part, line, key } = cell;
    if (line) {
      const kind = this.flowing.has(line) ? "flow" : this.feeding.has(line) ? "on" : line.carried <= state.at ? "carried" : line.done <= state.at ? "done" : "wait";
      dress(part, `edge ${kind}${line.stub ? " short" : ""}${line.carried < data.length ? "" : " still"}`); // a still line carries no gradient
      return;
    }
    if (cell.list === this.cells.heads) return;
    if (part.line) {
      dress(part, part.kind + (part.line.done <= state.at ? "" : " wait"));
      return;
    }
    const number = +key.slice(1), own = key[0] === "n";
    const done = own ? data.reached(number, state.at) : cell.reached <= state.at, current = key === this.current;
    const gradient = own ? data.gradient(number, state.at) : -1, given = own ? gradient >= 0 : cell.arrives <= state.at;
    if (own) this.write(part, data.nodes[number], done, gradient, given && data.missing(number, state.at) > 0);
    const kind = part.kind + (done ? "" : " wait") + (current ? " current" : "") + (current && state.back ? " back" : "") +
      (given ? " given" : "") + (state.chosen === key ? " chosen" : "");
    if (!dress(part, kind)) return;
    if (current) part.setAttribute("aria-current", "step");
    else part.removeAttribute("aria-current");
  }

  write(part, node, reached, gradient, partial) {
    const said = `${reached} ${gradient} ${partial}`;
    if (part.said === said) return;
    part.said = said;
    const { arrays } = this.data, told = [part.word, reached ? `value ${arrays[node.value].brief}` : "not yet computed"];
    part.center((gradient >= 0 && part.gradient) || (reached && part.value));
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
      this.root.classList.toggle("far", this.camera.k < FAINT);
      this.root.classList.toggle("tiny", this.camera.k < TINY);
      this.cull();
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
    const to = Math.min(4, Math.max(0.005, k * factor));
    this.look(px - ((px - x) * to) / k, py - ((py - y) * to) / k, to, glide);
  }

  // Bring a part into view at a readable size, moving as little as possible.
  reveal(key, glide, readable) {
    const spot = this.spots.get(key);
    if (!spot) return;
    const [x, y, w, h] = spot, [width, height] = this.room;
    const k = readable ? Math.max(this.camera.k, Math.min(CLOSE, width / (w + 40))) : this.camera.k;
    const left = x * k + this.camera.x, top = y * k + this.camera.y;
    const rim = Math.min(70, width / 6, height / 6);
    const inside = left >= rim && top >= rim && left + w * k <= width - rim && top + h * k <= height - rim;
    if (this.fitsWhole() && this.camera.k * this.make.grown >= READ) return;
    if (k === this.camera.k && inside) return;
    this.look(width / 2 - (x + w / 2) * k, height / 2 - (y + h / 2) * k, k, glide);
  }

  fitsWhole() {
    const [, , w, h] = this.spots.get("b0"), [width, height] = this.room, { x, y, k } = this.camera;
    return x >= -1 && y >= -1 && x + w * k <= width + 1 && y + h * k <= height + 1;
  }

  // -- The part with the keyboard focus

  rove(key) {
    const old = this.cellOf.get(this.roving), cell = this.cellOf.get(key);
    if (old && old.part) old.part.setAttribute("tabindex", "-1");
    this.roving = key;
    this.draw(cell, true); // else it could not get the focus
    cell.part.setAttribute("tabindex", "0");
    return cell.part;
  }
}
