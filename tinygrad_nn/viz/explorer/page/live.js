// Changes on a served page: they are sent to the server, which runs the function again and returns its numbers.

const SIDES = 200; // positions of a slider to each side

class Changes {
  constructor() {
    this.live = data.live;
    this.pair = true;
    this.waiting = null; // the latest change that has not been sent yet
    this.busy = false;
    this.shown = null; // the node that the editor shows, and at which version
    this.other = null; // the array that is not a node, such as class labels, while no node is chosen
    const group = el("div", { class: "changes", role: "group", "aria-label": "Changes" });
    const button = (id, words, title, act) => {
      const part = el("button", { id, type: "button", title }, words);
      part.addEventListener("click", act);
      group.append(part);
    };
    button("undo", "Undo", "Undo the last change (Ctrl Z)", () => this.move("undo"));
    button("redo", "Redo", "Redo the last undone change (Ctrl Shift Z)", () => this.move("redo"));
    button("reset", "Reset", "Undo all changes", () => this.move("reset"));
    const box = el("input", { type: "checkbox", id: "pair" });
    box.checked = true;
    box.addEventListener("change", () => {
      this.pair = box.checked;
      this.renew();
    });
    group.append(el("label", null, box, "before and after"));
    document.querySelector(".tools").append(group);
    document.querySelector(".tools").after(el("p", { id: "changes-said", role: "status", "aria-live": "polite" }));
    $("detail").before(el("section", { id: "touch", "aria-label": "Change" }));
    $("touch").addEventListener("keydown", event => { // arrow keys change a number, not the step
      if (event.key !== "Escape" && !event.ctrlKey && !event.metaKey) event.stopPropagation();
    });
    document.addEventListener("keydown", event => {
      const writing = event.target.tagName === "INPUT" && ["text", "search"].includes(event.target.type) && event.target.value !== event.target.sent;
      if (!(event.ctrlKey || event.metaKey) || writing) return; // there the browser undoes typing
      const id = { z: event.shiftKey ? "redo" : "undo", Z: "redo", y: "redo" }[event.key];
      if (!id) return;
      event.preventDefault();
      $(id).click();
    });
    this.tell();
  }

  // -- State that survives a reload

  start() {
    const kept = new URLSearchParams(location.hash.slice(1)), node = kept.get("node");
    if (kept.get("before") === "0") this.pair = $("pair").checked = false;
    if (node !== null && nodes[+node]) chosen = +node;
    return kept.get("step") === "end" ? moments.length - 1 : +kept.get("step");
  }

  keep() {
    const kept = new URLSearchParams({ step: step === moments.length - 1 ? "end" : step, ...(chosen === null ? {} : { node: chosen }), ...(this.pair ? {} : { before: 0 }) });
    history.replaceState(null, "", `${location.pathname}${location.search}#${kept}`);
  }

  // -- Requests

  // A change is sent after the previous one was answered; of the changes made meanwhile only the last one is sent.
  change(body) {
    this.waiting = body;
    if (!this.busy) this.send();
  }

  async send() {
    this.busy = true;
    while (this.waiting) {
      const body = this.waiting;
      this.waiting = null;
      await this.ask("/change", { version: this.live.version, ...body });
    }
    this.busy = false;
  }

  async move(where) {
    if (!this.busy) await this.ask("/" + where);
  }

  async ask(path, body) {
    try {
      const answer = await server.ask(path, body);
      if (answer.stale) location.reload();
      else this.take(answer);
    } catch (error) {
      this.waiting = null;
      this.tell(error.message);
    }
  }

  // New numbers of the same graph are put in place; a different graph is drawn again.
  take(answer) {
    if (answer.live.form !== this.live.form) return location.reload();
    const words = () => [...nodes.keys()].map(n => [nodes[n].title, nodes[n].under, nodes[n].gradient < 0].join()).join();
    const before = words();
    show(answer);
    graph.take(data);
    this.live = data.live;
    const moved = words() !== before;
    if (moved) graph.build();
    this.renew();
    this.tell();
    if (!moved) return;
    const at = chosen ?? moments[step].node; // other texts may have moved it
    if (at >= 0) graph.reveal(graph.standIn(at));
    else view();
  }

  renew() {
    for (const { part } of graph.cells.nodes) if (part) part.said = null;
    go(step, false);
  }

  tell(error) {
    const { undo, redo, said, lost, note } = this.live;
    $("undo").disabled = $("reset").disabled = !undo;
    $("redo").disabled = !redo;
    const words = [];
    if (undo) words.push(`${undo} ${undo === 1 ? "change" : "changes"}; the last: ${said[said.length - 1]}.`);
    if (lost) words.push(`${lost} of them ${lost === 1 ? "has" : "have"} no place in this run, which took another path.`);
    if (note) words.push(note);
    if (!words.length) words.push("Click a node to change its numbers; the function runs again.");
    $("changes-said").textContent = error ? `Not changed: ${error}` : negative(words.join(" "));
    $("changes-said").classList.toggle("wrong", Boolean(error));
  }

  // -- Before and after

  old(kind, number, part) {
    const old = (this.pair && this.live[kind][number] || [])[part] ?? null;
    return typeof old === "string" ? plain(old) : old;
  }

  beside(view, kind, number, part) {
    const old = this.old(kind, number, part);
    if (!old) return view;
    const side = (words, name, content) => el("div", { class: name }, el("h4", null, words), content);
    return el("div", { class: "pair" }, side("before", "old", arrayView(old, "before")), side("after", "new", view));
  }

  // Write old → new on a node, and return it as text.
  mark(part, reached, gradient, partial) {
    const number = +part.dataset.key.slice(1), told = [];
    const touched = this.live.changed.includes(number);
    part.kind = part.kind.replace(" touched", "") + (touched ? " touched" : "");
    if (touched) told.push("changed");
    const lines = [[part.value, reached, nodes[number].value, ""], [part.gradient, gradient >= 0 && !partial, gradient, "∂ "]];
    lines.forEach(([line, there, index, sign], k) => {
      const old = there && this.old("was", number, k);
      if (old) told.push(`${k ? "gradient" : "value"} before ${old.brief}`);
      if (!line) return;
      if (old) line.replaceChildren(svg("tspan", { class: "was" }, `${sign}${negative(old.tiny)} → `), negative(arrays[index].tiny));
      const room = nodes[number].width - 8, long = 8 * line.textContent.length;
      if (long > room) line.setAttribute("textLength", room);
      else line.removeAttribute("textLength");
      line.setAttribute("lengthAdjust", "spacingAndGlyphs");
    });
    return told;
  }

  // -- The editor

  get node() {
    return chosen ?? this.other;
  }

  follow() {
    this.keep();
    if (chosen !== null) this.other = null;
    const key = this.node === null ? "" : `${this.node} ${this.live.version}`;
    if (this.node === null) this.settled = this.live.version;
    if (key === this.shown) return;
    const same = Boolean(this.shown) && this.shown.split(" ")[0] === String(this.node);
    this.shown = key;
    if (this.node === null) $("touch").replaceChildren(...this.others());
    else this.load(same ? this.index : undefined, same);
  }

  // Buttons for the integer arrays that the function reads and that are not nodes.
  others() {
    const buttons = this.live.others.map((name, k) => {
      const number = nodes.length + k, button = el("button", { type: "button", "aria-pressed": String(this.other === number) }, name);
      button.addEventListener("click", () => {
        this.other = this.other === number ? null : number;
        this.follow();
      });
      return button;
    });
    return buttons.length ? [el("div", { class: "row" }, el("span", { class: "muted" }, "Change other values: "), ...buttons)] : [];
  }

  async load(index, same) {
    const node = this.node;
    let found;
    try {
      found = await server.ask("/numbers", { node, ...(index ? { index } : {}) });
    } catch (error) {
      return this.tell(error.message);
    }
    if (node !== this.node || found.version !== this.live.version || this.busy) return; // newer numbers will follow
    if (!(same && this.fields && this.fill(found))) this.build(found);
    this.settled = found.version;
  }

  // Put numbers into the existing fields, except the one that the user is typing in.
  fill(found) {
    if (found.few !== this.few || (found.few && found.numbers.length !== this.fields.length)) return false;
    const texts = found.few ? found.numbers : [found.number];
    this.fields.forEach((field, i) => {
      if (field !== document.activeElement || field.value === field.sent) field.value = negative(texts[i]);
      field.sent = field.value;
      field.removeAttribute("aria-invalid");
    });
    this.widen();
    if (this.menu) this.menu.value = found.operation;
    if (this.range && this.range !== document.activeElement) this.aim(this.at);
    return true;
  }

  build(found) {
    const { node, shape, few } = found;
    this.few = few;
    this.index = found.index;
    this.fields = [];
    this.menu = this.range = null;
    const parts = [...(chosen === null ? this.others() : []), el("h2", null, "Change ", found.name)];
    if (found.operations.length) {
      const menu = this.menu = el("select", { id: "operation" }, ...found.operations.map(name => el("option", { value: name }, name === "alias" ? "nothing (identity)" : name)));
      menu.value = found.operation;
      menu.addEventListener("change", () => this.change({ node, operation: menu.value }));
      parts.push(el("div", { class: "row" }, el("label", null, "operation ", menu)));
    }
    if (found.number === undefined) parts.push(el("p", { class: "muted" }, "It has no numbers."));
    else parts.push(...(few ? this.table(found, node, shape) : this.picker(found, node, shape)), this.slider(node));
    $("touch").replaceChildren(...parts);
    this.widen();
    if (this.fields.length) this.aim(0);
  }

  // Make the fields as wide as the longest number, whose end, such as e-12, must be seen.
  widen() {
    const letters = Math.max(8, ...this.fields.map(field => field.value.length));
    $("touch").style.setProperty("--letters", Math.min(letters, 24));
  }

  field(node, indexOf, text, words) {
    const field = el("input", { type: "text", inputmode: "decimal", "aria-label": words, autocomplete: "off", spellcheck: "false" });
    field.value = field.sent = negative(text);
    const place = this.fields.push(field) - 1;
    field.indexOf = indexOf;
    field.addEventListener("focus", () => this.aim(place));
    field.addEventListener("keydown", event => {
      if (event.key !== "Escape") return;
      field.value = field.sent;
      field.blur();
    });
    field.addEventListener("change", () => {
      if (field.value === field.sent) return;
      field.sent = field.value;
      this.change({ node, index: indexOf(), value: field.value.replaceAll("\u2212", "-") });
    });
    return field;
  }

  table(found, node, shape) {
    const columns = shape.length ? shape[shape.length - 1] : 1, table = el("table", { class: "cells", role: "presentation" });
    let row = null;
    found.numbers.forEach((text, flat) => {
      const index = [];
      for (let k = shape.length - 1, left = flat; k >= 0; left = Math.floor(left / shape[k--])) index.unshift(left % shape[k]);
      if (flat % columns === 0) table.append(row = el("tr"));
      row.append(el("td", null, this.field(node, () => index, text, `${found.name}${index.length ? `[${index.join(", ")}]` : ""}`)));
    });
    return [el("div", { class: "scroll" }, table)];
  }

  picker(found, node, shape) {
    const where = el("input", { type: "text", id: "index", "aria-label": `index, of shape ${shape.join(" × ")}`, autocomplete: "off" });
    where.value = found.index.join(", ");
    const read = () => where.value.split(/[\s,]+/).filter(Boolean).map(Number);
    where.addEventListener("change", () => {
      this.index = read();
      this.load(this.index, true);
    });
    const field = this.field(node, read, found.number, "number");
    return [el("div", { class: "row" }, el("label", null, "index ", where), el("label", null, "number ", field)), el("p", { class: "muted" }, `of ${shape.join(" × ")}`)];
  }

  slider(node) {
    const range = this.range = el("input", { type: "range", min: -SIDES, max: SIDES, step: 1, "aria-label": "Move the number" });
    range.addEventListener("input", () => {
      const field = this.fields[this.at], value = this.whole ? Math.round(this.middle + range.value * this.each) : +(this.middle + range.value * this.each).toPrecision(6);
      field.value = field.sent = negative(String(value));
      range.setAttribute("aria-valuetext", String(value));
      this.change({ node, index: field.indexOf(), value: String(value), more: this.moving });
      this.moving = true;
    });
    for (const name of ["pointerdown", "blur"]) range.addEventListener(name, () => (this.moving = false));
    return el("div", { class: "slide-row" }, range);
  }

  // Let the slider change one of the fields, around its current number.
  aim(place) {
    this.at = place;
    this.fields.forEach((field, i) => field.classList.toggle("now", i === place && this.fields.length > 1));
    const text = this.fields[place].value.replaceAll("\u2212", "-"), number = Number(text);
    this.range.disabled = !Number.isFinite(number);
    this.middle = number || 0;
    this.whole = /^-?\d+$/.test(text);
    this.each = this.whole ? 20 / SIDES : 2 * Math.max(1, Math.abs(this.middle)) / SIDES;
    this.range.value = 0;
    this.range.setAttribute("aria-valuetext", text);
  }
}
