// The settings: each control shows the server's state, and requests changes from the server.
const controls = (() => {
  const get = id => document.getElementById(id);
  const NUMBERS = { rows: "rows", noise: "noise", seed: "seed", "learning-rate": "learning_rate", "batch-size": "batch_size", lam: "lam", dropout: "dropout" };
  const NAMES = { dataset: "dataset", target: "target", kind: "kind", missing: "missing", optimizer: "optimizer", regularization: "regularization" };
  let state;

  function fill(select, pairs, value) {
    const wanted = pairs.map(pair => pair.join("\n")).join("\n\n");
    if (select.dataset.filled !== wanted) {
      select.replaceChildren(...pairs.map(([key, text]) => new Option(text, key)));
      select.dataset.filled = wanted;
    }
    select.value = value;
  }
  const same = names => names.map(name => [name, name]);
  const typed = new Set(); // inputs that the user is typing in; answers to other requests do not overwrite them
  const put = (id, value) => { if (!typed.has(id)) get(id).value = value; };

  function set(next) {
    state = next;
    const { choices, known, data, table } = state;
    fill(get("dataset"), Object.entries(known.datasets).filter(([key]) => key !== "table" || table), choices.dataset);
    fill(get("optimizer"), same(known.optimizers), choices.optimizer);
    fill(get("regularization"), same(known.regularizations), choices.regularization);
    fill(get("kind"), same(known.kinds), choices.kind);
    fill(get("missing"), known.missing.map(name => [name, { refuse: "are refused", drop: "drop the row" }[name] || `the ${name}`]), choices.missing);
    fill(get("pace"), Object.entries(known.paces), state.pace);
    for (const [id, name] of Object.entries(NUMBERS)) put(id, choices[name]);
    put("train-size", Math.round(1000 * choices.train_size) / 10);
    get("lam").disabled = choices.regularization === "none";
    for (const part of document.querySelectorAll(".generated")) part.hidden = !["moons", "spirals", "three spirals"].includes(choices.dataset);
    const own = document.querySelector(".table");
    own.hidden = !table;
    if (table) {
      get("table-name").textContent = table.name;
      fill(get("target"), same(table.columns), table.columns.includes(choices.target) ? choices.target : table.columns[table.columns.length - 1]);
      columns(table, choices);
    }
    const what = data.kind === "classification" ? `${data.classes.length} classes of “${data.target}”` : `the number “${data.target}”`;
    get("about").textContent = `${data.name}: ${data.rows.toLocaleString("en")} rows of ${data.inputs} numbers, ${what}; ${data.train.toLocaleString("en")} to train on, ${data.test.toLocaleString("en")} to test on.${data.notes.map(note => ` ${note}.`).join("")}`;
    layers(choices.hidden);
    axes();
    get("save").href = server.download("/network");
    get("export").href = server.download("/script");
    const score = data.kind === "classification" ? "Accuracy" : "R²";
    get("score-name").textContent = get("score-title").textContent = score;
    get("test-score-name").textContent = `Test ${score === "R²" ? score : score.toLowerCase()}`;
  }

  function columns(table, choices) {
    const target = get("target").value, key = JSON.stringify([table, target, choices.leave_out]);
    if (get("columns").dataset.filled === key) return;
    get("columns").dataset.filled = key;
    get("columns").replaceChildren(...table.columns.filter(name => name !== target).map(name => {
      const label = document.createElement("label"), box = document.createElement("input");
      box.type = "checkbox";
      box.checked = !choices.leave_out.includes(name);
      box.onchange = () => page.choose({ dataset: "table", target, leave_out: box.checked ? state.choices.leave_out.filter(other => other !== name) : [...state.choices.leave_out, name] });
      label.append(box, name);
      return label;
    }));
  }

  function layers(hidden) {
    const key = JSON.stringify(hidden), place = get("layers");
    if (place.dataset.filled === key) return;
    const focus = place.contains(document.activeElement) ? document.activeElement.id : "";
    place.dataset.filled = key;
    place.replaceChildren(...hidden.map(([width, name], k) => {
      const row = document.createElement("div"), wide = document.createElement("input"), kind = document.createElement("select"), gone = document.createElement("button");
      row.className = "layer";
      Object.assign(wide, { type: "number", min: 1, max: 256, step: 1, value: width, id: `width-${k}` });
      kind.id = `activation-${k}`;
      fill(kind, same([...new Set([...state.known.activations, name])]), name);
      Object.assign(gone, { type: "button", textContent: "×", id: `remove-${k}` });
      gone.setAttribute("aria-label", `Remove layer ${k + 1}`);
      const change = () => page.choose({ hidden: hidden.map((layer, i) => i === k ? [Number(wide.value), kind.value] : layer) });
      wide.onchange = kind.onchange = change;
      gone.onclick = () => page.choose({ hidden: hidden.filter((_, i) => i !== k) });
      row.append(label(`Layer ${k + 1}`, wide), label("Activation", kind), gone);
      return row;
    }));
    if (focus) (get(focus) || get("add")).focus();
  }
  function label(text, control) {
    const part = document.createElement("label");
    part.append(text, control);
    return part;
  }

  function axes() {
    const names = state.data.features, main = state.main, [across, up] = state.axes.map(axis => axis.name);
    const several = names.length > 1;
    for (const [id, k, value] of [["across", 0, across], ["up", 1, up]]) {
      const pairs = names.slice(0, 200).map(name => [name, name]);
      if (names.length > 2) pairs.unshift([main[k], main[k]]);
      fill(get(id), pairs, value);
      get(id).disabled = !several;
    }
  }
  function look(changed) {
    const chosen = { across: get("across").value, up: get("up").value }, main = state.main, names = state.data.features;
    const other = changed === "across" ? "up" : "across", usual = { across: names[0], up: names[1] };
    // the two principal components can only be chosen together
    if (main.includes(chosen[changed])) chosen[other] = main[changed === "across" ? 1 : 0];
    else if (main.includes(chosen[other])) chosen[other] = usual[other] === chosen[changed] ? names.find(name => name !== chosen[changed]) : usual[other];
    page.look(chosen);
  }

  for (const [id, name] of Object.entries(NUMBERS)) get(id).onchange = event => page.choose({ [name]: event.target.value === "" ? null : Number(event.target.value) });
  for (const [id, name] of Object.entries(NAMES)) {
    get(id).onchange = event => page.choose({ [name]: event.target.value, ...(["target", "kind", "missing"].includes(name) ? { dataset: "table", target: get("target").value } : {}), ...(name === "target" ? { leave_out: [] } : {}) });
  }
  get("train-size").onchange = event => page.choose({ train_size: Number(event.target.value) / 100 });
  get("add").onclick = () => page.choose({ hidden: [...state.choices.hidden, state.choices.hidden[state.choices.hidden.length - 1] || [8, "tanh"]] });
  get("across").onchange = () => look("across");
  get("up").onchange = () => look("up");
  get("settings").addEventListener("input", event => typed.add(event.target.id));
  for (const over of ["change", "focusout"]) get("settings").addEventListener(over, event => typed.delete(event.target.id), true);
  get("settings").onsubmit = event => event.preventDefault();
  get("file").onchange = async event => {
    const [file] = event.target.files;
    if (!file) return;
    if (file.size > 10_000_000) { page.wrong(`${file.name} has ${file.size.toLocaleString("en")} bytes; the playground takes 10,000,000.`); return; }
    const bytes = new Uint8Array(await file.arrayBuffer());
    let text = "";
    for (let k = 0; k < bytes.length; k += 0x8000) text += String.fromCharCode(...bytes.subarray(k, k + 0x8000));
    await page.send("/table", { name: file.name, base64: btoa(text) });
    event.target.value = "";
  };
  return { set };
})();
