// Numbers and equations: arrays as tables or heat maps, MathML with the letters replaced by numbers.

const MATH = "http://www.w3.org/1998/Math/MathML";

function math(tag, ...children) {
  const element = document.createElementNS(MATH, tag);
  element.append(...children);
  return element;
}

// The tree of an equation as MathML; letters are replaced by names, or by numbers if these are known.
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
  table.setAttribute("class", "matrix"); // CSS draws the brackets, as not every font has stretchable ones
  return table;
}

const inline = array => array.rows && array.rows.length <= 4 && array.rows.length * (array.rows[0] || []).length <= 16;

// An array as a table of numbers or a heat map, with shape and summary.
function arrayView(array, label) {
  const figure = el("figure", { class: "array" });
  if (array.heat) figure.append(...heatView(array, label));
  else if (array.rows.length) {
    const table = el("table", { class: "numbers", "aria-label": label });
    const places = indices(array.shape);
    for (const row of array.rows) table.append(el("tr", null, ...row.map(n => el("td", { title: places.next().value }, negative(n)))));
    figure.append(el("div", { class: "scroll", role: "group", "aria-label": label }, table));
  }
  const words = array.summary ? `${array.shape} · ${negative(array.summary)}` : array.shape;
  figure.append(el("figcaption", null, words));
  return figure;
}

// The indices of an array's entries, in their order.
function* indices(shape) {
  const sizes = shape === "scalar" ? [] : shape.split(" × ").map(Number), total = sizes.reduce((a, b) => a * b, 1);
  for (let i = 0; i < total; i++) {
    let left = i;
    const index = sizes.slice().reverse().map(size => {
      const at = left % size;
      left = (left - at) / size;
      return at;
    });
    yield index.length ? `[${index.reverse().join(", ")}]` : "a single number";
  }
}

function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
