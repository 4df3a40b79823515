// The page: it requests and draws frames while it is visible, and sends the user's actions to the server.
const page = (() => {
  const get = id => document.getElementById(id);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let state = JSON.parse(get("state").textContent), known = -1, curve = { id: -1, points: [] }, frame = null, sampled = 0, lines = 0, drawn = 0, lost = "", next = null;
  const LINES = 150; // milliseconds between two drawings of network and charts during training

  function wrong(text) { if (get("wrong").textContent !== text) get("wrong").textContent = text; }
  function say(text) { get("say").textContent = text; }

  // Show a state; also after a refused request, so that the controls are reset.
  function show(next) {
    const anew = JSON.stringify([next.layers, next.data.name]) !== JSON.stringify([state.layers, state.data.name]);
    state = next;
    controls.set(state);
    boundary.set(state);
    network.set(state);
    charts.set(state);
    sample.set(state);
    if (anew) curve = { id: -1, points: [] };
    wrong(state.message);
    running(state.running);
  }
  function running(is) {
    document.body.classList.toggle("running", is);
    get("train-word").textContent = is ? "Pause" : "Train";
    for (const id of ["moment", "here"]) get(id).setAttribute("aria-live", is ? "off" : "polite"); // else a screen reader would never be silent
  }

  // Send a request; if it is refused, show the reason and keep the old state.
  async function send(path, body) {
    try {
      show(await server.ask(path, body));
      return true;
    } catch (error) {
      show(state);
      wrong(error.message);
      return false;
    }
  }
  const choose = given => send("/choose", given);
  const look = given => send("/look", given);
  async function act(what) {
    const before = state.updates;
    if (!await send("/do", { what, pace: get("pace").value })) return;
    if (what === "step" && state.updates > before) say(`Trained on batch ${state.updates}.`);
    else say({ train: "Training.", pause: `Paused after ${state.updates} updates.`, reset: "Started again.", step: "" }[what]);
  }

  function paint(came) {
    frame = came;
    boundary.paint(frame);
    const now = performance.now();
    if (now - lines > LINES || !frame.running) { // parts that are slow to draw, or cannot be read so fast, are drawn less often
      lines = now;
      get("epoch").textContent = frame.epoch.toLocaleString("en", { maximumFractionDigits: 1 });
      get("updates").textContent = frame.updates.toLocaleString("en");
      get("loss").textContent = short(frame.loss);
      get("test-loss").textContent = short(frame.test_loss);
      const score = state.data.kind === "classification" ? percent : value => short(value, 3);
      get("score").textContent = score(frame.score);
      get("test-score").textContent = score(frame.test_score);
      network.paint(frame);
      charts.paint(curve.points, frame);
    }
    if (!frame.running) get("loss-chart").setAttribute("aria-label", `Loss over the updates: ${short(frame.loss)} after ${frame.updates}, of the rows to test on ${short(frame.test_loss)}`);
    if (now - sampled > 1000 || !frame.running) { sampled = now; sample.ask(); }
  }

  const pause = time => new Promise(done => setTimeout(done, time));
  const picture = () => new Promise(done => requestAnimationFrame(done));
  async function watch() {
    for (;;) {
      if (document.hidden) { await new Promise(done => document.addEventListener("visibilitychange", done, { once: true })); continue; }
      try {
        const came = await (next || askFrame(known, curve));
        next = null;
        if (lost) { lost = ""; wrong(state.message); }
        if (!came) continue;
        if (came.settled !== state.settled) { // the user did something, here or in another tab
          const fresh = await server.ask("/state");
          if (fresh.settled !== state.settled) show(fresh);
          known = -1;
          if (fresh.settled !== came.settled) continue;
        }
        known = came.version;
        curve = grow(curve, came);
        if (came.running && !still.matches) (next = askFrame(known, curve)).catch(() => {}); // requested while this one is drawn
        await picture();
        if (came.settled === state.settled) paint(came);
        if (still.matches && came.running) await pause(500 - Math.min(500, performance.now() - drawn));
        drawn = performance.now();
      } catch (error) {
        next = null;
        lost = error.message;
        wrong(lost);
        await pause(2000);
      }
    }
  }
  setInterval(() => { if (document.hidden) askFrame(-1, curve).catch(() => {}); }, 20_000); // a hidden tab keeps the training alive

  get("train").onclick = () => act(state.running ? "pause" : "train");
  get("step").onclick = () => act("step");
  get("reset").onclick = () => act("reset");
  get("pace").onchange = () => act(state.running ? "train" : "pause");
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    const press = event.target.closest("button, a, summary");
    const done = {
      " ": press ? null : () => get("train").click(), ".": () => act("step"), r: () => act("reset"), "[": () => sample.row(-1), "]": () => sample.row(1),
      ArrowLeft: () => sample.go(sample.moment() - 1), ArrowRight: () => sample.go(sample.moment() + 1), Home: () => sample.go(0), End: () => sample.go(Infinity),
    }[event.key];
    if (!done) return;
    if (["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key) && event.target.closest(".scroll")) return;
    event.preventDefault();
    done();
  });
  colours.onTheme(() => { boundary.theme(); network.theme(); charts.set(state); if (frame) charts.paint(curve.points, frame); });
  new ResizeObserver(() => { if (frame) charts.paint(curve.points, frame); }).observe(get("charts"));
  queueMicrotask(() => { show(state); watch(); });
  return { send, choose, look, wrong };
})();
