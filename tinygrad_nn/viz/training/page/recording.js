// The page of one or two recordings: the recorded numbers at the position of the slider.

const RUNS = DATA.runs, TWO = RUNS.length > 1;
const STEPS = [...new Set(RUNS.flatMap(run => run.moments.map(moment => moment[0])))].sort((a, b) => a - b);
// for each run and position: the index of its latest moment, -1 before the first
const MOMENT = RUNS.map(run => STEPS.map(step => run.moments.findLastIndex(moment => moment[0] <= step)));
const shows = []; // functions that are called when the slider moves
let place = 0, timer = null;

// The recorded values of an array at a moment, or null; `whole` decodes all moments once.
function valuesOf(array, moment) {
  if (!array || moment < 0) return null;
  const slot = array.kept.indexOf(moment);
  if (slot < 0) return null;
  array.whole ??= floatsOf(array.data);
  return array.whole.subarray(slot * array.size, (slot + 1) * array.size);
}

const minus = (b, a) => (a && b && a.length === b.length ? b.map((value, i) => value - a[i]) : null);
const largestOf = arrays => Math.max(0, ...arrays.filter(Boolean).map(array => array.largest));
const mostOf = values => (values ? values.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0) : 0);

function section(heading, words) {
  const body = el("div", { class: "body" });
  const part = el("section", { "aria-label": heading }, el("h2", null, heading), el("p", { class: "words" }, words), body);
  $("sections").append(part);
  return body;
}

// Figures of all runs side by side, and of their difference.
function beside(host, caption, figures) {
  const row = el("div", { class: TWO ? "row two" : "row" });
  figures.forEach(([name, element]) => row.append(el("figure", null, ...(name ? [el("figcaption", null, name)] : []), element)));
  host.append(el("div", { class: "item" }, ...(caption ? [el("h3", null, caption)] : []), row));
}

const nameOf = r => (TWO ? RUNS[r].name : "");
const DIFFERENCE = TWO ? `${RUNS[1].name} minus ${RUNS[0].name}` : "";
const scaleWords = largest => `The deepest blue is ${number(largest)}, the deepest orange ${number(-largest)}, at every step`;

function losses() {
  const curves = {};
  RUNS.forEach((run, r) => { curves[nameOf(r) || "loss of the batch"] = MOMENT[r].map((m, p) => (m >= 0 && run.moments[m][0] === STEPS[p] ? run.moments[m][2] : null)); });
  if (!Object.values(curves).flat().some(v => v !== null)) return;
  const positive = Object.values(curves).flat().every(v => v === null || v > 0);
  const flat = Object.values(curves).flat().filter(v => v !== null && Number.isFinite(v));
  const chart = new Chart("loss", curves, STEPS, positive && Math.max(...flat) > 50 * Math.min(...flat));
  const body = section("Loss", "Of the batch of each step, before its update. The axis goes by the steps that were kept.");
  const says = el("p", { class: "says" });
  body.append(chart.element, says);
  shows.push(() => {
    chart.show(place);
    says.textContent = RUNS.map((run, r) => {
      const m = MOMENT[r][place], moment = run.moments[m], epoch = moment && run.epochs.findLast(row => row.epoch <= moment[1] - (run.moments.at(-1) === moment ? 0 : 1));
      const all = epoch ? `; after epoch ${epoch.epoch} ${Object.entries(epoch).filter(([k]) => k !== "epoch").map(([k, v]) => `${k} ${number(v)}`).join(", ")}` : "";
      return `${TWO ? `${run.name}: ` : ""}${moment ? `loss ${number(moment[2])}${all}` : "not begun"}`;
    }).join(" · ");
    const [a, b] = RUNS.map((run, r) => run.moments[MOMENT[r][place]]?.[2] ?? null);
    if (TWO && a !== null && b !== null) says.textContent += ` · ${DIFFERENCE}: ${number(b - a)}`;
  });
}

function planes() {
  if (!RUNS.some(run => run.plane)) return;
  const both = TWO && RUNS.every(run => run.plane), first = RUNS.find(run => run.plane).plane;
  const same = both && ["grid", "outputs", "kind"].every(k => RUNS[0].plane[k] === RUNS[1].plane[k]) && ["low", "high"].every(k => RUNS[0].plane[k].every((v, i) => v === RUNS[1].plane[k][i]));
  const sure = first.kind === "classes" ? "Colours are classes, paler where the model is less sure; the line is where it decides; marks are data." : `What the model gives at each point: ${scaleWords(first.largest).toLowerCase()}; marks are data.`;
  const body = section("Decision boundary", sure);
  if (first.kind === "classes") body.append(el("p", { class: "key" }, ...first.words.map((word, k) => { const chip = el("span", { class: "class" }, el("i"), word); chip.firstChild.style.background = `rgb(${classColour(k)})`; return chip; })));
  const figures = [], drawings = [];
  RUNS.forEach((run, r) => {
    const drawing = run.plane && new Plane(run.plane, `${nameOf(r)} decision boundary`.trim());
    figures.push([nameOf(r), drawing ? drawing.element : el("p", { class: "says" }, "This recording has no plane.")]);
    drawings.push(drawing);
  });
  let gap = null;
  if (same) {
    gap = new Plane({ ...first, kind: "signed", outputs: 1, largest: 1, points: null, level: null }, DIFFERENCE);
    figures.push([DIFFERENCE, el("div", null, gap.element, el("p", { class: "says" }, first.outputs > 1 ? "Half the sum of the differences of all outputs: the deepest blue is 1." : "The deepest blue is 1, the deepest orange −1."))]);
  } else if (both) figures.push([DIFFERENCE, el("p", { class: "says" }, "The two were evaluated at different points, so there is no difference.")]);
  beside(body, "", figures);
  shows.push(() => {
    const values = RUNS.map((run, r) => valuesOf(run.plane, MOMENT[r][place]));
    drawings.forEach((drawing, r) => drawing && drawing.show(values[r]));
    const off = gap && minus(values[1], values[0]), k = first.outputs;
    if (gap) gap.show(off && (k === 1 ? off : Float32Array.from({ length: off.length / k }, (_, i) => off.subarray(i * k, (i + 1) * k).reduce((sum, v) => sum + Math.abs(v) / 2, 0))));
  });
}

// One array of each run as a map, and the difference.
function maps(host, caption, arrays, pick, where) {
  const figures = [], heats = [], shapes = arrays.map(array => array && `${array.rows} ${array.columns} ${array.shape}`);
  const largest = largestOf(arrays), words = scaleWords(largest);
  arrays.forEach((array, r) => {
    const heat = array && new Heat(array.rows, array.columns, `${nameOf(r)} ${caption}`.trim(), (i, j) => where(array, i, j));
    heats.push(heat);
    figures.push([nameOf(r), heat ? heat.element : el("p", { class: "says" }, "Not in this recording.")]);
  });
  const known = arrays.find(Boolean);
  const gap = TWO && shapes[0] === shapes[1] ? new Heat(known.rows, known.columns, `${caption}, ${DIFFERENCE}`, (i, j) => where(known, i, j)) : null;
  if (gap) figures.push([DIFFERENCE, gap.element]);
  else if (TWO) figures.push([DIFFERENCE, el("p", { class: "says" }, "The shapes differ, so there is no difference.")]);
  beside(host, `${caption} (${known.shape})`, figures);
  const scale = `${words}${known.note ? `; ${known.note}` : ""}.`;
  if (TWO) host.lastElementChild.append(el("p", { class: "says scale" }, scale));
  else heats[0].rest = scale;
  return () => {
    const values = arrays.map((array, r) => pick(array, MOMENT[r][place]));
    heats.forEach((heat, r) => heat && heat.show(values[r], largest, `from ${number(values[r] ? values[r].reduce((a, b) => Math.min(a, b), Infinity) : null)} to ${number(values[r] ? values[r].reduce((a, b) => Math.max(a, b), -Infinity) : null)}`));
    if (!gap) return;
    const off = minus(values[1], values[0]), most = mostOf(off);
    gap.rest = off ? `At this step the deepest colour is ${number(most)}.` : "Not kept by both at this step.";
    gap.show(off, most, `at most ${number(most)}`);
  };
}

// The arrays of a kind, paired between the two runs by name; activations of different names are paired by position.
function paired(kind) {
  const [a, b] = RUNS.map(run => run[kind]);
  if (!TWO) return Object.keys(a).map(name => [name, [a[name]]]);
  const names = Object.keys(a), others = Object.keys(b), strange = others.filter(name => !(name in a));
  const pairs = names.map(name => {
    const twin = name in b ? name : kind === "activations" && names.length === others.length ? others[names.indexOf(name)] : null;
    if (twin && twin !== name) strange.splice(strange.indexOf(twin), 1);
    return [twin && twin !== name ? `${name} / ${twin}` : name, [a[name], twin && b[twin]]];
  });
  return [...pairs, ...strange.map(name => [name, [null, b[name]]])];
}

function neurons() {
  const parts = paired("activations");
  if (!parts.length) return;
  const body = section("Neurons of one sample", "What each part of the model gives for one row of the data, with the weights of this step.");
  const choice = el("select", { id: "sample" }), about = el("p", { class: "says" });
  const samples = RUNS.find(run => run.samples.length).samples;
  samples.forEach((sample, i) => choice.append(el("option", { value: i }, `row ${sample.row}`)));
  const host = el("div", { class: TWO ? "" : "items" });
  body.append(el("p", { class: "choose" }, el("label", { for: "sample" }, "Sample "), choice), about, host);
  const where = (array, i, j) => { const at = i * array.columns + j; return at < array.size / array.samples ? `${array.word} ${at + 1}` : ""; };
  const draws = parts.map(([name, arrays]) => maps(host, name, arrays, (array, moment) => {
    const values = valuesOf(array, moment), each = array ? array.size / array.samples : 0, i = Number(choice.value);
    return values && i < array.samples ? values.subarray(i * each, (i + 1) * each) : null;
  }, where));
  const show = () => {
    const sample = samples[choice.value];
    about.textContent = `x: ${sample.x}${sample.y === null ? "" : ` · target: ${sample.y}`}${TWO && RUNS[1].samples.length && RUNS[1].samples[choice.value]?.x !== sample.x ? ` · in ${RUNS[1].name} x: ${RUNS[1].samples[choice.value]?.x ?? "none"}` : ""}`;
    draws.forEach(draw => draw());
  };
  choice.addEventListener("change", show);
  shows.push(show);
}

function flow() {
  const names = [...new Set(RUNS.flatMap(run => Object.keys(run.flow)))];
  if (!names.length) return;
  const body = section("Gradient flow", "The root mean square of the gradient of each weight: where it shrinks from the last layer to the first, the first hardly learns.");
  const rms = (r, name, p) => RUNS[r].flow[name]?.[MOMENT[r][p]] ?? null;
  const own = r => Object.fromEntries(names.filter(name => name in RUNS[r].flow).map(name => [name, STEPS.map((step, p) => (RUNS[r].moments[MOMENT[r][p]]?.[0] === step ? rms(r, name, p) : null))]));
  const charts = RUNS.map((_, r) => new Chart(`${nameOf(r)} gradients`.trim(), own(r), STEPS, true));
  const figures = charts.map((chart, r) => [nameOf(r), chart.element]);
  if (TWO) {
    const both = names.filter(name => RUNS.every(run => name in run.flow));
    const ratio = both.map(name => [name, STEPS.map((_, p) => { const [a, b] = [rms(0, name, p), rms(1, name, p)]; return a > 0 && b > 0 ? b / a : null; })]);
    if (ratio.length) {
      charts.push(new Chart("ratio of the gradients", Object.fromEntries(ratio), STEPS, true));
      figures.push([`${RUNS[1].name} over ${RUNS[0].name}`, charts.at(-1).element]);
    }
  }
  beside(body, "", figures);
  const cells = names.map(() => [...RUNS.map(() => el("td", { class: "number" })), ...(TWO ? [el("td", { class: "number" })] : [])]);
  const bars = names.map(() => RUNS.map(() => el("span", { class: "bar" })));
  const heads = ["weight", ...RUNS.map((_, r) => nameOf(r) || "gradient"), ...(TWO ? [`${RUNS[1].name} over ${RUNS[0].name}`] : [])];
  const table = el("table", null, el("thead", null, el("tr", null, ...heads.map((head, i) => el("th", { scope: "col", ...(i ? { class: "number" } : {}) }, head)))),
    el("tbody", null, ...names.map((name, i) => el("tr", null, el("th", { scope: "row" }, name), ...cells[i]))));
  body.append(el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Gradients at this step" }, table));
  const all = names.flatMap(name => RUNS.flatMap((run, r) => (run.flow[name] || []).filter(v => v > 0)));
  const low = Math.log10(Math.min(...all)) - 0.3, high = Math.log10(Math.max(...all));
  shows.push(() => {
    charts.forEach(chart => chart.show(place));
    names.forEach((name, i) => {
      const found = RUNS.map((_, r) => rms(r, name, place));
      found.forEach((value, r) => {
        bars[i][r].style.width = value > 0 && high > low ? `${Math.max(2, (90 * (Math.log10(value) - low)) / (high - low))}px` : "0";
        cells[i][r].replaceChildren(bars[i][r], number(value));
      });
      if (TWO) cells[i][2].textContent = found[0] > 0 && found[1] !== null ? number(found[1] / found[0]) : "–";
    });
  });
}

function weights() {
  const most = 12, kinds = { weights: paired("weights"), gradients: paired("gradients") };
  if (!kinds.weights.length) return;
  const body = section("Weights", "After the update of this step; gradients are those that made it. Rows lead to neurons, columns come from them.");
  const kind = el("select", { id: "kind" }, el("option", { value: "weights" }, "weights"), ...(kinds.gradients.length ? [el("option", { value: "gradients" }, "gradients")] : []));
  const part = el("select", { id: "part" }), host = el("div", { class: TWO ? "" : "items" });
  const partLabel = el("label", { for: "part" }, " Arrays ");
  body.append(el("p", { class: "choose" }, el("label", { for: "kind" }, "Show "), kind, partLabel, part), host);
  let draws = [];
  const where = (array, i, j) => array.where.length === 2 ? `${array.where[0]} ${i * array.block[0] + 1}, ${array.where[1]} ${j * array.block[1] + 1}` : i * array.columns + j < array.size ? `${array.where[0]} ${(i * array.columns + j) * array.block[1] + 1}` : "";
  const fill = () => {
    const start = Number(part.value || 0);
    host.replaceChildren();
    draws = kinds[kind.value].slice(start, start + most).map(([name, arrays]) => maps(host, name, arrays, valuesOf, where));
    draws.forEach(draw => draw());
  };
  const parts = () => {
    const names = kinds[kind.value].map(pair => pair[0]);
    part.replaceChildren();
    for (let start = 0; start < names.length; start += most) part.append(el("option", { value: start }, `${names[start]} … ${names[Math.min(names.length, start + most) - 1]}`));
    part.hidden = partLabel.hidden = names.length <= most;
    fill();
  };
  kind.addEventListener("change", parts);
  part.addEventListener("change", fill);
  parts();
  shows.push(() => draws.forEach(draw => draw()));
}

// -- The slider

function go(to) {
  place = Math.min(STEPS.length - 1, Math.max(0, to));
  const epochs = RUNS.map((run, r) => run.moments[MOMENT[r][place]]?.[1]).filter(epoch => epoch > 0);
  const words = `step ${STEPS[place]}${epochs.length ? `, epoch ${[...new Set(epochs)].join(" and ")}` : ""}`;
  $("slider").value = place;
  $("slider").setAttribute("aria-valuetext", words);
  $("now").textContent = words;
  $("late").textContent = RUNS.map((run, r) => [run, MOMENT[r][place]]).filter(([run, m]) => TWO && (m < 0 || run.moments[m][0] !== STEPS[place]))
    .map(([run, m]) => (m < 0 ? `${run.name} begins later` : `${run.name} kept step ${run.moments[m][0]} before it`)).join("; ");
  shows.forEach(show => show());
}

function play() {
  if (place === STEPS.length - 1) go(0);
  $("play").classList.add("on");
  $("play").lastElementChild.textContent = "Pause";
  timer = setInterval(() => {
    go(place + 1);
    if (place === STEPS.length - 1) pause();
  }, Number($("speed").value));
}

function pause() {
  clearInterval(timer);
  timer = null;
  $("play").classList.remove("on");
  $("play").lastElementChild.textContent = "Play";
}

const toggle = () => (timer === null ? play() : pause());
const jump = to => { pause(); go(to); };
if (matchMedia("(prefers-reduced-motion: reduce)").matches) $("speed").value = "1000";
$("slider").max = STEPS.length - 1;
$("slider").addEventListener("input", event => jump(Number(event.target.value)));
$("play").addEventListener("click", toggle);
$("back").addEventListener("click", () => jump(place - 1));
$("next").addEventListener("click", () => jump(place + 1));
$("speed").addEventListener("change", () => { if (timer !== null) { pause(); play(); } });
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target, tag = target.tagName;
  if (tag === "SELECT" || (event.key === " " && (tag === "BUTTON" || tag === "SUMMARY"))) return;
  if (tag === "INPUT" && event.key !== " ") return; // the slider handles its own keys
  const act = { " ": toggle, ArrowLeft: () => jump(place - 1), ArrowRight: () => jump(place + 1), Home: () => jump(0), End: () => jump(STEPS.length - 1) }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
dark.addEventListener("change", () => go(place));

losses();
planes();
neurons();
flow();
weights();
go(STEPS.length - 1);
