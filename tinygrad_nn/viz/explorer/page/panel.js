// The panel beside the graph: details of the step or of the chosen node.

// A served page shows the values before a change beside the present ones.
const beside = (view, kind, number, part) => (touch ? touch.beside(view, kind, number, part) : view);

function section(heading, ...children) {
  return el("section", null, el("h3", null, heading), ...children);
}

function formula(left, sign, right) {
  const element = math("math", math("mrow", ...(left ? [left] : []), ...(sign ? [math("mo", sign)] : []), ...[right].flat()));
  element.setAttribute("display", "block");
  return el("div", { class: "scroll formula", role: "group", "aria-label": "Equation" }, element);
}

// The equation with numbers, and its result: in the same line if that is short.
function worked(tree, names, known, index) {
  const right = equation(tree, names, known), array = arrays[index];
  const sign = tree[0] === "whole" ? null : "=";
  if (index < 0 || !inline(array) || !array.rows.length) return [formula(null, sign, right)];
  if (array.rows.flat().length <= 2) return [formula(null, sign, [right, math("mo", "="), matrix(array)])];
  return [formula(null, sign, right), formula(null, "=", matrix(array))];
}

const letter = text => math("mi", text);

// The name of a value in an equation, with a bar for its gradient; `whole` shows the full name, not only its last part.
function symbol(number, { bar = false, whole = false } = {}) {
  const node = nodes[number], over = part => {
    if (!bar) return part;
    const mover = math("mover", part, math("mo", "\u00af"));
    mover.setAttribute("accent", "true");
    mover.setAttribute("class", "bar"); // CSS draws the bar, as it is hardly visible in some fonts
    return mover;
  };
  if (node.small && !bar) {
    const minus = node.title.startsWith("-");
    return minus ? math("mrow", math("mo", "("), math("mn", negative(node.title)), math("mo", ")")) : math("mn", node.title);
  }
  if (Array.isArray(node.letter)) return math("msub", over(letter(node.letter[0])), math("mn", String(number)));
  return over(letter(whole ? node.named : node.letter));
}

// The replacements of the letters in an operation's equations: the names of its operands, result and gradient.
function namesOf(number) {
  const into = graph.into[number].slice(0, data.most), around = [number, ...into.map(e => edges[e][0])];
  const alike = n => !Array.isArray(nodes[n].letter) && around.some(m => m !== n && nodes[m].letter === nodes[n].letter);
  const name = (n, bar) => () => symbol(n, { bar, whole: alike(n) });
  const names = new Map([["out", name(number)], ["g", name(number, true)]]);
  for (const e of into) {
    const [source, , slot] = edges[e];
    if (nodes[number].symbols[slot]) names.set(nodes[number].symbols[slot], name(source));
  }
  return { names, of: name };
}

// The derivative of the result in a value.
function slope(name) {
  return math("mfrac", math("mrow", math("mi", "\u2202"), letter(data.result)), math("mrow", math("mi", "\u2202"), name));
}

const inText = (...parts) => math("math", math("mrow", ...parts));

// The meaning of a bar, with a value of this step as the example.
function barWords(number, { of }) {
  const ends = data.outputs.map(n => nodes[n].named).join(", "), seeds = data.seeds.map(([, gradient]) => ({ gradient }));
  const ones = seeds.every(({ gradient }) => (arrays[gradient].rows || []).flat().every(text => text === "1") && arrays[gradient].rows || arrays[gradient].brief === "all 1");
  const scalar = data.outputs.length === 1 && arrays[nodes[data.outputs[0]].value].shape === "scalar";
  const what = !ones ? `${ends}, each entry times the gradient that the backward pass begins with` : scalar ? ends : `the sum of all entries of ${ends}`;
  return el("p", { class: "where" }, "A bar marks a gradient: ", inText(of(number, true)(), math("mo", "="), slope(of(number)())),
    " is how much ", inText(letter(data.result)), " grows with ", inText(of(number)()), ". ", ...(what === data.result ? [] : [inText(letter(data.result)), ` is ${what}.`]));
}

// The values that the letters with a number stand for.
function letterWords(numbers) {
  const given = [...new Set(numbers)].filter(n => Array.isArray(nodes[n].letter) && !nodes[n].small);
  return given.length ? [el("p", { class: "where" }, ...given.flatMap((n, i) => [i ? ", " : "", inText(symbol(n)), " is ", link(n)]))] : [];
}

// The numbers that replace letters in an operation's equations: those of small operands, result and gradient.
function numbersOf(number, gradient) {
  const node = nodes[number], known = new Map();
  const put = (name, index) => {
    if (name && index >= 0 && inline(arrays[index]) && arrays[index].rows.length) known.set(name, () => matrix(arrays[index]));
  };
  for (const e of graph.into[number].slice(0, data.most)) put(node.symbols[edges[e][2]], nodes[edges[e][0]].value);
  put("out", node.value);
  if (gradient !== undefined) put("g", gradient);
  return known;
}

function uses(tree, known) {
  return typeof tree !== "string" && (tree[0] === "mi" && known.has(tree[2]) || tree.slice(2).some(part => uses(part, known)));
}

function forwardEquation(number) {
  const node = nodes[number];
  if (node.equation < 0) return [];
  const tree = data.equations[node.equation], known = numbersOf(number), { names, of } = namesOf(number);
  const whole = tree[0] === "whole";
  if (!whole) known.delete("out");
  const sources = graph.into[number].slice(0, data.most).map(e => edges[e][0]);
  return [formula(whole ? null : of(number)(), whole ? null : "=", equation(tree, names)), ...(uses(tree, known) && !whole ? worked(tree, names, known, node.value) : []),
    ...letterWords([number, ...sources])];
}

const ruleOf = (number, slot) => nodes[number].rules[slot] ?? (nodes[number].rules.length === 1 && !nodes[number].symbols.length ? nodes[number].rules[0] : -1);

const andMore = list => list.length > data.most ? [el("p", { class: "muted" }, fill(data.phrases.rest, { number: list.length - data.most }))] : [];

function operands(number) {
  const into = graph.into[number], shown = into.slice(0, data.most).map(e => {
    const [source] = edges[e];
    return section(link(source), beside(arrayView(arrays[nodes[source].value], nodes[source].named), "was", source, 0));
  });
  return [...shown, ...andMore(into)];
}

function link(number) {
  const button = el("button", { class: "link", type: "button" }, nodes[number].named);
  button.addEventListener("click", () => choose(number));
  return button;
}

function showPanel(state) {
  $("follow-row").hidden = chosen === null;
  const detail = $("detail");
  const moment = moments[step];
  const number = chosen;
  const content = number !== null ? nodePanel(number, state) : moment.phase === "forward" ? forwardPanel(moment) :
    moment.phase === "backward" ? backwardPanel(moment) : moment.phase === "seed" ? seedPanel(moment) : edgePanel(moment);
  detail.replaceChildren(...content);
  shareScale(detail);
  for (const part of detail.querySelectorAll(".scroll, .where, .to, h3")) if (part.scrollWidth > part.clientWidth) part.tabIndex = 0; // scrollable by keyboard
}

function heading(words, name, kind) {
  return [el("p", { class: `phase ${kind}` }, words), el("h2", null, name)];
}

function forwardPanel({ node }) {
  const { named, operation, metadata, value } = nodes[node];
  return [
    ...heading("Forward", named, "forward"),
    el("p", { class: "muted" }, operation + (metadata ? ` · ${metadata}` : "")),
    ...forwardEquation(node),
    ...picturesOf(node),
    section(el("span", null, inText(symbol(node)), ", the result"), beside(arrayView(arrays[value], "result"), "was", node, 0)),
    ...operands(node),
  ];
}

function seedPanel({ node, gradient }) {
  return [
    ...heading("Backward begins", nodes[node].named, "backward"),
    barWords(node, namesOf(node)),
    el("p", null, "Here: how the result changes with itself. From here each rule carries the gradient one operation further back."),
    section(el("span", null, inText(symbol(node, { bar: true })), ", the gradient here"), arrayView(arrays[gradient], "gradient")),
  ];
}

function backwardPanel({ node, gradient, carries }) {
  const { names, of } = namesOf(node);
  const content = [
    ...heading("Backward", `through ${nodes[node].named}`, "backward"),
    el("p", { class: "muted" }, nodes[node].operation),
    barWords(node, { of }),
    section(el("span", null, inText(of(node, true)()), ", the gradient here"), beside(arrayView(arrays[gradient], "gradient"), "was", node, 1)),
  ];
  const picture = picturesOf(node, true);
  const known = numbersOf(node, gradient);
  for (const [e, array, sum, count, summed] of carries.slice(0, data.most)) {
    const [source, , slot] = edges[e], rule = ruleOf(node, slot);
    const parts = [el("p", { class: "to" }, "to ", link(source), ": ", inText(of(source, true)(), math("mo", "="), slope(of(source)())))];
    if (rule >= 0) {
      const tree = data.equations[rule];
      parts.push(formula(of(source, true)(), count > 1 ? "+=" : "=", equation(tree, names)));
      if (uses(tree, known)) parts.push(...worked(tree, names, known, summed ? -1 : array));
    } else parts.push(el("p", { class: "muted" }, "This operation has no gradient in this operand: zeros."));
    if (summed) parts.push(el("p", { class: "muted" }, `summed over the axes along which ${nodes[source].named} was broadcast`));
    parts.push(el("h4", null, "contribution"), beside(arrayView(arrays[array], "contribution"), "carried", e, 0));
    if (count > 1) parts.push(el("h4", null, `sum of ${count} contributions`), beside(arrayView(arrays[sum], "sum so far"), "carried", e, 1));
    content.push(el("section", { class: "carried" }, ...parts));
  }
  content.push(...andMore(carries), ...picture, ...letterWords([node, ...carries.slice(0, data.most).map(([e]) => edges[e][0])]));
  return content;
}

function edgePanel({ phase, text }) {
  if (phase === "start") {
    return [
      ...heading("Start", document.title, "forward"),
      el("p", null, text.replace("Start: ", "")),
      el("p", null, "Press Play, or step with the arrow keys. Click a node to see its value, gradient and rule."),
    ];
  }
  const leaves = [...data.column.gradient.keys()].filter(n => data.column.gradient[n] >= 0 && data.kindOf(n).kind === "leaf");
  const shown = leaves.slice(0, data.most).map(n => section(link(n), beside(arrayView(arrays[nodes[n].gradient], "gradient"), "was", n, 1)));
  return [...heading("Done", "The gradients", "backward"), ...shown, ...andMore(leaves)];
}

function nodePanel(number, state) {
  const node = nodes[number], gradient = state.gradients[number];
  const content = [
    ...heading(node.role, node.named, node.kind),
    el("p", { class: "muted" }, [node.operation, node.shape, node.metadata, node.scope && `in ${node.scope}`].filter(Boolean).join(" · ")),
    ...forwardEquation(number),
    ...(state.reached[number] ? picturesOf(number) : []),
    section("Value", state.reached[number] ? beside(arrayView(arrays[node.value], "value"), "was", number, 0) : el("p", { class: "muted" }, "not yet computed at this step")),
  ];
  if (node.gradient >= 0) {
    const left = state.missing[number];
    const words = left && gradient >= 0 ? `Gradient so far, ${total[number] - left} of ${total[number]} contributions` : "Gradient";
    content.push(section(words, gradient >= 0 ? beside(arrayView(arrays[gradient], "gradient"), "was", left ? -1 : number, 1) : el("p", { class: "muted" }, "has not arrived at this step")));
  } else content.push(section("Gradient", el("p", { class: "muted" }, "none: the result does not depend on it, or it is a constant")));
  if (node.stored >= 0) content.push(section("Left in .grad by backward", arrayView(arrays[node.stored], ".grad")));
  const rules = graph.into[number].map(e => [edges[e], ruleOf(number, edges[e][2])]).filter(([, rule]) => rule >= 0);
  if (rules.length) {
    const { names, of } = namesOf(number);
    const lines = rules.slice(0, data.most).map(([[source], rule]) => formula(of(source, true)(), "=", [slope(of(source)()), math("mo", "="), equation(data.equations[rule], names)]));
    content.push(section("Rules", barWords(number, { of }), ...lines, ...andMore(rules)));
  }
  if (node.operation) {
    const [file, line, code] = node.line || [];
    content.push(section("Produced by", node.line ? el("p", null, `${file}:${line}`) : el("p", { class: "muted" }, "line not recorded; run it inside detect_anomaly() to have it here"),
      ...(code ? [el("pre", { class: "scroll" }, code)] : [])));
  }
  const list = (words, list) => section(words, list.length ? links(list) : el("p", { class: "muted" }, "none"));
  if (node.operation) content.push(list("Operands", graph.into[number].map(e => edges[e][0])));
  const consumers = list("Consumers", [...new Set(graph.outof[number].map(e => data.target[e]))]);
  consumers.id = "uses";
  content.push(consumers);
  return content;
}
