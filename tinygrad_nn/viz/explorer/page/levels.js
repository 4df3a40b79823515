// The open levels (nested; one step of each loop at a time), and the lines between the visible parts.

const EVERYTHING = 150, OPENED = 90; // parts of a graph that is shown whole; else levels are opened up to so many parts
const MOST = 400; // parts that may be open at once

class Levels {
  constructor(data) {
    this.data = data;
    const { parent, kind } = data.level, many = parent.length;
    this.count = many;
    this.within = Array.from({ length: many }, () => []); // the levels directly inside each level, in order
    for (let b = 1; b < many; b++) this.within[parent[b]].push(b);
    this.index = new Int32Array(many);
    for (const list of this.within) list.forEach((b, k) => { this.index[b] = k; });
    this.nodes = Array.from({ length: many }, () => []);
    this.first = new Int32Array(many).fill(data.count); // first operation in each level
    this.last = new Int32Array(many).fill(-1);
    this.operations = new Int32Array(many);
    this.arrives = new Int32Array(many).fill(data.length); // moment of the first gradient in each level
    for (let n = 0; n < data.count; n++) {
      const home = data.home[n];
      this.nodes[home].push(n);
      this.arrives[home] = Math.min(this.arrives[home], data.arrives(n));
      if (!data.isOperation(n)) continue;
      this.operations[home]++;
      this.first[home] = Math.min(this.first[home], n);
      this.last[home] = n;
    }
    for (let b = many - 1; b > 0; b--) {
      const up = parent[b];
      this.operations[up] += this.operations[b];
      this.first[up] = Math.min(this.first[up], this.first[b]);
      this.last[up] = Math.max(this.last[up], this.last[b]);
      this.arrives[up] = Math.min(this.arrives[up], this.arrives[b]);
    }
    this.loop = Array.from(kind, name => name === "loop");
    this.shown = new Map(); // loop -> visible step, the first by default
    this.opened = new Set(); // opened by the reader (`closed` likewise)
    this.closed = new Set();
    this.path = new Set(); // levels around the current step
    this.base = this.beginning();
    this.change();
  }

  isOpen(level) {
    return level === 0 || (!this.closed.has(level) && (this.opened.has(level) || this.base.has(level) || this.path.has(level)));
  }

  // The number of parts directly in a level when it is open.
  size(level) {
    return this.loop[level] ? 3 : this.nodes[level].length + this.within[level].length;
  }

  // The levels that are open at first: all of a small graph, else the outermost as long as there is room.
  beginning() {
    const open = new Set(), all = this.data.count + this.count <= EVERYTHING && !this.loop.includes(true);
    let parts = this.size(0);
    const next = [0];
    while (next.length) {
      const level = next.shift();
      for (const inner of this.loop[level] ? this.within[level].slice(0, 1) : this.within[level]) {
        const dull = this.data.level.kind[inner] === "stretch" || this.data.level.kind[inner] === "data";
        if (!all && (dull || parts + this.size(inner) > OPENED)) continue;
        parts += this.size(inner);
        open.add(inner);
        next.push(inner);
      }
    }
    for (const loop of this.loop.keys()) if (this.loop[loop] && open.has(this.within[loop][0])) this.within[loop].forEach(step => open.add(step));
    return open;
  }

  chain(level) {
    const chain = [];
    for (let b = level; b > 0; b = this.data.level.parent[b]) chain.push(b);
    return chain;
  }

  step(loop) {
    return this.within[loop][this.shown.get(loop) ?? 0];
  }

  // Unfold the levels around a node that the reader has not folded; return whether anything changed.
  follow(node) {
    const path = node < 0 ? [] : this.chain(this.data.home[node]);
    let changed = false;
    for (const b of path) {
      const up = this.data.level.parent[b];
      if (!this.loop[up] || (this.shown.get(up) ?? 0) === this.index[b]) continue;
      this.shown.set(up, this.index[b]);
      changed = true;
    }
    const open = new Set(path.filter(b => !this.closed.has(b) && !this.opened.has(b) && !this.base.has(b)));
    changed ||= open.size !== this.path.size || [...open].some(b => !this.path.has(b));
    this.path = open;
    if (changed) this.change();
    return changed;
  }

  // The key of the part that replaces each hidden level, 0 if it is open: a folded level, or the other steps of a loop.
  change() {
    const { data, count } = this, { parent } = data.level;
    this.standing = new Int32Array(count);
    for (let b = 1; b < count; b++) {
      const up = parent[b];
      if (this.standing[up]) this.standing[b] = this.standing[up];
      else if (this.loop[up] && this.index[b] !== (this.shown.get(up) ?? 0)) {
        this.standing[b] = data.count + (this.index[b] < (this.shown.get(up) ?? 0) ? count : 2 * count) + up;
      } else if (!this.isOpen(b)) this.standing[b] = data.count + b;
    }
  }

  key(code) {
    const { count } = this.data;
    if (code < count) return "n" + code;
    const kind = Math.floor((code - count) / this.count);
    return "bpq"[kind] + (code - count - kind * this.count);
  }

  standIn(node) {
    return this.key(this.standing[this.data.home[node]] || node);
  }

  // The open levels that are visible, each with its parts.
  open() {
    const found = [], stack = [0];
    while (stack.length) {
      const number = stack.pop(), inner = [];
      let parts;
      if (this.loop[number]) {
        const step = this.step(number);
        parts = ["b" + step];
        if (this.index[step] > 0) parts.unshift("p" + number);
        if (this.index[step] + 1 < this.within[number].length) parts.push("q" + number);
        if (this.isOpen(step)) inner.push(step);
      } else {
        const { data } = this, inputs = this.nodes[number].filter(n => !data.isOperation(n));
        const rest = this.nodes[number].filter(n => data.isOperation(n)).map(n => [n, "n" + n]);
        rest.push(...this.within[number].map(b => [this.first[b], "b" + b]));
        parts = [...inputs.map(n => "n" + n), ...rest.sort((a, b) => a[0] - b[0]).map(([, key]) => key)];
        inner.push(...this.within[number].filter(b => this.isOpen(b)));
      }
      found.push({ number, parent: number ? this.data.level.parent[number] : -1, parts, loop: this.loop[number] });
      stack.push(...inner.reverse());
    }
    return found.sort((a, b) => a.number - b.number);
  }

  // The lines between visible parts: into a node one for each operand, into any other part one from each source.
  lines() {
    const { data, standing } = this, { source, target, home, forwardAt, backwardAt, carried } = data;
    const lines = (this.current = []), pairs = new Map();
    this.lineOfEdge = new Map();
    this.lineOfPair = pairs;
    const span = data.count + 3 * this.count;
    for (let e = 0; e < source.length; e++) {
      const s = source[e], t = target[e], from = standing[home[s]] || s, to = standing[home[t]] || t;
      if (from === to) continue;
      const alone = to < data.count && (from < data.count || data.operands(t) <= 8), pair = from * span + to;
      let line = alone ? null : pairs.get(pair);
      if (!line) {
        const slot = alone || from < data.count ? e - data.firstInto[t] : -1;
        const share = to < data.count && slot >= 0 ? (slot + 1) / (data.operands(t) + 1) : 0.5;
        line = { edge: e, from: this.key(from), to: this.key(to), source: s, slot: Math.max(slot, 0), share, done: data.length, carried: data.length };
        line.value = from < data.count ? s : -1;
        lines.push(line);
        if (!alone) pairs.set(pair, line);
      }
      if (alone) this.lineOfEdge.set(e, line);
      line.done = Math.min(line.done, forwardAt[t]);
      if (carried[e] >= 0) line.carried = Math.min(line.carried, backwardAt[t]);
    }
    return lines;
  }

  line(e) {
    const { data, standing } = this, s = data.source[e], t = data.target[e];
    const from = standing[data.home[s]] || s, to = standing[data.home[t]] || t;
    return this.lineOfEdge.get(e) || this.lineOfPair.get(from * (data.count + 3 * this.count) + to);
  }

  // The moments when the forward pass reaches a part, and when its first gradient arrives.
  times(key) {
    const number = +key.slice(1), { data } = this;
    if (key[0] === "n") return { reached: data.forwardAt[number], arrives: data.arrives(number) };
    const steps = key[0] === "b" ? [number] : this.hidden(key);
    const reached = Math.min(...steps.slice(0, 1).map(b => data.forwardAt[this.first[b]] ?? 0));
    let arrives = data.length;
    for (const b of steps) arrives = Math.min(arrives, this.arrives[b]);
    return { reached: steps.length ? reached : 0, arrives };
  }

  // The steps of a loop before (p) or after (q) the visible one.
  hidden(key) {
    const loop = +key.slice(1), at = this.shown.get(loop) ?? 0;
    return key[0] === "p" ? this.within[loop].slice(0, at) : this.within[loop].slice(at + 1);
  }

  // Open the visible folded levels, as many as there is room for; returns how many were opened and how many were left.
  deeper() {
    let parts = this.open().reduce((sum, box) => sum + box.parts.length, 0);
    const outermost = [];
    for (const box of this.open()) for (const key of box.parts) if (key[0] === "b" && !this.isOpen(+key.slice(1))) outermost.push(+key.slice(1));
    let left = 0;
    for (const b of outermost) {
      if (parts + this.size(b) > MOST) {
        left++;
        continue;
      }
      parts += this.size(b);
      for (const step of this.loop[this.data.level.parent[b]] ? this.within[this.data.level.parent[b]] : [b]) {
        this.closed.delete(step);
        this.opened.add(step);
      }
    }
    this.change();
    return { opened: outermost.length - left, left };
  }
}
