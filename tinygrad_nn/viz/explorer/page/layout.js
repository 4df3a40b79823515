// Positions of all parts: `fit` and `place` of layout.py, for the open boxes that `arrange` returns.

function fit(boxes, sizes, down, gaps, [width, height], largest = 0.85) {
  const scale = ([, , w, h]) => Math.min(largest, width / w, height / h), known = new Map();
  let best = place(boxes, sizes, down, gaps, Infinity, known), most = scale(best.spots.get("b0"));
  const [, , w, h] = best.spots.get("b0"), much = best.spots.size > 250; // for many parts, only a few lengths near a likely one are tried
  const shorter = much ? gaps.shorter ** 2 : gaps.shorter;
  let length = down ? h : w;
  if (much) length = Math.min(length, (1.5 * Math.sqrt((w * h * (down ? height : width)) / (down ? width : height))) / shorter);
  for (let i = 0; i < (much ? 4 : gaps.tries); i++) {
    length *= shorter;
    if (most >= largest || length < gaps.ahead) break;
    const tried = place(boxes, sizes, down, gaps, length, known), better = scale(tried.spots.get("b0"));
    if (better > 1.04 * most) [best, most] = [tried, better];
    else if (better < 0.6 * most) break;
  }
  return best;
}

// `known` caches what does not depend on the length of lines.
function place(boxes, sizes, down, gaps, longest = Infinity, known = new Map()) {
  const inside = new Map(), depth = new Map([[0, 0]]);
  for (const box of boxes.slice(1)) depth.set(box.number, depth.get(box.parent) + 1);
  const opened = key => key[0] === "b" && depth.has(+key.slice(1));
  const size = key => {
    if (key[0] === "l") return down ? [6, 0] : [0, 6];
    return opened(key) ? inside.get(+key.slice(1)).size : sizes(key);
  };
  for (const box of [...boxes].reverse()) {
    const { number } = box, row = box.layers.flat(), within = new Map(row.map(key => [key, size(key)]));
    const settled = known.get(number) || middles(box, within, down ? 0 : 1, gaps);
    if (!row.some(opened)) known.set(number, settled);
    inside.set(number, placeInside(box, within, settled, down, gaps, longest - 2 * (gaps.pad + gaps.turn) * depth.get(number)));
  }
  const spots = new Map([["b0", [0, 0, ...inside.get(0).size]]]), lines = new Map(), layers = new Map(), stack = [0];
  while (stack.length) {
    const number = stack.pop();
    const [x0, y0] = spots.get("b" + number), ahead = down ? y0 : x0;
    for (const [key, [x, y, w, h, line, from, to]] of inside.get(number).spots) {
      spots.set(key, [x0 + x, y0 + y, w, h]);
      lines.set(key, line);
      layers.set(key, [ahead + from, ahead + to]);
      if (opened(key)) stack.push(+key.slice(1));
    }
  }
  return { spots, lines, layers };
}

function placeInside(box, sizes, middle, down, gaps, longest) {
  const ahead = down ? 1 : 0, aside = 1 - ahead;
  const lengths = box.layers.map(row => Math.max(...row.map(key => sizes.get(key)[ahead])));
  const lines = [];
  let along = 0;
  lengths.forEach((length, i) => {
    if (!lines.length || along + gaps.ahead + length > longest) {
      lines.push([]);
      along = -gaps.ahead;
    }
    lines.at(-1).push(i);
    along += gaps.ahead + length;
  });
  const rim = lines.length > 1 ? gaps.turn : 0, head = box.parent >= 0 ? gaps.head : gaps.pad;
  const first = down ? head : gaps.pad, spots = new Map();
  let across = down ? gaps.pad : head, far = first;
  lines.forEach((layers, line) => {
    let low = Infinity, high = -Infinity;
    for (const i of layers) {
      for (const key of box.layers[i]) {
        low = Math.min(low, middle.get(key) - sizes.get(key)[aside] / 2);
        high = Math.max(high, middle.get(key) + sizes.get(key)[aside] / 2);
      }
    }
    along = first + rim;
    for (const i of layers) {
      for (const key of box.layers[i]) {
        const lane = key[0] === "l";
        const a = lane ? along : along + (lengths[i] - sizes.get(key)[ahead]) / 2;
        const c = middle.get(key) - sizes.get(key)[aside] / 2 - low + across;
        const [w, h] = !lane ? sizes.get(key) : down ? [6, lengths[i]] : [lengths[i], 6];
        spots.set(key, [...(down ? [c, a] : [a, c]), w, h, line, along, along + lengths[i]]);
      }
      along += lengths[i] + gaps.ahead;
    }
    far = Math.max(far, along - gaps.ahead + rim);
    across += high - low + gaps.line;
  });
  const total = far + gaps.pad, wide = (lines.length ? across - gaps.line : across) + gaps.pad;
  const least = box.least || 90;
  return { spots, size: down ? [Math.max(wide, least), total] : [Math.max(total, box.least || 0), Math.max(wide, 40)] };
}

// The center of everything in a box, in the direction across its layers: near the mean of its neighbors.
function middles(box, sizes, aside, gaps) {
  const left = new Map(), right = new Map(), middle = new Map();
  for (const [source, target] of box.links) {
    if (!right.has(source)) right.set(source, []);
    if (!left.has(target)) left.set(target, []);
    right.get(source).push(target);
    left.get(target).push(source);
  }
  const weight = key => (left.has(key) ? 1 : gaps.givesWay), weights = keys => keys.reduce((sum, key) => sum + weight(key), 0);
  for (const row of box.layers) {
    let at = -(row.reduce((sum, key) => sum + sizes.get(key)[aside], 0) + gaps.aside * (row.length - 1)) / 2;
    for (const key of row) {
      middle.set(key, at + sizes.get(key)[aside] / 2);
      at += sizes.get(key)[aside] + gaps.aside;
    }
  }
  for (let sweep = 0; sweep < gaps.sweeps; sweep++) {
    const sides = sweep % 2 === 0 ? left : right;
    const layers = sweep % 2 === 0 ? box.layers : [...box.layers].reverse();
    for (const row of layers) {
      const wish = row.map(key => {
        const near = sides.get(key);
        return near ? near.reduce((sum, k) => sum + weight(k) * middle.get(k), 0) / weights(near) : middle.get(key);
      });
      const got = [];
      let end = -Infinity;
      row.forEach((key, i) => {
        const half = sizes.get(key)[aside] / 2;
        got.push(Math.max(wish[i], end + half));
        end = got[i] + half + gaps.aside;
      });
      const shift = wish.reduce((sum, want, i) => sum + weight(row[i]) * (want - got[i]), 0) / weights(row);
      row.forEach((key, i) => middle.set(key, got[i] + shift));
    }
  }
  return middle;
}

// The path of each edge in SVG: through its lanes, and in the gap from line to line.
class Ways {
  constructor(boxes, placed, down, gaps) {
    Object.assign(this, { gaps, down }, placed);
    this.boxOf = new Map();
    this.rims = new Map(); // start, end and lower edge of each line of each box
    this.taken = new Map(); // the values whose edges bend at the end of each line
    for (const { number, layers } of boxes) {
      for (const key of layers.flat()) {
        this.boxOf.set(key, number);
        const [x, y, w, h] = this.turned(this.spots.get(key)), line = `${number} ${this.lines.get(key)}`;
        const rim = this.rims.get(line) || [Infinity, -Infinity, -Infinity];
        this.rims.set(line, [Math.min(rim[0], x), Math.max(rim[1], x + w), Math.max(rim[2], y + h)]);
      }
    }
  }

  // The code below draws from left to right; for top to bottom, the axes are swapped.
  turned([x, y, w, h]) {
    return this.down ? [y, x, h, w] : [x, y, w, h];
  }

  point([x, y]) {
    return this.down ? `${y},${x}` : `${x},${y}`;
  }

  // The innermost box around two parts on the path of an edge, the children of it that contain them, and their line.
  meet(key, after) {
    const up = new Map();
    for (let k = key; ; k = "b" + this.boxOf.get(k)) {
      up.set(this.boxOf.get(k), k);
      if (!this.boxOf.get(k)) break;
    }
    let right = after;
    while (!up.has(this.boxOf.get(right))) right = "b" + this.boxOf.get(right);
    const box = this.boxOf.get(right), left = up.get(box), line = this.lines.get(left);
    return { box, left, right, line, turns: this.lines.get(right) === line + 1 };
  }

  claim(keys, value) {
    for (let i = 1; i < keys.length; i++) {
      const { box, line, turns } = this.meet(keys[i - 1], keys[i]), at = `${box} ${line}`;
      if (!turns) continue;
      if (!this.taken.has(at)) this.taken.set(at, new Set());
      this.taken.get(at).add(value);
    }
  }

  path(keys, value, share) {
    let d = "";
    for (let i = 1; i < keys.length; i++) {
      const [x, y, w, h] = this.turned(this.spots.get(keys[i - 1])), [u, v, , r] = this.turned(this.spots.get(keys[i]));
      const start = [x + w, y + h / 2], end = [u, v + r * (i === keys.length - 1 ? share : 0.5)];
      const meeting = this.meet(keys[i - 1], keys[i]);
      if (i === 1 || w) d += `${i === 1 ? "M" : "L"}${this.point(start)}`;
      if (meeting.turns) d += this.corners(this.detour(meeting, value, start, end));
      else { // the curve lies in the empty gap between two layers
        const from = this.layers.get(meeting.left)[1], to = this.layers.get(meeting.right)[0], bend = Math.max(24, Math.abs(to - from) / 2);
        if (from > start[0]) d += `L${this.point([from, start[1]])}`;
        d += `C${this.point([from + bend, start[1]])} ${this.point([to - bend, end[1]])} ${this.point([to, end[1]])}`;
        if (end[0] > to) d += `L${this.point(end)}`; // else the arrow would have no direction
      }
    }
    return d;
  }

  detour({ box, line }, value, start, end) {
    const taken = [...this.taken.get(`${box} ${line}`)], part = (taken.indexOf(value) + 1) / (taken.length + 1);
    const [, to, low] = this.rims.get(`${box} ${line}`), [from] = this.rims.get(`${box} ${line + 1}`);
    const right = to + 8 + (this.gaps.turn - 8) * part, left = from - 8 - (this.gaps.turn - 8) * part;
    const gap = low + this.gaps.line * part;
    return [start, [right, start[1]], [right, gap], [left, gap], [left, end[1]], end];
  }

  corners(points) {
    let d = "";
    for (let i = 1; i < points.length - 1; i++) {
      const [a, b, c] = points.slice(i - 1, i + 2);
      const near = other => {
        const long = Math.hypot(other[0] - b[0], other[1] - b[1]), part = long ? Math.min(9, long / 2) / long : 0;
        return this.point([b[0] + (other[0] - b[0]) * part, b[1] + (other[1] - b[1]) * part]);
      };
      d += `L${near(a)}Q${this.point(b)} ${near(c)}`;
    }
    return d + `L${this.point(points.at(-1))}`;
  }
}
