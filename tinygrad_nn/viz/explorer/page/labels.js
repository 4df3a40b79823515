// What each lit edge carries, as a label on it where nothing else stands.

function labels(graph, state) {
  const found = [], seen = new Map();
  for (const [e, array] of state.carries) {
    const path = graph.edgeParts[e];
    if (!path) continue;
    seen.set(path, seen.has(path) ? null : graph.data.arrays[array].tiny);
  }
  const taken = [], [, , w, h] = graph.spots.get("b0");
  const overlap = (x, y, wide, [a, b, c, d]) => x - wide / 2 < c && x + wide / 2 > a && y - 9 < d && y + 9 > b;
  for (const [path, text] of seen) {
    if (text === null) continue; // several values in one line of a folded box
    const shown = negative(text), width = 7 * shown.length + 12, half = path.getTotalLength() / 2;
    const place = away => {
      const { x, y } = path.getPointAtLength(Math.min(away, half));
      return [x, y];
    };
    const free = ([x, y]) => x > width / 2 && x < w - width / 2 && y > 9 && y < h - 9 &&
      !taken.some(([a, b, other]) => Math.abs(x - a) < (width + other) / 2 + 2 && Math.abs(y - b) < 20) &&
      !graph.rects.some(([a, b, c, d]) => overlap(x, y, width, [a, b, a + c, b + d]));
    const middle = graph.data.gaps.ahead / 2, places = [middle, middle + 22, middle - 22];
    for (let away = 100; away < half && away < 3000; away += 20) places.push(away); // beside its source, or further on
    let at = null;
    if (!places.some(away => free((at = place(away))))) { // as for x * x, whose two edges are one bundle: below what is there
      const [x, y] = place(middle), near = taken.filter(([a, , other]) => Math.abs(x - a) < (width + other) / 2 + 2);
      at = [x, Math.max(y, ...near.map(([, b]) => b + 20))];
    }
    taken.push([...at, width]);
    found.push(svg("g", { class: "carry", transform: `translate(${at[0]} ${at[1]})` },
      svg("rect", { x: -width / 2, y: -9, width, height: 18, rx: 9 }), svg("text", { y: 4 }, shown)));
  }
  return found;
}
