// Curves over the recorded steps, with a line at the current one.

const INKS = ["--first", "--second", "--third", "--fourth", "--ink", "--muted"];
const DASHES = ["", "7 4", "2 3", "9 3 2 3", "12 5", "4 2"];

class Chart {
  // `curves`: name -> a value or null for each place of the slider; `steps`: the number of each place.
  constructor(name, curves, steps, log) {
    Object.assign(this, { name, curves, steps, log, place: 0 });
    this.host = el("div", { class: "chart" });
    this.key = el("div", { class: "key" });
    this.element = el("div", null, this.key, this.host);
    Object.keys(curves).forEach((curve, k) => {
      const line = svg("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" }, svg("line", { x1: 0, x2: 30, y1: 5, y2: 5, ...this.look(k) }));
      if (Object.keys(curves).length > 1) this.key.append(el("span", null, line, curve));
    });
    new ResizeObserver(() => this.draw()).observe(this.host);
  }

  look(k) {
    return { stroke: `var(${INKS[k % 6]})`, "stroke-dasharray": DASHES[(k + Math.floor(k / 6)) % 6], "stroke-width": 2, fill: "none" };
  }

  draw() {
    const width = this.host.clientWidth;
    if (!width || width === this.width) return;
    this.width = width;
    const height = 190, left = 62, right = 14, top = 10, bottom = 40, n = this.steps.length;
    const good = Object.values(this.curves).flat().filter(v => Number.isFinite(v) && (!this.log || v > 0));
    if (!good.length) return this.host.replaceChildren(el("p", { class: "says" }, "Nothing finite to draw."));
    const marks = ticks(Math.min(...good), Math.max(...good), this.log), level = this.log ? Math.log10 : v => v;
    const low = level(marks[0]), high = level(marks.at(-1));
    this.x = place => left + (width - left - right) * (n > 1 ? place / (n - 1) : 0.5);
    const y = value => height - bottom - ((height - top - bottom) * (level(value) - low)) / (high - low);
    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${this.name} by step` });
    for (const mark of marks) {
      picture.append(svg("line", { x1: left, x2: width - right, y1: y(mark), y2: y(mark), stroke: "var(--line)" }));
      picture.append(svg("text", { x: left - 8, y: y(mark) + 4, "text-anchor": "end" }, number(mark)));
    }
    const count = Math.max(1, Math.min(n, Math.floor((width - left) / 70)));
    const shown = new Set(Array.from({ length: count }, (_, i) => Math.round((i * (n - 1)) / Math.max(1, count - 1))));
    for (const place of shown) picture.append(svg("text", { x: this.x(place), y: height - 22, "text-anchor": place === n - 1 && n > 1 ? "end" : "middle" }, String(this.steps[place])));
    picture.append(svg("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, "step"));
    Object.values(this.curves).forEach((values, k) => {
      let path = "", pen = false;
      const seen = value => Number.isFinite(value) && (!this.log || value > 0), look = this.look(k);
      values.forEach((value, place) => {
        const ok = seen(value);
        if (ok && !pen && !seen(values.slice(place + 1).find(next => next !== null))) picture.append(svg("circle", { cx: this.x(place), cy: y(value), r: 3, fill: look.stroke })); // a line of one point
        if (ok) path += `${pen ? "L" : "M"}${this.x(place).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = ok || (value === null && pen); // null: a step that one of two recordings does not have
      });
      picture.append(svg("path", { d: path, ...look }));
    });
    this.line = svg("line", { y1: top, y2: height - bottom, class: "now" });
    picture.append(this.line);
    this.host.replaceChildren(picture);
    this.show(this.place);
  }

  show(place) {
    this.place = place;
    if (!this.line) return;
    this.line.setAttribute("x1", this.x(place));
    this.line.setAttribute("x2", this.x(place));
  }
}
