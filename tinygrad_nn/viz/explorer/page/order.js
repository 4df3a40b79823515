// The order of the visible parts: each open level is divided into layers, as in order.py (which GIFs use). A line that
// would be too long, or pass too many parts, ends in a stub with a name instead.

const LANES = 10, FAR = 30; // limits: lanes side by side in a layer; layers that a line passes
const USES = 12; // of a value that is used more often, only the nearest uses get a line

// `boxes` are open levels with their `parts`, `lines` connect them; each line gets its path as `keys`.
function arrange(boxes, lines, uses, gaps) {
  const inside = new Map(), around = new Map(boxes.map(box => [box.number, box.parent]));
  for (const box of boxes) for (const key of box.parts) inside.set(key, box.number);
  const chain = key => {
    const list = [];
    for (let b = inside.get(key); b >= 0; b = around.get(b)) list.push(b);
    return list.reverse();
  };
  const ways = lines.map(line => {
    const left = chain(line.from), right = chain(line.to);
    let same = 0;
    while (same < Math.min(left.length, right.length) && left[same] === right[same]) same++;
    const start = same < left.length ? "b" + left[same] : line.from, end = same < right.length ? "b" + right[same] : line.to;
    const legs = (list, key) => list.slice(same).map((b, i) => [b, same + i + 1 < list.length ? "b" + list[same + i + 1] : key]);
    return { line, meet: left[same - 1], start, end, out: legs(left, line.from), into: legs(right, line.to) };
  });
  const often = line => line.value >= 0 && uses(line.value) > USES;
  const stubs = new Set(ways.filter(way => often(way.line) && (way.out.length || way.into.length)));
  for (;;) {
    const found = attempt(boxes, ways, stubs, often, gaps);
    if (!found.over.size) return found;
    for (const way of found.over) stubs.add(way);
  }
}

function attempt(boxes, ways, stubs, often, gaps) {
  const pieces = new Map(boxes.map(box => [box.number, []])), extra = new Map(boxes.map(box => [box.number, []]));
  const homes = new Map();
  for (const box of boxes) for (const key of box.parts) homes.set(key, box.number);
  const known = new Set(), pills = new Map();
  ways.forEach((way, place) => {
    const { line, meet, start, end } = way;
    if (stubs.has(way)) {
      const out = `o${line.from}`, into = `i${line.from}>${line.to}`, there = homes.get(line.to);
      if (!known.has(into)) extra.get(there).push(into);
      pills.set(into, line).set(out, line);
      pieces.get(there).push({ start: into, end: line.to, place, value: into, slot: line.slot, way: null });
      pieces.get(meet).push({ start, end, place, order: true });
      known.add(into);
      return;
    }
    const piece = (box, start, end) => pieces.get(box).push({ start, end, place, value: line.from, slot: line.slot, way });
    piece(meet, start, end);
    for (const [box, child] of way.out) piece(box, child, "");
    for (const [box, child] of way.into) piece(box, "", child);
  });
  const over = new Set(), lanes = { count: 0 }, placed = [];
  const routes = new Map();
  for (const box of boxes) {
    const list = pieces.get(box.number);
    if (box.loop) { // earlier steps come first, later steps last
      box.parts.slice(1).forEach((part, i) => list.push({ start: box.parts[i], end: part, order: true }));
    }
    const parts = [...extra.get(box.number), ...box.parts];
    const { layers, links, found } = layered(parts, list, lanes, often, over, gaps);
    routes.set(box.number, found);
    placed.push({ ...box, parts, layers, links });
  }
  for (const way of ways) {
    const { line } = way;
    if (stubs.has(way)) {
      line.stub = true;
      line.keys = [`i${line.from}>${line.to}`, line.to];
      continue;
    }
    const legs = [...way.out.map(([box]) => box).reverse(), way.meet, ...way.into.map(([box]) => box)];
    line.stub = false;
    line.keys = [line.from, ...legs.flatMap(box => routes.get(box).get(way) || []), line.to];
  }
  return { boxes: placed, over, pills };
}

// The layers of a level, its links between neighbors, and the lanes of each line; lines that are too long go to `over`.
function layered(parts, pieces, lanes, often, over, gaps) {
  const layer = new Map(parts.map(part => [part, 0])), after = new Map(parts.map(part => [part, []])), before = new Map();
  for (const { start, end } of pieces) {
    if (!start || !end) continue;
    after.get(start).push(end);
    before.set(end, (before.get(end) || 0) + 1);
  }
  for (const part of parts) for (const end of after.get(part)) layer.set(end, Math.max(layer.get(end), layer.get(part) + 1));
  for (const part of parts) {
    if (!before.get(part) && after.get(part).length) layer.set(part, Math.min(...after.get(part).map(end => layer.get(end))) - 1);
  }
  const rows = Array.from({ length: Math.max(-1, ...layer.values()) + 1 }, () => []);
  for (const part of parts) rows[layer.get(part)].push(part);
  const passing = new Map(), crowd = rows.map(() => 0), links = new Map(), found = new Map();
  const spans = pieces.filter(piece => !piece.order).map(piece => ({ ...piece, from: piece.start ? layer.get(piece.start) : -1, to: piece.end ? layer.get(piece.end) : rows.length }));
  for (const { from, to, start, end, value, slot, way } of spans.sort((a, b) => a.to - a.from - (b.to - b.from) || a.place - b.place)) {
    let last = start;
    const route = [], wanted = [];
    for (let level = from + 1; level < to; level++) if (!passing.has(`${value} ${level}`)) wanted.push(level);
    if (way && to - from > 1 && (to - from > FAR || (often(way.line)) || wanted.some(level => crowd[level] >= LANES))) {
      over.add(way);
      continue;
    }
    for (let level = from + 1; level < to; level++) {
      const at = `${value} ${level}`;
      if (!passing.has(at)) {
        passing.set(at, `l${lanes.count++}`);
        rows[level].push(passing.get(at));
        crowd[level]++;
      }
      const lane = passing.get(at), link = `${last} ${lane}`;
      route.push(lane);
      if (last && !links.has(link)) links.set(link, [last, lane, 0]);
      last = lane;
    }
    if (last && end && !links.has(`${last} ${end}`)) links.set(`${last} ${end}`, [last, end, 0.1 * slot]);
    if (way) found.set(way, route);
  }
  const list = [...links.values()];
  return { layers: untangled(rows.filter(row => row.length), list, gaps), links: list, found };
}

// The layers, sorted to reduce crossings: each part is moved near the mean of its neighbors.
function untangled(rows, links, gaps) {
  const left = new Map(), right = new Map(), at = new Map();
  const add = (map, key, entry) => (map.has(key) ? map.get(key).push(entry) : map.set(key, [entry]));
  for (const [start, end, slot] of links) {
    add(right, start, [end, slot]);
    add(left, end, [start, 0]);
  }
  for (const row of rows) row.forEach((part, i) => at.set(part, i));
  for (let sweep = 0; sweep < gaps.sweeps; sweep++) {
    const back = sweep % 2 === 0, sides = back ? right : left;
    for (let k = 0; k < rows.length; k++) {
      const i = back ? rows.length - 1 - k : k;
      const wish = new Map(rows[i].map(part => {
        const near = sides.get(part);
        return [part, near ? near.reduce((sum, [other, slot]) => sum + (at.get(other) + slot), 0) / near.length : at.get(part)];
      }));
      rows[i].sort((a, b) => wish.get(a) - wish.get(b));
      rows[i].forEach((part, place) => at.set(part, place));
    }
  }
  return rows;
}
