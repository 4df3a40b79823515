// The plane of two inputs: the model's output at each point of a grid, the decision boundary, and the data.

class Plane {
  // `plane`: grid, outputs, kind, low, high, features, words, points, truth. A difference has the kind "signed".
  constructor(plane, name) {
    Object.assign(this, { plane, name, values: null, at: null });
    this.canvas = el("canvas", { class: "plane", role: "img", tabindex: "0" });
    this.says = el("p", { class: "says" });
    const axis = i => `${plane.features[i]}: ${number(plane.low[i])} to ${number(plane.high[i])}`;
    this.rest = `→ ${axis(0)} · ↑ ${axis(1)}`;
    this.element = el("div", { class: "map" }, this.canvas, this.says);
    for (const kind of ["pointermove", "pointerdown"]) this.canvas.addEventListener(kind, event => {
      const box = this.canvas.getBoundingClientRect(), n = plane.grid - 1;
      this.point([Math.round(((event.clientX - box.left) / box.width) * n), Math.round((1 - (event.clientY - box.top) / box.height) * n)]);
    });
    this.canvas.addEventListener("pointerleave", () => document.activeElement === this.canvas || this.point(null));
    this.canvas.addEventListener("blur", () => this.point(null));
    this.canvas.addEventListener("focus", () => this.at || this.point([plane.grid >> 1, plane.grid >> 1]));
    this.canvas.addEventListener("keydown", event => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way || !this.at) return;
      event.preventDefault();
      event.stopPropagation();
      this.point([this.at[0] + way[0], this.at[1] + way[1]]);
    });
  }

  point(at) {
    const n = this.plane.grid;
    this.at = at && at.map(i => Math.min(n - 1, Math.max(0, i)));
    this.paint();
  }

  // The score of each class at a point; a single output gives two.
  scores(i) {
    const { outputs, kind } = this.plane, out = this.values.subarray(i * outputs, (i + 1) * outputs);
    if (kind !== "classes" || outputs > 1) return out;
    return [1 - out[0], out[0]];
  }

  show(values) {
    this.values = values;
    this.paint();
  }

  paint() {
    const { plane, canvas, values } = this, n = plane.grid, size = 300, dense = Math.min(3, devicePixelRatio || 1);
    canvas.width = canvas.height = size * dense;
    const context = canvas.getContext("2d");
    context.scale(dense, dense);
    canvas.setAttribute("aria-label", `${this.name}: ${values ? this.about() : "nothing kept at this step"}`);
    this.says.textContent = this.rest;
    if (!values) return;
    const small = new OffscreenCanvas(n, n), image = new ImageData(n, n), lead = [];
    for (let i = 0; i < n * n; i++) {
      const scores = this.scores(i), place = 4 * ((n - 1 - Math.floor(i / n)) * n + (i % n));
      if (plane.kind === "classes") {
        let best = 0, next = -Infinity;
        for (let k = 1; k < scores.length; k++) if (scores[k] > scores[best]) best = k;
        for (let k = 0; k < scores.length; k++) if (k !== best && scores[k] > next) next = scores[k];
        lead.push([best, scores]);
        image.data.set([...shade(best, scores[best] - next), 255], place);
      } else image.data.set([...signed(scores[0] / plane.largest), 255], place);
    }
    small.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = plane.kind === "classes";
    context.drawImage(small, 0, 0, size, size);
    const x = i => ((i + 0.5) * size) / n, y = j => size - ((j + 0.5) * size) / n;
    if (plane.kind === "classes") {
      const classes = lead[0][1].length;
      for (let k = 0; k < (classes === 2 ? 1 : classes); k++) {
        this.border(context, lead.map(([, scores]) => scores[k] - [...scores].reduce((most, s, other) => (other !== k && s > most ? s : most), -Infinity)), x, y);
      }
    } else if (plane.level !== null) this.border(context, Array.from({ length: n * n }, (_, i) => this.scores(i)[0] - plane.level), x, y);
    this.data(context, size);
    if (!this.at) return;
    const [i, j] = this.at;
    context.strokeStyle = dark.matches ? "#fff" : "#000";
    context.lineWidth = 1.5;
    context.strokeRect(x(i) - 4, y(j) - 4, 8, 8);
    const there = [i, j].map((k, a) => `${plane.features[a]} ${number(plane.low[a] + ((plane.high[a] - plane.low[a]) * k) / (n - 1))}`);
    const scores = this.scores(j * n + i), said = plane.kind === "classes" ? [...scores].map((s, k) => `${plane.words[k]} ${number(s)}`).join(", ") : number(scores[0]);
    this.says.textContent = `${there.join(", ")}: ${said}`;
  }

  // The zero level line of a number: a straight piece in each square of the grid.
  border(context, ahead, x, y) {
    const n = this.plane.grid;
    context.strokeStyle = dark.matches ? "#e6edf3" : "#1b1f24";
    context.lineWidth = 1.4;
    context.beginPath();
    for (let j = 0; j < n - 1; j++) for (let i = 0; i < n - 1; i++) {
      const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]], cuts = [];
      corners.forEach(([a, b], c) => {
        const [d, e] = corners[(c + 1) % 4], from = ahead[b * n + a], to = ahead[e * n + d];
        if (from > 0 === to > 0) return;
        const part = from / (from - to);
        cuts.push([x(a + (d - a) * part), y(b + (e - b) * part)]);
      });
      for (let c = 0; c + 1 < cuts.length; c += 2) {
        context.moveTo(...cuts[c]);
        context.lineTo(...cuts[c + 1]);
      }
    }
    context.stroke();
  }

  data(context, size) {
    const { plane } = this, marks = [[0], [4, 45], [4, 0], [3, -90], [3, 90]];
    (plane.points || []).forEach((point, i) => {
      const [x, y] = point.map((p, a) => (size * (p - plane.low[a])) / (plane.high[a] - plane.low[a])), truth = plane.truth && plane.truth[i];
      const [sides, turn] = plane.kind === "classes" && Number.isInteger(truth) ? marks[truth % 5] : [0];
      const colour = plane.kind === "classes" ? (Number.isInteger(truth) ? classColour(truth) : [120, 120, 120]) : truth === null || truth === undefined ? [120, 120, 120] : signed(truth / plane.largest);
      context.beginPath();
      if (!sides) context.arc(x, size - y, 3.2, 0, 7);
      for (let s = 0; s < sides; s++) {
        const angle = (turn * Math.PI) / 180 + (2 * Math.PI * s) / sides;
        context.lineTo(x + 4.3 * Math.cos(angle), size - y + 4.3 * Math.sin(angle));
      }
      context.closePath();
      context.fillStyle = `rgb(${colour})`;
      context.strokeStyle = plane.kind === "classes" ? "#fff" : dark.matches ? "#e6edf3" : "#1b1f24";
      context.lineWidth = 1;
      context.fill();
      context.stroke();
    });
  }

  about() {
    const { plane } = this, n = plane.grid * plane.grid;
    if (plane.kind !== "classes") return `from ${number(Math.min(...this.values))} to ${number(Math.max(...this.values))}`;
    const counts = plane.words.map(() => 0);
    for (let i = 0; i < n; i++) {
      const scores = this.scores(i);
      let best = 0;
      for (let k = 1; k < scores.length; k++) if (scores[k] > scores[best]) best = k;
      counts[best] += 1;
    }
    return plane.words.map((word, k) => `${word} on ${Math.round((100 * counts[k]) / n)} %`).join(", ");
  }
}
