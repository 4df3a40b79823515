// The panel of one sample: the numbers of a step forward or backward, as a sentence and as a table.
const sample = (() => {
  const get = id => document.getElementById(id);
  let state, numbers = null, asked = 0;

  function set(next) {
    state = next;
    get("row").max = state.data.rows;
    get("row").value = state.view.row + 1;
    get("explorer").href = server.download("/explorer");
    ask();
  }
  async function ask() {
    const mine = ++asked;
    let found;
    try {
      found = await server.ask("/sample");
    } catch { return; } // the loop of frames shows the error
    if (mine !== asked) return;
    numbers = found;
    show();
  }

  function show() {
    if (!numbers || numbers.layers.length !== state.layers.length) return;
    const { moment } = state.view, depth = state.layers.length, last = 2 * depth + 1;
    get("first").disabled = get("back").disabled = moment === 0;
    get("next").disabled = get("last").disabled = moment >= last;
    network.show(numbers, moment);
    const [text, head, columns, names, gradient] = step(moment, depth);
    get("moment").textContent = `${moment + 1} of ${last + 1}. ${text}`;
    table(head, columns, names, gradient);
    digit();
  }

  // Draw a handwritten digit with pixels from 0 to 16.
  function digit() {
    const canvas = get("digit");
    canvas.hidden = state.choices.dataset !== "digits";
    if (canvas.hidden) return;
    canvas.width = canvas.height = 8;
    const context = canvas.getContext("2d"), image = context.createImageData(8, 8);
    numbers.given.forEach((ink, k) => image.data.set([0, 0, 0, Math.round(255 * ink / 16)], 4 * k));
    context.putImageData(image, 0, 0);
    canvas.setAttribute("aria-label", `The handwritten digit of row ${numbers.row + 1}, a ${numbers.target}`);
  }

  // The sentence of a moment, and the columns of its table.
  function step(moment, depth) {
    const n = numbers, part = n.test ? "to test on" : "to train on";
    if (moment === 0) return [`Row ${n.row + 1}, ${part}, goes in; its ${state.data.target} is ${n.target}.`, ["input", "given", "x"], [n.given, n.x], n.features, []];
    if (moment <= depth) {
      const layer = n.layers[moment - 1], before = moment === 1 ? "x" : "a";
      const f = layer.activation === "linear" ? "a = z" : `a = ${layer.activation}(z)`;
      const says = moment === depth ? ` It says ${n.said}.` : "";
      return [`Forward through layer ${moment}: z = ${before} Wᵀ + b, ${f}.${says}`, ["neuron", "z", "a"], [layer.z, layer.a], named(moment), []];
    }
    if (moment === depth + 1) {
      const target = state.data.kind === "classification" ? n.classes.map(name => name === n.target ? 1 : 0) : null;
      return [`The network says ${n.said} and the row’s ${state.data.target} is ${n.target}, so the loss is ${short(n.loss)}.`, ["neuron", "says", ...(target ? ["should"] : [])], [n.layers[depth - 1].a, ...(target ? [target] : [])], named(depth), []];
    }
    const k = 2 * depth + 2 - moment, layer = n.layers[k - 1];
    const into = k === depth ? "from the loss" : `from layer ${k + 1}`;
    const text = `Back through layer ${k}, ${into}: ∂L/∂W has the size ${short(layer.dW, 3)}, ∂L/∂b ${short(layer.db, 3)}.`;
    const more = k === 1 ? ` What arrives at the input: ${n.dx.slice(0, 4).map(v => short(v, 3)).join(", ")}${n.dx.length > 4 ? ", …" : ""}.` : "";
    return [text + more, ["neuron", ...(layer.da ? ["∂L/∂a"] : []), "∂L/∂z"], [...(layer.da ? [layer.da] : []), layer.dz], named(k), [1, 2]];
  }
  function named(k) {
    const last = k === state.layers.length && state.data.classes.length;
    return Array.from({ length: state.layers[k - 1].width }, (_, i) => last ? state.data.classes[i] : String(i + 1));
  }

  function table(head, columns, names, gradient) {
    const all = document.createElement("table"), body = document.createElement("tbody"), top = document.createElement("tr");
    head.forEach((text, k) => {
      const th = document.createElement("th");
      th.scope = "col";
      th.textContent = text;
      if (gradient.includes(k)) th.className = "grad";
      top.append(th);
    });
    body.append(top);
    const told = columns[0].length;
    for (let i = 0; i < told; i++) {
      const row = document.createElement("tr"), th = document.createElement("th");
      th.scope = "row";
      th.textContent = names[i];
      row.append(th);
      columns.forEach((values, k) => {
        const td = document.createElement("td");
        td.textContent = short(values[i]);
        if (gradient.includes(k + 1)) td.className = "grad";
        row.append(td);
      });
      body.append(row);
    }
    all.append(body);
    const width = names.length, rest = document.createElement("p");
    rest.className = "muted";
    rest.textContent = width > told ? `${width - told} more are not shown.` : "";
    get("moment-numbers").replaceChildren(all, rest);
  }

  const go = moment => page.look({ moment: Math.max(0, Math.min(2 * state.layers.length + 1, moment)) });
  get("first").onclick = () => go(0);
  get("back").onclick = () => go(state.view.moment - 1);
  get("next").onclick = () => go(state.view.moment + 1);
  get("last").onclick = () => go(2 * state.layers.length + 1);
  get("row").onchange = event => page.look({ row: Math.round(Number(event.target.value)) - 1 });
  return { set, ask, go, moment: () => state.view.moment, row: by => page.look({ row: (state.view.row + by + state.data.rows) % state.data.rows }) };
})();
