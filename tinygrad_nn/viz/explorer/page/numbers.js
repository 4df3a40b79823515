// Numbers and equations: arrays as tables or heat maps, MathML with the letters replaced by numbers.

const MATH = "http://www.w3.org/1998/Math/MathML";
const SVG = "http://www.w3.org/2000/svg";

function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function math(tag, ...children) {
  const element = document.createElementNS(MATH, tag);
  element.append(...children);
  return element;
}

// The tree of an equation as MathML. In place of letters stand names, or numbers where they are known.
function equation(tree, names, known) {
  const [tag, attributes, ...children] = tree;
  if (tag === "whole") return equation(children[0], names, known);
  if (tag === "mi" && !attributes.mathvariant) {
    for (const found of [known, names]) if (found && found.has(children[0])) return found.get(children[0])();
  }
  if (tag === "mspace" && known) return math("mo", "\u00b7"); // 3 times 4 must not read as 34
  const element = document.createElementNS(MATH, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  const indexed = tag === "msub" || tag === "msubsup";
  children.forEach((child, i) => {
    if (typeof child === "string") element.append(child);
    else element.append(equation(child, names, indexed && i === 0 ? null : known)); // x_i is one entry, not all of x
  });
  return element;
}

const negative = text => text.replaceAll("-", "\u2212");

// A small array as MathML: a number, or a matrix in brackets.
function matrix(array) {
  const bare = array.shape === "scalar";
  if (bare) {
    const text = array.rows[0][0];
    const number = math("mn", negative(text));
    return text.startsWith("-") || text.includes("e") ? math("mrow", math("mo", "("), number, math("mo", ")")) : number;
  }
  const rows = array.rows.map(row => math("mtr", ...row.map(n => math("mtd", math("mn", negative(n))))));
  const table = math("mtable", ...rows);
  table.setAttribute("class", "matrix"); // its brackets are drawn by the style: not every font has ones that grow
  return table;
}

const inline = array => array.rows && array.rows.length <= 4 && array.rows.length * (array.rows[0] || []).length <= 16;

// An array on its own: a table of numbers, or a heat map; with shape and summary.
function arrayView(array, label) {
  const figure = el("figure", { class: "array" });
  if (array.heat) {
    const canvas = el("canvas", { class: "heat", role: "img", "aria-label": `${label}: ${array.shape}, ${array.summary}` });
    paintHeat(canvas, array.heat);
    figure.append(canvas, heatKey(array.heat));
  } else if (array.rows.length) {
    const table = el("table", { class: "numbers", "aria-label": label });
    for (const row of array.rows) table.append(el("tr", null, ...row.map(n => el("td", null, negative(n)))));
    figure.append(el("div", { class: "scroll", role: "group", "aria-label": label }, table));
  }
  const words = array.summary ? `${array.shape} · ${negative(array.summary)}` : array.shape;
  figure.append(el("figcaption", null, words));
  return figure;
}

// From blue through white (or black) to orange, which the colour-blind can tell apart; NaN is striped grey.
function heatColour(byte, dark) {
  if (byte === 0) return [128, 128, 128];
  const t = (byte - 128) / 127, s = Math.abs(t);
  const zero = dark ? [24, 29, 36] : [247, 247, 245], end = t < 0 ? (dark ? [86, 180, 233] : [0, 90, 160]) : (dark ? [255, 160, 64] : [200, 80, 0]);
  return zero.map((z, i) => Math.round(z + (end[i] - z) * s));
}

function paintHeat(canvas, heat) {
  const bytes = Uint8Array.from(atob(heat.bytes), c => c.charCodeAt(0));
  canvas.width = heat.columns;
  canvas.height = heat.rows;
  const scale = Math.max(2, Math.min(14, Math.floor(300 / heat.columns), Math.floor(220 / heat.rows) || 2));
  canvas.style.width = `${heat.columns * scale}px`;
  canvas.style.height = `${heat.rows * Math.max(scale, heat.rows === 1 ? 14 : 0)}px`;
  const context = canvas.getContext("2d"), image = context.createImageData(heat.columns, heat.rows);
  const dark = isDark();
  bytes.forEach((byte, i) => image.data.set([...heatColour(byte, dark), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

function heatKey(heat) {
  const bar = el("canvas", { class: "key", "aria-hidden": "true" });
  bar.width = 64;
  bar.height = 1;
  const context = bar.getContext("2d"), image = context.createImageData(64, 1), dark = isDark();
  for (let i = 0; i < 64; i++) image.data.set([...heatColour(1 + Math.round((254 * i) / 63), dark), 255], 4 * i);
  context.putImageData(image, 0, 0);
  return el("div", { class: "heat-key", "aria-hidden": "true" }, "\u2212" + heat.largest, bar, heat.largest);
}

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
