// The panel beside the graph: what the step, or the chosen node, is about.

// A served page shows what was there before a change beside what is there now.
const beside = (view, kind, number, part) => (touch ? touch.beside(view, kind, number, part) : view);

function section(heading, ...children) {
  return el("section", null, el("h3", null, heading), ...children);
}

function formula(left, sign, right) {
  const element = math("math", math("mrow", ...(left ? [left] : []), ...(sign ? [math("mo", sign)] : []), ...[right].flat()));
  element.setAttribute("display", "block");
  return el("div", { class: "scroll formula", role: "group", "aria-label": "Equation" }, element);
}

// The same with numbers, and what comes of it: in the same line where that is short.
function worked(tree, known, index) {
  const right = equation(tree, known), array = arrays[index];
  if (index < 0 || !inline(array) || !array.rows.length) return [formula(null, "=", right)];
  if (array.rows.flat().length <= 2) return [formula(null, "=", [right, math("mo", "="), matrix(array)])];
  return [formula(null, "=", right), formula(null, "=", matrix(array))];
}

const letter = text => math("mi", text);
function barred(text) {
  const over = math("mover", letter(text), math("mo", "\u00af"));
  over.setAttribute("accent", "true");
  return over;
}

// What may stand for the letters of an operation's equations: its small operands, result and gradient.
function numbersOf(number, gradient) {
  const node = nodes[number], known = new Map();
  const put = (name, index) => {
    if (name && index >= 0 && inline(arrays[index]) && arrays[index].rows.length) known.set(name, () => matrix(arrays[index]));
  };
  for (const e of graph.into[number]) put(node.symbols[edges[e][2]], nodes[edges[e][0]].value);
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
  const tree = data.equations[node.equation], known = numbersOf(number);
  known.delete("out");
  return [formula(letter("out"), "=", equation(tree)), ...(uses(tree, known) ? worked(tree, known, node.value) : [])];
}

const ruleOf = (number, slot) => {
  const { rules, symbols } = nodes[number];
  return symbols.length || rules.length !== 1 ? rules[slot] ?? -1 : rules[0];
};

function operandName(number, slot) {
  return nodes[number].symbols[slot] || `operand ${slot}`;
}

function operands(number) {
  return graph.into[number].map(e => {
    const [source, , slot] = edges[e];
    return section(el("span", null, operandName(number, slot), " = ", link(source)), beside(arrayView(arrays[nodes[source].value], nodes[source].named), "was", source, 0));
  });
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
  for (const part of detail.querySelectorAll(".scroll")) if (part.scrollWidth > part.clientWidth) part.tabIndex = 0; // to be moved by keys
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
    section("out, the result", beside(arrayView(arrays[value], "result"), "was", node, 0)),
    ...operands(node),
  ];
}

function seedPanel({ node, gradient }) {
  return [
    ...heading("Backward begins", nodes[node].named, "backward"),
    el("p", null, "How the result changes with itself. From here each rule carries the gradient one operation further back."),
    section("g, the gradient here", arrayView(arrays[gradient], "gradient")),
  ];
}

function backwardPanel({ node, gradient, carries }) {
  const content = [
    ...heading("Backward", `through ${nodes[node].named}`, "backward"),
    el("p", { class: "muted" }, nodes[node].operation),
    section("g, the gradient here", beside(arrayView(arrays[gradient], "gradient"), "was", node, 1)),
  ];
  for (const [e, array, sum, count, summed] of carries) {
    const [source, , slot] = edges[e], rule = ruleOf(node, slot), name = operandName(node, slot);
    const parts = [el("p", { class: "to" }, "to ", link(source), ` (${name})`)];
    if (rule >= 0) {
      const tree = data.equations[rule], known = numbersOf(node, gradient);
      const left = nodes[node].symbols[slot] ? barred(nodes[node].symbols[slot]) : null;
      parts.push(formula(left, left && (count > 1 ? "+=" : "="), equation(tree)));
      if (uses(tree, known)) parts.push(...worked(tree, known, summed ? -1 : array));
    } else parts.push(el("p", { class: "muted" }, "This operation has no gradient in this operand: zeros."));
    if (summed) parts.push(el("p", { class: "muted" }, `summed over the axes along which ${name} was broadcast`));
    parts.push(el("h4", null, "contribution"), beside(arrayView(arrays[array], "contribution"), "carried", e, 0));
    if (count > 1) parts.push(el("h4", null, `sum of ${count} contributions`), beside(arrayView(arrays[sum], "sum so far"), "carried", e, 1));
    content.push(el("section", { class: "carried" }, ...parts));
  }
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
  const shown = leaves.slice(0, 24).map(n => section(link(n), beside(arrayView(arrays[nodes[n].gradient], "gradient"), "was", n, 1)));
  if (leaves.length > 24) shown.push(el("p", { class: "muted" }, `and ${leaves.length - 24} more`));
  return [...heading("Done", "The gradients", "backward"), ...shown];
}

function nodePanel(number, state) {
  const node = nodes[number], gradient = state.gradients[number];
  const content = [
    ...heading(node.kind, node.named, node.kind),
    el("p", { class: "muted" }, [node.operation, node.shape, node.metadata, node.scope && `in ${node.scope}`].filter(Boolean).join(" · ")),
    ...forwardEquation(number),
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
    const lines = rules.map(([[source, , slot], rule]) => {
      const name = nodes[number].symbols[slot];
      return formula(name ? barred(name) : null, name ? "=" : null, equation(data.equations[rule]));
    });
    content.push(section("Rules", ...(node.symbols.length ? lines : lines.slice(0, 1))));
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
