"use strict";
// A picture for each family of operations. The page's data says which entries belong together; the numbers are the graph's.

function svgText(x, y, text, more = {}) {
  return svg("text", { x, y, "font-size": 11, fill: "var(--muted)", ...more }, text);
}

function pictureBox(words, ...children) {
  return el("section", { class: "picture" }, el("h3", null, "What it does"), el("p", { class: "muted" }, words), ...children);
}

// A map with its name above; entries can be marked on `canvas`.
function namedMap(index, name, kind = "values") {
  const parts = heatView(arrays[index], name, kind, 18), box = el("div", { class: "named-map" }, el("h4", null, name), ...parts);
  return { box, canvas: box.querySelector("canvas"), said: box.querySelector("output") };
}

const strip = (...maps) => el("div", { class: "maps" }, ...maps.map(({ box }) => box));
const factor = text => (text.startsWith("\u2212") ? `(${text})` : text);
const sizeOf = index => asHeat(arrays[index]).size;
const listed = (terms, sign) => (terms.length > 6 ? [...terms.slice(0, 5), "…", terms.at(-1)] : terms).join(sign);

// A slider over the entries of the result, which moves by itself until the reader touches it.
function walker(count, name, go) {
  const slider = el("input", { type: "range", min: 0, max: count - 1, value: 0, "aria-label": name });
  slider.addEventListener("keydown", event => event.stopPropagation());
  slider.addEventListener("input", () => {
    clearInterval(timer);
    go(+slider.value);
  });
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const timer = still ? 0 : setInterval(() => {
    if (!slider.isConnected) return clearInterval(timer);
    slider.value = (+slider.value + 1) % count;
    go(+slider.value);
  }, 700);
  const label = el("label", { class: "heat-axis" }, name, slider);
  label.stop = () => clearInterval(timer);
  label.set = value => { slider.value = value; };
  return label;
}

// Maps of the operands and the result; for an entry of the result, its source entries are marked.
function linkedMaps(number, words, from, explain) {
  const sources = graph.into[number].slice(0, 3).map(e => edges[e][0]), out = namedMap(nodes[number].value, nodes[number].named);
  const maps = sources.map(n => namedMap(nodes[n].value, nodes[n].named));
  const said = el("output", { class: "picture-said" });
  if (!out.canvas.exact || maps.some(({ canvas }) => !canvas.exact)) return pictureBox(`${words} The maps show means: these arrays are large.`, strip(...maps, out));
  const total = sizeOf(nodes[number].value).reduce((a, b) => a * b, 1);
  let marking = false;
  const go = flat => {
    if (marking) return;
    marking = true;
    const groups = from(flat);
    out.canvas.mark([flat]);
    maps.forEach(({ canvas }, i) => canvas.mark((groups[i] || []).filter(place => place >= 0)));
    said.textContent = explain(flat, groups, maps.map(({ canvas }) => canvas), out.canvas);
    marking = false;
  };
  const walk = total > 1 ? walker(total, "entry of the result", go) : null;
  out.canvas.moved = flat => {
    if (walk) {
      walk.stop();
      walk.set(flat);
    }
    go(flat);
  };
  queueMicrotask(() => go(0)); // after the maps are painted
  return pictureBox(words, ...(walk ? [walk] : []), said, strip(...maps, out));
}

const SIGNS = { add: "+", subtract: "\u2212", multiply: "·", divide: "/", power: "^", maximum: "or", minimum: "or" };

const PICTURES = {
  curve(number, { x, y, slope, slot }, back) {
    const node = nodes[number], source = edges[graph.into[number][slot]][0];
    const inputs = heatNumbers(asHeat(arrays[nodes[source].value])), outputs = heatNumbers(asHeat(arrays[node.value]));
    const exact = inputs.block[0] === 1 && inputs.block[1] === 1 && inputs.texts.length === outputs.texts.length;
    const dots = exact ? Array.from({ length: Math.min(inputs.values.length, 200) }, (_, i) => i).filter(i => Number.isFinite(inputs.values[i]) && Number.isFinite(outputs.values[i])) : [];
    const W = 330, H = 170, M = 42, shown = [...y, ...(back ? slope : []), ...dots.map(i => outputs.values[i])], finite = shown.filter(v => v !== null);
    if (finite.length < 2) return null;
    const low = Math.min(0, ...finite), high = Math.max(0, ...finite), most = high / 2 - low / 2 || 1; // halves, as the difference may overflow
    const px = v => M + ((v / 2 - x[0] / 2) / (x.at(-1) / 2 - x[0] / 2)) * (W - 2 * M), py = v => H - 20 - ((v / 2 - low / 2) / most) * (H - 36);
    const path = values => {
      let d = "", pen = false;
      values.forEach((v, i) => {
        if (v !== null) d += `${pen ? "L" : "M"}${px(x[i]).toFixed(1)} ${py(v).toFixed(1)}`;
        pen = v !== null;
      });
      return d;
    };
    const drawing = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "chart", role: "img", "aria-label": `curve of ${node.operation} with the numbers of this step on it` });
    drawing.append(svg("path", { d: `M${M} ${py(0)}H${W - M}`, class: "axis" }));
    if (x[0] < 0 && x.at(-1) > 0) drawing.append(svg("path", { d: `M${px(0)} ${py(high)}V${py(low)}`, class: "axis" }));
    drawing.append(svg("path", { d: path(y), class: "curve" }));
    if (back) drawing.append(svg("path", { d: path(slope), class: "curve slope" }));
    drawing.append(svgText(M, H - 5, negative(String(+x[0].toPrecision(3)))), svgText(W - M, H - 5, negative(String(+x.at(-1).toPrecision(3))), { "text-anchor": "end" }),
      svgText(M - 4, py(high) + 4, negative(String(+high.toPrecision(3))), { "text-anchor": "end" }), svgText(M - 4, py(low) + 4, negative(String(+low.toPrecision(3))), { "text-anchor": "end" }));
    for (const i of dots) {
      drawing.append(svg("circle", { cx: px(inputs.values[i]), cy: py(outputs.values[i]), r: 3.5, class: "dot" }, svg("title", null, negative(`${inputs.texts[i]} → ${outputs.texts[i]}`))));
    }
    const words = inputs.texts.length === 1 ? `${nodes[source].named} = ${negative(inputs.texts[0])} becomes ${negative(outputs.texts[0])}.` : `Each entry of ${nodes[source].named} goes to the right, what it becomes goes up.`;
    return pictureBox(back ? `${words} The dashed line is the slope, by which the gradient is multiplied.` : words, drawing);
  },

  linked(number, { at, many }) {
    const operation = nodes[number].operation, sign = SIGNS[operation];
    return linkedMaps(number, many ? `Each entry of the result is the ${operation} of the marked ones.` : sign ? "Each entry is computed from those that are marked." : "The numbers stay the same; only their places change.",
      flat => at.map(places => [places[flat]].flat()),
      (flat, groups, canvases, out) => {
        const terms = canvases.flatMap((canvas, i) => (groups[i] || []).filter(place => place >= 0).map(canvas.text));
        return many ? `${operation} of ${listed(terms, ", ")} = ${out.text(flat)}` : sign ? `${terms.map((text, i) => (i ? factor(text) : text)).join(` ${sign} `)} = ${out.text(flat)}` : `${terms.join(", ")} → ${out.text(flat)}`;
      });
  },

  product(number, { across }) {
    const [a, b] = graph.into[number].map(e => nodes[edges[e][0]].value), [k, columns] = [sizeOf(a).at(-1), sizeOf(b).at(across ? -2 : -1)];
    const batched = sizeOf(b).length > 2, rows = sizeOf(a).at(-2), inner = k * columns;
    return linkedMaps(number, across ? "Each entry is a row of the input times a row of the weights, and the bias." : "Each entry is a row of the left matrix times a column of the right one.",
      flat => {
        const row = Math.floor(flat / columns), column = flat % columns, base = batched ? Math.floor(row / rows) * inner : 0;
        const steps = Array.from({ length: k }, (_, i) => i);
        return [steps.map(i => row * k + i), steps.map(i => (across ? column * k + i : base + i * columns + column)), [column]];
      },
      (flat, [left, right, bias], [A, B, C], out) => {
        const terms = left.map((place, i) => `${A.text(place)}·${factor(B.text(right[i]))}`), some = C ? [...terms, C.text(sizeOf(nodes[edges[graph.into[number][2]][0]].value).length ? bias[0] : 0)] : terms;
        return `${listed(some, " + ")} = ${out.text(flat)}`;
      });
  },

  window(number, { kernel, stride, padding, dilation, groups, pooled }) {
    const [input, weight] = graph.into[number].map(e => nodes[edges[e][0]].value), X = sizeOf(input), Y = sizeOf(nodes[number].value);
    const n = kernel.length, channels = pooled ? 1 : sizeOf(weight)[1], area = X.slice(-n), over = Y.slice(-n), each = kernel.reduce((p, q) => p * q, 1);
    const product = list => list.reduce((p, q) => p * q, 1);
    const places = flat => { // places of the patch (-1 beyond the edge) and of the kernel
      let left = flat;
      const spot = over.slice().reverse().map(size => {
        const at = left % size;
        left = Math.floor(left / size);
        return at;
      }).reverse();
      const channel = pooled ? left : left % Y[1], sample = pooled ? 0 : Math.floor(left / Y[1]);
      const first = pooled ? channel : sample * X[1] + Math.floor(channel / (Y[1] / groups)) * channels, patch = [], weights = [];
      for (let c = 0; c < channels; c++) {
        for (let u = 0; u < each; u++) {
          let rest = u, at = 0, inside = true;
          const offsets = kernel.slice().reverse().map(size => {
            const k = rest % size;
            rest = Math.floor(rest / size);
            return k;
          }).reverse();
          offsets.forEach((k, axis) => {
            const place = spot[axis] * stride[axis] - padding[axis] + k * dilation[axis];
            inside = inside && place >= 0 && place < area[axis];
            at = at * area[axis] + place;
          });
          patch.push(inside ? (first + c) * product(area) + at : -1);
          weights.push((channel * channels + c) * each + u);
        }
      }
      return [patch, weights];
    };
    const words = pooled ? `The window looks at ${kernel.join(" × ")} entries at a time; ${nodes[number].operation === "max_pool" ? "the largest goes on, and only it gets the gradient back" : "their mean goes on"}.` :
      `The kernel moves over the input; each entry of the result is the sum of its weights times the patch below it${padding.some(p => p) ? ", with zeros beyond the edge" : ""}.`;
    return linkedMaps(number, words, flat => (pooled ? [places(flat)[0]] : places(flat)),
      (flat, [patch, weights], [A, B], out) => {
        const terms = patch.map((place, i) => [place, i]).filter(([place]) => place >= 0).map(([place, i]) => (pooled ? A.text(place) : `${B.text(weights[i])}·${factor(A.text(place))}`));
        return pooled ? `${nodes[number].operation === "max_pool" ? "max" : "mean"} of ${listed(terms, ", ")} = ${out.text(flat)}` : `${listed(terms, " + ")} = ${out.text(flat)}`;
      });
  },

  bars(number) {
    const source = edges[graph.into[number][0]][0];
    return barPicture("Above the scores, below what they become: all positive, with a sum of 1." , [nodes[source].value, nodes[number].value], [nodes[source].named, nodes[number].named], nodes[number].operation === "log_softmax" && "Above the scores, below the logarithms of their shares.");
  },

  targets(number, { p }) {
    const target = edges[graph.into[number][1]][0];
    return barPicture("What is predicted, and what is true: the loss is small where both have their mass in one place.", [p, nodes[target].value], ["predicted", nodes[target].named]);
  },

  weights(number, { array, shares }) {
    const map = namedMap(array, shares ? nodes[number].named : "attention weights", "shares");
    return pictureBox(shares ? "The scores have become shares: each row is positive and sums to 1. In attention a row is a query, a column a key." : "Row by row, how much each query takes of each key's value: a row is positive and sums to 1.", strip(map));
  },

  states(number, { cells }) {
    const maps = [namedMap(nodes[number].value, "states"), ...(cells === undefined ? [] : [namedMap(cells, "cells")])];
    return pictureBox("What the layer holds after each time step: time goes along the first axis.", strip(...maps));
  },

  moments(number, { groups, of }) {
    const told = v => (v === null ? "not finite" : +v.toPrecision(4));
    const holder = el("div"), draw = k => {
      const { mean, deviation, before, after, of: all } = groups[k], W = 320, whole = mean !== null && deviation !== null;
      const known = [...before, ...after, ...(whole ? [mean - deviation, mean + deviation] : [])].filter(v => v !== null && Number.isFinite(v));
      const low = Math.min(0, ...known), high = Math.max(0, ...known), px = v => 12 + ((v / 2 - low / 2) / (high / 2 - low / 2 || 1)) * (W - 24);
      const drawing = svg("svg", { viewBox: `0 0 ${W} 128`, class: "chart", role: "img", "aria-label": `group ${k}: mean ${told(mean)}, deviation ${told(deviation)}` });
      const row = (y, name, values, middle, spread) => {
        drawing.append(svgText(0, y - 16, name), svg("path", { d: `M8 ${y}H${W - 8}`, class: "axis" }));
        if (spread > 0 && whole) drawing.append(svg("rect", { x: px(middle - spread), y: y - 9, width: px(middle + spread) - px(middle - spread), height: 18, class: "band" }));
        if (middle !== null) drawing.append(svg("path", { d: `M${px(middle)} ${y - 12}V${y + 12}`, class: "mean" }));
        for (const v of values) if (v !== null) drawing.append(svg("circle", { cx: px(v), cy: y, r: 3.5, class: "dot" }, svg("title", null, negative(String(v)))));
      };
      row(40, "before", before, mean, deviation);
      row(96, "after", after, 0, 0);
      drawing.append(svgText(px(0), 124, "0", { "text-anchor": "middle" }));
      holder.replaceChildren(drawing, el("p", { class: "picture-said" }, negative(`mean ${told(mean)}, deviation ${told(deviation)}${all > before.length ? `; the first ${before.length} of ${all} numbers` : ""}`)));
    };
    draw(0);
    const slider = groups.length > 1 ? [walker(groups.length, groups.length < of ? `group, the first ${groups.length} of ${of}` : "group", draw)] : [];
    return pictureBox("Each group of numbers is shifted by its mean (the line) and divided by its deviation (the band); then come scale and shift.", ...slider, holder);
  },

  maps(number) {
    const sources = graph.into[number].slice(0, 3).map(e => edges[e][0]);
    return pictureBox("Before and after.", strip(...sources.map(n => namedMap(nodes[n].value, nodes[n].named)), namedMap(nodes[number].value, nodes[number].named)));
  },
};

// Two rows of bars for one row of each array.
function barPicture(words, values, names, instead) {
  const heats = values.map(index => heatNumbers(asHeat(arrays[index]))), width = heats[0].size.at(-1) || 1;
  if (heats.some(heat => heat.block[0] > 1 || heat.block[1] > 1 || (heat.size.at(-1) || 1) !== width)) return null;
  const rows = heats[0].values.length / width, shown = Math.min(width, 40), holder = el("div");
  const draw = row => {
    const W = 320, each = (W - 10) / shown, drawing = svg("svg", { viewBox: `0 0 ${W} 172`, class: "chart", role: "img", "aria-label": `row ${row}: ${names.join(", ")}` });
    heats.forEach((heat, i) => {
      const part = Array.from(heat.values.subarray(row * width, row * width + shown)), top = 18 + 84 * i, finite = part.filter(Number.isFinite);
      const low = Math.min(0, ...finite), high = Math.max(0, ...finite), most = high - low || 1, py = v => top + ((high - v) / most) * 54;
      drawing.append(svgText(0, top - 5, names[i]), svg("path", { d: `M0 ${py(0)}H${W}`, class: "axis" }));
      part.forEach((v, k) => {
        if (!Number.isFinite(v)) return;
        const text = negative(heat.texts[row * width + k]);
        drawing.append(svg("rect", { x: 5 + k * each + each * 0.12, y: Math.min(py(0), py(v)), width: each * 0.76, height: Math.max(0.8, Math.abs(py(0) - py(v))), class: i ? "bar after" : "bar" }, svg("title", null, `[${k}] ${text}`)));
        if (shown <= 7) drawing.append(svgText(5 + (k + 0.5) * each, top + 68, text, { "text-anchor": "middle" }));
      });
    });
    holder.replaceChildren(drawing);
  };
  draw(0);
  const notes = shown < width ? [el("p", { class: "muted" }, `the first ${shown} of ${width}`)] : [];
  return pictureBox(instead || words, ...(rows > 1 ? [walker(rows, "row", draw)] : []), holder, ...notes);
}

// The picture of an operation, or nothing.
function picturesOf(number, back = false) {
  const picture = data.pictures[nodes[number].picture];
  const shown = picture && PICTURES[picture.kind](number, picture, back);
  return shown ? [shown] : [];
}
