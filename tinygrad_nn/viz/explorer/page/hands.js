// Mouse, touch and keyboard on the graph: dragging, wheel, pinching, clicks, and arrow keys from part to part.

class Hands {
  constructor(graph) {
    this.graph = graph;
    this.root = graph.root;
    this.listen();
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
      const { x, y, k } = this.graph.camera;
      if (fingers.size === 1) this.graph.look(x + now[0] - before[0], y + now[1] - before[1], k);
      else {
        const [[a, b], [c, d]] = [...fingers.values()], wide = Math.hypot(a - c, b - d);
        if (spread) this.graph.zoom(wide / spread, (a + c) / 2, (b + d) / 2);
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
      this.graph.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), ...where(event));
    }, { passive: false });
    this.root.addEventListener("click", event => {
      const part = event.target.closest("[data-key]");
      if (!dragged && part) this.act(part);
    });
    this.root.addEventListener("keydown", event => {
      const part = event.target.closest("[data-key]");
      if (!part || event.ctrlKey || event.metaKey || event.altKey) return;
      const press = event.key === "Enter" || (event.key === " " && part.matches(":focus-visible")); // after a click, space plays
      if (press) this.act(part);
      else if (!this.walk(part, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    this.graph.stage.addEventListener("focusin", event => { // a listener on the SVG would make the SVG itself focusable
      const part = event.target.closest("#nodes > *");
      if (part) this.graph.rove(part.dataset.key);
    });
  }

  act(part) {
    const { key, step } = part.dataset, number = +key.slice(1), { graph } = this, { shown } = graph.levels;
    if (key[0] === "n") graph.pick("node", number);
    else if (key[0] === "b") graph.pick("box", number);
    else if (key[0] === "t") graph.pick(+step < 0 ? "loop" : "step", number, +step);
    else if (key[0] === "p" || key[0] === "q") graph.pick("step", number, (shown.get(number) ?? 0) + (key[0] === "p" ? -1 : 1));
    else graph.pick(key[0] === "i" ? "origin" : "uses", part.line.from);
  }

  // Show the step of a loop that a line leads to, and return the part at its end.
  enter(node, hidden, right) {
    const { graph } = this, { data } = graph, end = right ? data.target : data.source;
    const other = end[(right ? data.outof : data.into)[node].find(e => graph.standIn(end[e]) === hidden)];
    graph.follow(other, true);
    return graph.standIn(other);
  }

  // Arrow keys: along a line, or to the previous or next part.
  walk(part, pressed) {
    const { graph } = this, { key } = part.dataset, order = graph.cells.nodes, cell = graph.cellOf.get(key);
    if (!cell || cell.list !== order) return false;
    let to = null;
    if (pressed === "ArrowUp") to = order[cell.i - 1]?.key;
    else if (pressed === "ArrowDown") to = order[cell.i + 1]?.key;
    else if (pressed === "ArrowLeft" || pressed === "ArrowRight") {
      const right = pressed === "ArrowRight", stub = part.line;
      const line = graph.levels.current.find(({ from, to: end }) => (right ? from : end) === key);
      to = stub ? (right ? stub.to : stub.from) : line && (right ? line.to : line.from);
      if (key[0] === "n" && to && (to[0] === "p" || to[0] === "q")) to = this.enter(+key.slice(1), to, right); // the next step of a loop
    } else return false;
    if (graph.cellOf.has(to)) {
      graph.rove(to).focus({ preventScroll: true });
      graph.reveal(to, true);
    }
    return true;
  }
}
