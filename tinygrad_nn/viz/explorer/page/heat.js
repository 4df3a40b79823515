"use strict";
// Heat maps: a common color scale for all maps shown together; index and value at the pointer or by arrow keys.

const TALL = 240, CELL = 14, WRAP = 32; // largest height of a map and of a cell in pixels; columns of a wrapped vector
const GRADIENTS = new Set(["gradient", "contribution", "sum so far", ".grad"]);

// From blue through white (or black) to orange, which is safe for color blindness; NaN is gray.
function heatColour(t, dark) {
  if (Number.isNaN(t)) return [128, 128, 128];
  const s = Math.min(1, Math.abs(t)), zero = dark ? [24, 29, 36] : [247, 247, 245];
  const end = t < 0 ? (dark ? [86, 180, 233] : [0, 90, 160]) : (dark ? [255, 160, 64] : [200, 80, 0]);
  return zero.map((z, i) => Math.round(z + (end[i] - z) * s));
}

function number(text) {
  if (text === "True" || text === "False") return text === "True" ? 1 : 0;
  const parts = text.endsWith("j") && text.match(/^([-+]?(?:[\d.]+(?:e[-+]?\d+)?|inf|nan))([-+](?:[\d.]+(?:e[-+]?\d+)?|inf|nan))j$/);
  if (parts) return Math.hypot(number(parts[1]), number(parts[2]));
  return text.endsWith("inf") ? (text[0] === "-" ? -Infinity : Infinity) : text === "nan" ? NaN : +text;
}

// The numbers of a map, parsed once: as texts to show and as numbers to color.
function heatNumbers(heat) {
  if (!heat.texts) {
    heat.texts = heat.numbers.split(" ");
    heat.values = Float64Array.from(heat.texts, number);
    heat.largest = heat.values.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);
  }
  return heat;
}

const tell = v => negative(String(+v.toPrecision(4)));

// An array in the form of a map, also if it is a table of few numbers.
function asHeat(array) {
  if (array.heat) return array.heat;
  const size = array.shape === "scalar" ? [] : array.shape.split(" × ").map(Number);
  return (array.small ??= { size, block: [1, 1], numbers: array.rows.flat().join(" ") });
}

function heatView(array, label, kind = GRADIENTS.has(label) ? "gradients" : "values", high_ = CELL) {
  const heat = heatNumbers(asHeat(array)), size = heat.size.length < 2 ? [...(heat.size.length ? [1] : [1, 1]), ...heat.size] : heat.size, flat = heat.size.length < 2;
  const lead = size.slice(0, -2), [rows, columns] = size.slice(-2), wrapped = rows === 1 && columns > WRAP;
  const [high, wide] = wrapped ? [Math.ceil(columns / WRAP), WRAP] : [rows, columns];
  const at = lead.map(() => 0), canvas = el("canvas", { class: "heat", role: "img", tabindex: "0", "aria-label": `${label}: ${array.shape}, ${array.summary || array.brief}` });
  const cursor = el("span", { class: "heat-cursor", "aria-hidden": "true" }), said = el("output", { class: "heat-said" });
  cursor.hidden = true;
  canvas.width = wide;
  canvas.height = high;
  const cellHigh = Math.min(high_, TALL / high), cellWide = Math.min(high_, 320 / wide, Math.max(2 * cellHigh, 3));
  canvas.style.width = `${wide * cellWide}px`;
  canvas.style.height = `${high * Math.min(cellHigh, high === 1 ? high_ : 2 * cellWide + 2)}px`;
  const start = () => lead.reduce((sum, n, axis) => sum * n + at[axis], 0) * rows * columns;
  canvas.heat = { kind, largest: heat.largest, scale: heat.largest || 1 };
  canvas.paint = () => {
    const context = canvas.getContext("2d"), image = context.createImageData(wide, high), dark = isDark(), first = start();
    for (let i = 0; i < wide * high; i++) {
      const known = i < rows * columns;
      image.data.set(known ? [...heatColour(heat.values[first + i] / canvas.heat.scale, dark), 255] : [0, 0, 0, 0], 4 * i);
    }
    context.putImageData(image, 0, 0);
  };
  let here = -1;
  const show = cell => {
    here = cell;
    cursor.hidden = cell < 0;
    if (canvas.moved && cell >= 0) canvas.moved(start() + cell);
    if (cell < 0) {
      said.textContent = "";
      return;
    }
    const [r, c] = [Math.floor(cell / wide), cell % wide], place = wrapped ? [0, cell] : [r, c];
    cursor.style.cssText = `left:${(100 * c) / wide}%;top:${(100 * r) / high}%;width:${100 / wide}%;height:${100 / high}%`;
    const [down, along] = heat.block, block = down > 1 || along > 1;
    const words = block ? place.map((k, i) => `${k * heat.block[i]}…`) : place;
    const index = [...at, ...words].slice(flat ? 1 : 0).join(", "), text = negative(heat.texts[start() + cell]);
    said.textContent = block ? `mean of the ${down} × ${along} from [${index}] = ${text}` : `[${index}] = ${text}`;
  };
  const cellAt = event => {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    const c = Math.floor(((event.clientX - left) / width) * wide), r = Math.floor(((event.clientY - top) / height) * high);
    const cell = r * wide + c;
    return c >= 0 && r >= 0 && c < wide && r < high && cell < rows * columns ? cell : -1;
  };
  canvas.addEventListener("pointermove", event => show(cellAt(event)));
  canvas.addEventListener("pointerdown", event => show(cellAt(event)));
  canvas.addEventListener("pointerleave", () => document.activeElement !== canvas && show(-1));
  canvas.addEventListener("focus", () => here < 0 && show(0));
  canvas.addEventListener("blur", () => show(-1));
  canvas.addEventListener("keydown", event => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide, Home: -here, End: rows * columns - 1 - here }[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // else the key would step through the walk
    if (here + step >= 0 && here + step < rows * columns) show(here + step);
  });
  const sliders = lead.map((n, axis) => {
    const slider = el("input", { type: "range", min: "0", max: String(n - 1), value: "0", "aria-label": `${label}, axis ${axis}` });
    const shown = el("span", null, `0 of ${n}`);
    slider.addEventListener("input", () => {
      at[axis] = +slider.value;
      shown.textContent = `${slider.value} of ${n}`;
      canvas.paint();
      if (here >= 0) show(here);
    });
    slider.addEventListener("keydown", event => event.stopPropagation());
    return n > 1 ? el("label", { class: "heat-axis" }, `axis ${axis}`, slider, shown) : null;
  });
  const frame = el("div", { class: "heat-frame" }, canvas, cursor);
  let marks = [];
  canvas.turn = flat => { // show the slice with an entry
    let left = Math.floor(flat / (rows * columns));
    for (let axis = lead.length - 1; axis >= 0; axis--) {
      at[axis] = left % lead[axis];
      left = Math.floor(left / lead[axis]);
      if (sliders[axis]) {
        sliders[axis].querySelector("input").value = at[axis];
        sliders[axis].querySelector("span").textContent = `${at[axis]} of ${lead[axis]}`;
      }
    }
    canvas.paint();
  };
  canvas.mark = places => { // outline entries; those in other slices are hidden
    for (const mark of marks) mark.remove();
    if (places.length) canvas.turn(places[0]);
    const first = start();
    marks = places.filter(place => place >= first && place < first + rows * columns).slice(0, 200).map(place => {
      const cell = place - first, r = Math.floor(cell / wide), c = cell % wide, mark = el("span", { class: "heat-mark", "aria-hidden": "true" });
      mark.style.cssText = `left:${(100 * c) / wide}%;top:${(100 * r) / high}%;width:${100 / wide}%;height:${100 / high}%`;
      return mark;
    });
    frame.append(...marks);
  };
  canvas.exact = heat.block[0] === 1 && heat.block[1] === 1;
  canvas.text = flat => negative(heat.texts[flat]);
  return [...sliders.filter(Boolean), frame, said];
}

// Paint the maps of a panel with one scale for values and one for gradients, and write the scale above the first map.
function shareScale(panel) {
  const maps = [...panel.querySelectorAll("canvas.heat")], kinds = ["values", "gradients", "shares"];
  if (!maps.length) return;
  const largest = kinds.map(kind => Math.max(...maps.filter(map => map.heat.kind === kind).map(map => map.heat.largest)));
  for (const map of maps) {
    map.heat.scale = largest[kinds.indexOf(map.heat.kind)] || 1;
    map.paint();
  }
  const ends = kinds.map((kind, i) => [kind, largest[i]]).filter(([, most]) => most > -Infinity).map(([kind, most]) => `±${tell(most)} in all maps of ${kind}`);
  const bar = el("canvas", { class: "key", "aria-hidden": "true" });
  bar.width = 64;
  bar.height = 1;
  const context = bar.getContext("2d"), image = context.createImageData(64, 1), dark = isDark();
  for (let i = 0; i < 64; i++) image.data.set([...heatColour((2 * i) / 63 - 1, dark), 255], 4 * i);
  context.putImageData(image, 0, 0);
  maps[0].closest("figure, .picture").before(el("p", { class: "scale" }, bar, ` Blue is negative, ${dark ? "black" : "white"} is 0, orange is positive; the full colour is ${ends.join(", ")} of this panel. Point at a cell, or go from cell to cell with the arrow keys, for index and number.`));
}
