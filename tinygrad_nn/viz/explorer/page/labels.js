// Labels with the numbers that highlighted edges carry, at free places on the edges.

function labels(graph, state) {
  const found = [], seen = new Map();
  for (const [e, array] of state.carries) {
    const cell = graph.cellOfLine.get(graph.levels.line(e));
    if (!cell?.drawn) continue;
    const path = cell.part;
    seen.set(path, seen.has(path) ? null : graph.data.arrays[array].tiny);
  }
  const taken = [], [, , w, h] = graph.spots.get("b0");
  const { ahead } = graph.gaps;
  const overlap = (x, y, wide, high, [a, b, c, d]) => x - wide / 2 < c && x + wide / 2 > a && y - high / 2 < d && y + high / 2 > b;
  for (const [path, text] of seen) {
    if (text === null) continue; // a line of a folded box that carries several values
    const shown = negative(text), natural = 8.1 * shown.length + 10, half = path.getTotalLength() / 2;
    const grown = graph.down ? graph.make.grown : Math.min(graph.make.grown, Math.max(1, (ahead - 12) / natural)); // fits between two nodes
    const width = grown * natural, high = 18 * grown;
    const place = away => {
      const { x, y } = path.getPointAtLength(Math.min(away, half));
      return [x, y];
    };
    const free = ([x, y]) => x > width / 2 && x < w - width / 2 && y > high / 2 && y < h - high / 2 &&
      !taken.some(([a, b, other, tall]) => Math.abs(x - a) < (width + other) / 2 + 2 && Math.abs(y - b) < (high + tall) / 2 + 2) &&
      !graph.rects.some(([a, b, c, d]) => overlap(x, y, width, high, [a, b, a + c, b + d]));
    const middle = ahead / 2, places = [middle, middle + 22, middle - 22];
    for (let away = 100; away < half && away < 3000; away += 20) places.push(away); // near its source, or further along
    let at = null;
    if (!places.some(away => free((at = place(away))))) { // as for x * x, whose two edges coincide: below the other label
      const [x, y] = place(middle), near = taken.filter(([a, , other]) => Math.abs(x - a) < (width + other) / 2 + 2);
      at = [x, Math.max(y, ...near.map(([, b, , tall]) => b + (high + tall) / 2 + 2))];
    }
    taken.push([...at, width, high]);
    found.push(svg("g", { class: "carry", transform: `translate(${at[0]} ${at[1]})` },
      svg("rect", { x: -width / 2, y: -high / 2, width, height: high, rx: high / 2 }), svg("text", { y: 4.5, transform: `scale(${grown})` }, shown)));
  }
  return found;
}
