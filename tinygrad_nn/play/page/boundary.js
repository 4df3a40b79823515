// The picture of the plane: the network's prediction at each point, and the rows of the data.
const boundary = (() => {
  const under = document.getElementById("boundary"), over = document.getElementById("points"), stack = document.getElementById("plane");
  const picture = under.getContext("2d", { alpha: false }), here = document.getElementById("here");
  let state, frame, table, image, cross = null, batch = new Set();

  function set(next) {
    state = next;
    const { cells, data } = state;
    if (under.width !== cells) under.width = under.height = cells; // CSS scales it smoothly to the size of the plane
    image = picture.createImageData(cells, cells);
    image.data.fill(255);
    theme();
  }
  const fits = next => next && next.settled === state.settled; // else the frame belongs to other data
  function theme() {
    table = state.data.kind === "classification" ? colours.ofClasses(state.data.classes.length) : [colours.ofNumbers()];
    if (fits(frame)) paint(frame);
    points();
    legend();
  }

  // Draw the predictions of the network.
  function paint(next) {
    frame = next;
    const { values: best } = frame.arrays.class, { values: sure } = frame.arrays.sure, data = image.data;
    for (let k = 0; k < best.length; k++) {
      const [r, g, b] = table[best[k]][sure[k]];
      data[4 * k] = r; data[4 * k + 1] = g; data[4 * k + 2] = b;
    }
    picture.putImageData(image, 0, 0);
    const rows = frame.running ? new Set() : new Set(frame.arrays.batch.values);
    if (rows.size !== batch.size || [...rows].some(row => !batch.has(row))) { batch = rows; points(); }
    if (cross) say();
  }

  const place = (k, side) => [state.dots.across[k] * side, (1 - state.dots.up[k]) * side];
  const colour = k => state.data.kind === "classification" ? colours.of(state.dots.value[k]) : colours.rgb(colours.signed(2 * state.dots.value[k] - 1));

  // Draw the rows, the batch, the chosen row, and the cross.
  function points() {
    if (!state) return;
    const side = stack.clientWidth, context = sharp(over, side, side), { row, value, train } = state.dots;
    context.clearRect(0, 0, side, side);
    const classes = state.data.kind === "classification", text = colours.css("text");
    row.forEach((number, k) => { // a number may have the color of the background, so its mark gets an outline
      if (classes) colours.mark(context, ...place(k, side), value[k], colour(k), k >= train);
      else colours.mark(context, ...place(k, side), k < train ? 0 : 3, colour(k), false, 3.6, text);
    });
    row.forEach((number, k) => {
      const [x, y] = place(k, side);
      if (batch.has(number)) ring(context, x, y, 6.5, 1);
      if (number === state.view.row) ring(context, x, y, 8.5, 2.5);
    });
    if (cross) {
      const [x, y] = cross.map(v => v * side);
      context.strokeStyle = colours.css("text");
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 9, y); context.lineTo(x + 9, y); context.moveTo(x, y - 9); context.lineTo(x, y + 9);
      context.stroke();
    }
  }

  function ring(context, x, y, radius, width) {
    context.strokeStyle = colours.css("text");
    context.lineWidth = width;
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.stroke();
  }

  // Write the position of the cross, and the prediction there.
  function say() {
    if (!fits(frame)) return;
    const { cells, axes, data } = state;
    const [across, up] = [cross[0], 1 - cross[1]].map((share, k) => {
      const axis = axes[k];
      return `${axis.name} ${short((axis.low + (axis.high - axis.low) * share) * axis.factor + axis.offset, 3)}`;
    });
    const at = Math.min(cells - 1, Math.floor(cross[1] * cells)) * cells + Math.min(cells - 1, Math.floor(cross[0] * cells));
    const sure = frame.arrays.sure.values[at] / 255, count = data.classes.length;
    const says = data.kind === "classification"
      ? `${data.classes[frame.arrays.class.values[at]]}, ${percent(sure * (1 - 1 / count) + 1 / count)} sure`
      : `${data.target} about ${short(data.low + (data.high - data.low) * sure, 3)}`;
    here.textContent = `${across}, ${up}: ${says}`;
  }
  function nearest() {
    const { row } = state.dots;
    let best = 0, least = Infinity;
    row.forEach((_, k) => {
      const [x, y] = place(k, 1), far = (x - cross[0]) ** 2 + (y - cross[1]) ** 2;
      if (far < least) { least = far; best = k; }
    });
    return row[best];
  }
  function move(to) {
    cross = to && to.map(v => Math.min(1, Math.max(0, v)));
    if (cross) say(); else here.textContent = "";
    points();
  }
  const spot = event => { const box = stack.getBoundingClientRect(); return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]; };
  stack.addEventListener("pointermove", event => move(spot(event)));
  stack.addEventListener("pointerleave", () => move(document.activeElement === stack ? cross : null));
  stack.addEventListener("click", event => { move(spot(event)); page.look({ row: nearest() }); });
  stack.addEventListener("keydown", event => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) move((cross || [.5, .5]).map((v, k) => v + way[k] * (event.shiftKey ? .1 : .02)));
    else if (event.key === "Enter") page.look({ row: nearest() }).then(() => points());
    else if (event.key === "Escape") move(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(points).observe(stack);

  // The legend of marks and colors.
  function legend() {
    const list = document.getElementById("classes"), { data } = state;
    const item = (draw, text, wide) => {
      const li = document.createElement("li"), canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      if (wide) canvas.className = "wide";
      draw(sharp(canvas, wide ? 90 : 16, wide ? 12 : 16));
      li.append(canvas, text);
      return li;
    };
    const items = data.kind === "classification"
      ? data.classes.map((name, k) => item(c => colours.mark(c, 8, 8, k, colours.of(k), false, 5), name))
      : [item(c => { const from = colours.ofNumbers(); for (let x = 0; x < 90; x++) { c.fillStyle = colours.rgb(from[Math.floor(x * 255 / 89)]); c.fillRect(x, 0, 1, 12); } },
        `${data.target} from ${short(data.low, 3)} to ${short(data.high, 3)}`, true)];
    const text = colours.css("text");
    const classes = data.kind === "classification", ground = colours.css("bg");
    items.push(item(c => colours.mark(c, 8, 8, 0, classes ? text : ground, false, 5, text), "to train on"),
      item(c => colours.mark(c, 8, 8, classes ? 0 : 3, classes ? text : ground, classes, 5, text), "to test on"),
      item(c => ring(c, 8, 8, 6.5, 1), "in the last batch"), item(c => ring(c, 8, 8, 6.5, 2.5), "the sample"));
    list.replaceChildren(...items);
  }
  return { set, paint, points, theme: () => { if (state) theme(); } };
})();
