// An array as colored cells; the pointer or the arrow keys show index and value of a cell.

class Heat {
  // `where(row, column)` returns the entry of a cell as text.
  constructor(rows, columns, name, where) {
    Object.assign(this, { rows, columns, name, where, at: null, values: null, rest: "\u00a0" });
    this.canvas = el("canvas", { class: "heat", tabindex: "0", role: "img" });
    this.across = Math.max(1, Math.min(42, 296 / columns)); // width of a cell in pixels
    this.down = Math.max(Math.min(26, this.across, 240 / rows), Math.min(22, 44 / rows));
    this.canvas.style.width = `${columns * this.across}px`;
    this.canvas.style.height = `${rows * this.down}px`;
    this.mark = el("span", { class: "mark", hidden: "" });
    this.says = el("p", { class: "says" }, "\u00a0");
    this.element = el("div", { class: "map" }, el("div", { class: "cells" }, this.canvas, this.mark), this.says);
    for (const kind of ["pointermove", "pointerdown"]) this.canvas.addEventListener(kind, event => {
      const box = this.canvas.getBoundingClientRect();
      this.point(Math.floor(((event.clientY - box.top) / box.height) * rows), Math.floor(((event.clientX - box.left) / box.width) * columns));
    });
    this.canvas.addEventListener("pointerleave", () => document.activeElement === this.canvas || this.point(null));
    this.canvas.addEventListener("focus", () => this.at || this.point(0, 0));
    this.canvas.addEventListener("blur", () => this.point(null));
    this.canvas.addEventListener("keydown", event => {
      const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!way || !this.at) return;
      event.preventDefault();
      event.stopPropagation();
      this.point(this.at[0] + way[0], this.at[1] + way[1]);
    });
  }

  point(row, column) {
    const inside = row !== null && row >= 0 && column >= 0 && row < this.rows && column < this.columns;
    if (row !== null && !inside) return;
    this.at = inside ? [row, column] : null;
    this.mark.hidden = !inside;
    if (inside) {
      Object.assign(this.mark.style, { left: `${(100 * column) / this.columns}%`, top: `${(100 * row) / this.rows}%`, width: `${100 / this.columns}%`, height: `${100 / this.rows}%` });
    }
    this.tell();
  }

  tell() {
    const value = this.at && this.values ? this.values[this.at[0] * this.columns + this.at[1]] : null;
    const there = this.at && this.where(...this.at);
    this.says.textContent = this.at && there ? `${there}: ${number(value)}` : this.rest;
  }

  // Paint values; `largest` gets the deepest color. Without values, the cells are empty.
  show(values, largest, words) {
    this.values = values;
    const { canvas, columns, rows, across, down } = this, dense = Math.min(2, devicePixelRatio || 1);
    canvas.width = Math.round(columns * across * dense);
    canvas.height = Math.round(rows * down * dense);
    const context = canvas.getContext("2d"), w = canvas.width / columns, h = canvas.height / rows, written = across >= 36 && down >= 18;
    context.font = `${11 * dense}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (let i = 0; values && i < values.length; i++) {
      const x = Math.round((i % columns) * w), y = Math.round(Math.floor(i / columns) * h), t = Number.isNaN(values[i]) ? NaN : largest ? values[i] / largest : 0;
      const colour = signed(t);
      context.fillStyle = `rgb(${colour})`;
      context.fillRect(x, y, Math.ceil(w), Math.ceil(h));
      if (!written) continue;
      context.fillStyle = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 130 ? "#1b1f24" : "#fff";
      context.fillText(brief(values[i]), x + w / 2, y + h / 2 + dense / 2);
    }
    this.canvas.setAttribute("aria-label", `${this.name}: ${values ? words : "nothing kept at this step"}`);
    this.tell();
  }
}
