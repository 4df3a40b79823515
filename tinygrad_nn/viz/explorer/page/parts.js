// The parts of the graph as SVG: nodes, folded and open levels, the hidden steps of a loop, and stubs.

// The width of a text in letters of a usual width, as in Python; texts are not measured, as there may be very many.
function letters(text) {
  let width = 0;
  for (const c of text) width += WIDTHS.find(([, alike]) => alike.test(c))?.[0] ?? 1;
  return width;
}
const WIDTHS = [[1.7, /W/], [1.5, /[Mmw@%\u2026]/], [1.12, /[A-HJ-Z]/], [0.6, /[fijlrtI .,:;'|()[\]]/], [0, /\p{M}/u],
  [2, /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u]];
const BOLD = 9.8; // pixels of a letter of usual width in a bold title of 14 pixels

// The beginning of a text that is at most so many letters wide.
function fitted(text, room) {
  if (letters(text) <= room) return text;
  let most = text.length;
  while (most > 1 && letters(shortened(text, most)) > room) most -= 1;
  return shortened(text, most);
}

const shortened = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
const times = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

class Parts {
  constructor(data, levels) {
    Object.assign(this, { data, levels });
    this.widths = this.evenWidths();
    this.pills = new Map(); // stub -> its line
    this.grown = 1; // factor by which parts are larger than in a large graph
  }

  // Equal operations of a loop have equal widths, so that nothing moves when another step is shown.
  evenWidths() {
    const { data, levels } = this, { width, kind } = data.column, loops = new Int32Array(levels.count);
    for (let b = 1; b < levels.count; b++) loops[b] = loops[data.level.parent[b]] || (levels.loop[b] ? b : 0);
    const most = new Map(), group = n => loops[data.home[n]] * data.kinds + kind[n];
    const inLoop = n => loops[data.home[n]] > 0;
    for (let n = 0; n < data.count; n++) if (inLoop(n)) most.set(group(n), Math.max(most.get(group(n)) || 0, width[n]));
    return n => (inLoop(n) ? most.get(group(n)) : width[n]);
  }

  // Width and height of a part by its key.
  size(key) {
    return this.natural(key).map(side => side * this.grown);
  }

  natural(key) {
    const number = +key.slice(1);
    if (key[0] === "n") {
      const { small } = this.data.kindOf(number);
      return [this.widths(number), small ? 30 : 58 + (this.data.column.gradient[number] < 0 ? 0 : 15)];
    }
    if (key[0] === "b") return [Math.max(120, BOLD * letters(this.label(number)) + 44), 62];
    if (key[0] === "p" || key[0] === "q") return [112, 50];
    return [8.4 * letters(this.stubText(key)) + 20, 24];
  }

  // The same including the stub with the number of uses of a value, which is placed where no line leaves the part.
  room(key, down) {
    const [w, h] = this.size(key), stub = this.pills.has("o" + key) && this.size("o" + key);
    if (!stub) return [w, h];
    return down ? [w + 4 + stub[0], h] : [Math.max(w, stub[0]), h + 4 + stub[1]];
  }

  withStubs(spots, down) {
    for (const [key, [x, y, w, h]] of [...spots]) {
      if (!this.pills.has("o" + key)) continue;
      const own = this.size(key), stub = this.size("o" + key);
      spots.set(key, [down ? x : x + (w - own[0]) / 2, y, ...own]);
      spots.set("o" + key, [down ? x + w - stub[0] : x + (w - stub[0]) / 2, down ? y + (h - stub[1]) / 2 : y + h - stub[1], ...stub]);
    }
    return spots;
  }

  // The smallest width of an open level, which has its name and buttons on its rim.
  least(number) {
    return (this.levels.loop[number] ? BOLD * letters(this.label(number)) + 222 : 90) * this.grown;
  }

  label(level) {
    return this.data.level.label(level);
  }

  make(key, spot) {
    const kind = key[0], number = +key.slice(1);
    const part = kind === "n" ? this.node(number, spot) : kind === "b" ? this.folded(number, spot) : kind === "p" || kind === "q" ? this.steps(key, spot) : this.stub(key, spot);
    part.dataset.key = key;
    return part;
  }

  button(x, y, more) {
    return svg("g", { transform: `translate(${x} ${y})`, role: "button", tabindex: "-1", ...more });
  }

  // A group in which a part is drawn at its natural size, and that size.
  inside(part, w, h) {
    const { grown } = this, lines = svg("g", { class: "lines", transform: `scale(${grown})` });
    part.append(lines);
    return [lines, w / grown, h / grown];
  }

  node(number, [x, y, w, h]) {
    const node = this.data.nodes[number], part = this.button(x, y);
    const round = node.kind === "leaf" || node.kind === "constant" ? 3 : 14;
    part.append(svg("rect", { width: w, height: h, rx: round }));
    const [lines, wide, high] = this.inside(part, w, h), line = (name, at, text) => {
      const element = svg("text", { class: name, x: wide / 2, y: at }, text);
      lines.append(element);
      return element;
    };
    const title = line("title", node.small ? 20 : 18.5, node.title), above = title.getAttribute("y") - 11;
    part.center = last => { // center the text vertically for any number of lines
      const below = +(last || part.under || title).getAttribute("y") + 1;
      lines.setAttribute("transform", `scale(${this.grown}) translate(0 ${(high - above - below) / 2})`);
    };
    if (!node.small) {
      part.under = node.under && line("under", 34, node.under);
      part.value = line("value", 49.5, "");
      if (node.gradient >= 0) part.gradient = line("gradient", 65, "");
    }
    part.center();
    part.word = `${node.named}, ${node.role}${node.operation && node.kind !== "leaf" ? " " + node.operation : ""}, ${node.shape}`;
    part.kind = `node ${node.kind}`;
    return part;
  }

  folded(number, [x, y, w, h]) {
    const part = this.button(x, y, { "aria-expanded": "false" }), under = this.under(number);
    part.append(svg("rect", { width: w, height: h, rx: 6 }), svg("rect", { x: 3.5, y: 3.5, width: w - 7, height: h - 7, rx: 4, class: "inner" }));
    const [lines, wide] = this.inside(part, w, h);
    lines.append(svg("text", { class: "title", x: wide / 2, y: 28 }, "▸ " + this.label(number)), svg("text", { class: "under", x: wide / 2, y: 45 }, under));
    part.kind = "node fold";
    part.setAttribute("aria-label", `${this.data.level.path(number)}, folded, ${under}`);
    return part;
  }

  under(level) {
    const { operations } = this.levels;
    return operations[level] ? times(operations[level], "operation") : "values";
  }

  // The steps of a loop before or after the visible one.
  steps(key, [x, y, w, h]) {
    const part = this.button(x, y), hidden = this.levels.hidden(key), before = key[0] === "p";
    part.kind = "node fold steps";
    part.append(svg("rect", { width: w, height: h, rx: 6 }));
    const [lines, wide] = this.inside(part, w, h);
    for (const [name, at, text] of [["title", 22, times(hidden.length, "step")], ["under", 39, before ? "‹ before" : "after ›"]]) {
      lines.append(svg("text", { class: name, x: wide / 2, y: at }, text));
    }
    part.setAttribute("aria-label", `${times(hidden.length, "step")} ${before ? "before" : "after"}, folded; show the ${before ? "one before" : "next one"}`);
    return part;
  }

  open(number, [x, y, w, h]) {
    const { grown } = this, wide = w / grown;
    const label = this.label(number), room = Math.max(3, Math.floor((wide - 34 - (this.levels.loop[number] ? 188 : 0)) / BOLD)), shown = fitted(label, room);
    const head = svg("g", { class: "head" }), name = svg("g", { role: "button", tabindex: "0", "aria-expanded": "true", "aria-label": `${this.data.level.path(number)}, ${this.levels.loop[number] ? "loop" : "layer"}, ${this.under(number)}` });
    name.append(svg("rect", { width: Math.min(wide, BOLD * letters(shown) + 34), height: 22, rx: 6 }), svg("text", { x: 10, y: 15.5 }, "▾ " + shown), svg("title", null, this.data.level.path(number)));
    name.dataset.key = "b" + number;
    head.append(name);
    if (this.levels.loop[number]) head.append(...this.turning(number, BOLD * letters(shown) + 38));
    head.setAttribute("transform", `translate(${x} ${y}) scale(${grown})`);
    head.frame = svg("rect", { class: "frame", x, y, width: w, height: h, rx: 8 });
    return head;
  }

  // The buttons on the rim of a loop, which show and choose the visible step.
  turning(loop, x) {
    const { levels } = this, many = levels.within[loop].length, at = levels.shown.get(loop) ?? 0;
    const made = [["|‹", 0, "Show the first step", 22], ["‹", at - 1, "Show the step before", 22], [`${at + 1} of ${many}`, -1, `Step ${at + 1} of ${many} is shown; choose another`, 98], ["›", at + 1, "Show the step after", 22], ["›|", many - 1, "Show the last step", 22]];
    return made.map(([text, to, words, wide]) => {
      const off = to >= 0 && (to === at || to >= many), part = svg("g", { class: "turn" + (off ? " off" : ""), role: "button", tabindex: off ? "-1" : "0", transform: `translate(${x} 0)`, "aria-label": words });
      part.append(svg("rect", { width: wide, height: 22, rx: 6 }), svg("text", { x: wide / 2, y: 15.5 }, text));
      if (off) part.setAttribute("aria-disabled", "true");
      part.dataset.key = `t${loop}`;
      part.dataset.step = to;
      x += wide + 2;
      return part;
    });
  }

  // A value that is used far away: its name beside each use, and the number of uses beside the value.
  stubText(key) {
    const line = this.pills.get(key), name = shortened(this.name(line.from), 24);
    if (key[0] === "i") return name;
    if (line.from[0] !== "n") return `${name} ›`;
    const uses = this.data.uses(line.source);
    return uses === 1 ? `${name} ›` : `${name}, ${uses.toLocaleString("en")} times`;
  }

  name(key) {
    const number = +key.slice(1);
    if (key[0] === "n") return this.data.column.title[number] === this.data.column.named[number] ? this.data.said("title", number) : this.data.said("named", number);
    return key[0] === "b" ? this.label(number) : `${key[0] === "p" ? "steps before" : "steps after"}`;
  }

  stub(key, [x, y, w, h]) {
    const part = this.button(x, y), text = this.stubText(key), line = this.pills.get(key), into = key[0] === "i";
    part.append(svg("rect", { width: w, height: h, rx: h / 2 }));
    const [lines, wide] = this.inside(part, w, h);
    lines.append(svg("text", { class: "under", x: wide / 2, y: 16.5 }, text));
    part.kind = "stub";
    part.line = line;
    part.setAttribute("aria-label", into ? `${text}, from further back; go there` : `${text}; show where`);
    return part;
  }
}
