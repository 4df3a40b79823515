"use strict";
// Positions from orders: `place` of arrange.py, word for word, so that folding a box keeps the order of all else.

function place(boxes, sizes, down, folded, gaps) {
  const inside = new Map();
  const size = key => {
    if (key[0] === "l") return down ? [6, 0] : [0, 6];
    const number = +key.slice(1);
    return key[0] === "b" && !folded.has(number) ? inside.get(number).size : sizes(key);
  };
  for (let number = boxes.length - 1; number >= 0; number--) {
    if (!folded.has(number)) inside.set(number, placeInside(boxes[number], size, down, gaps));
  }
  const spots = new Map([["b0", [0, 0, ...inside.get(0).size]]]);
  const stack = [0];
  while (stack.length) {
    const number = stack.pop();
    const [x0, y0] = spots.get("b" + number);
    for (const [key, [x, y, w, h]] of inside.get(number).spots) {
      spots.set(key, [x0 + x, y0 + y, w, h]);
      if (key[0] === "b" && !folded.has(+key.slice(1))) stack.push(+key.slice(1));
    }
  }
  return spots;
}

function placeInside(box, size, down, gaps) {
  const ahead = down ? 1 : 0, aside = 1 - ahead;
  const sizes = new Map(), left = new Map(), right = new Map(), middle = new Map();
  for (const row of box.layers) for (const key of row) sizes.set(key, size(key));
  for (const [source, target] of box.links) {
    if (!right.has(source)) right.set(source, []);
    if (!left.has(target)) left.set(target, []);
    right.get(source).push(target);
    left.get(target).push(source);
  }
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
        return near ? near.reduce((sum, k) => sum + middle.get(k), 0) / near.length : middle.get(key);
      });
      const got = [];
      let end = -Infinity;
      row.forEach((key, i) => {
        const half = sizes.get(key)[aside] / 2;
        got.push(Math.max(wish[i], end + half));
        end = got[i] + half + gaps.aside;
      });
      const shift = wish.reduce((sum, want, i) => sum + want - got[i], 0) / row.length;
      row.forEach((key, i) => middle.set(key, got[i] + shift));
    }
  }
  let low = Infinity, high = -Infinity;
  for (const [key, at] of middle) {
    low = Math.min(low, at - sizes.get(key)[aside] / 2);
    high = Math.max(high, at + sizes.get(key)[aside] / 2);
  }
  if (!middle.size) low = high = 0;
  const pad = gaps.pad, head = box.parent >= 0 ? gaps.head : gaps.pad;
  const first = down ? head : pad, spots = new Map();
  let along = first;
  for (const row of box.layers) {
    const width = Math.max(...row.map(key => sizes.get(key)[ahead]));
    for (const key of row) {
      const lane = key[0] === "l";
      const a = lane ? along : along + (width - sizes.get(key)[ahead]) / 2;
      const c = middle.get(key) - sizes.get(key)[aside] / 2 - low + (down ? pad : head);
      let [w, h] = sizes.get(key);
      if (lane) [w, h] = down ? [w, width] : [width, h];
      spots.set(key, down ? [c, a, w, h] : [a, c, w, h]);
    }
    along += width + gaps.ahead;
  }
  const total = (box.layers.length ? along - gaps.ahead : first) + pad;
  const across = high - low + pad + (down ? pad : head);
  return { spots, size: down ? [Math.max(across, 90), total] : [total, Math.max(across, 40)] };
}
