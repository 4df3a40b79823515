// The drawing of the network: the output of each neuron on the plane, the weights, and the numbers of one sample.
const network = (() => {
  const canvas = document.getElementById("network"), box = document.getElementById("network-scroll");
  const small = document.createElement("canvas");
  const LABEL = 15, TOP = 22, COLUMN = 62;
  let state, frame, table, sample = null, moment = 0, image;

  function set(next) {
    state = next;
    small.width = small.height = state.small;
    image = small.getContext("2d").createImageData(state.small, state.small);
    image.data.fill(255);
    table = colours.ofNeurons();
    const widths = [state.layers[0].inputs, ...state.layers.map(layer => layer.width)];
    const text = `${widths.join(" – ")}, ${state.parameters.toLocaleString("en")} parameters`;
    document.getElementById("network-text").textContent = text;
    canvas.setAttribute("aria-label", `The network, ${text}: the table below has the numbers of one sample.`);
    if (frame && fits(frame)) paint(frame);
  }
  const fits = next => next.settled === state.settled;
  const counts = () => [state.layers[0].inputs, ...state.layers.map(layer => layer.width)];

  // The numbers of the sample at the neurons of a column at a moment: forward (0 ... L), loss, then backward.
  function numbers(column) {
    const depth = state.layers.length;
    if (!sample || moment > 2 * depth + 1) return null;
    if (moment > depth + 1) { // backward: from the last layer to this one
      const from = 2 * depth + 2 - moment;
      const last = moment === 2 * depth + 1;
      if (column >= from && column > 0) return { values: sample.layers[column - 1].dz, gradient: true };
      if (column === 0 && last) return { values: sample.dx, gradient: true };
    }
    if (column > moment) return null;
    return { values: column ? sample.layers[column - 1].a : sample.x, gradient: false };
  }
  // The column of a moment.
  function lit() {
    const depth = state.layers.length;
    return moment <= depth ? moment : moment === depth + 1 ? depth : 2 * depth + 2 - moment;
  }

  function paint(next) {
    frame = next;
    if (!state || !fits(frame)) return;
    const shown = counts().map(count => Math.min(count, state.neurons)), most = Math.max(...shown);
    const columns = shown.length, width = Math.max(box.clientWidth, columns * COLUMN);
    const side = Math.max(20, Math.min(34, (width / columns) * .5, 420 / most - LABEL));
    const height = TOP + most * (side + LABEL) + 20;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = sharp(canvas, width, height);
    context.clearRect(0, 0, width, height);
    const x = k => width * (k + .5) / columns;
    const y = (k, i) => TOP + (most - shown[k]) * (side + LABEL) / 2 + i * (side + LABEL) + side / 2;
    const names = ["inputs", ...state.layers.map(layer => layer.activation)];
    const [muted, text, line, grad] = ["muted", "text", "line", "grad"].map(colours.css), ground = colours.ground();
    const font = '11px system-ui, "Segoe UI", Helvetica, Arial, sans-serif';
    context.lineCap = "round";
    state.layers.forEach((layer, k) => { // weights; small ones are thin and pale
      const { shape: [rows, cols], values } = frame.arrays[`weights ${k}`];
      let largest = 1e-12;
      for (const w of values) largest = Math.max(largest, Math.abs(w));
      for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) {
        const share = values[i * cols + j] / largest;
        context.strokeStyle = colours.rgb(colours.signed(share < 0 ? share - .15 : share + .15, ground));
        context.lineWidth = .5 + 2.6 * Math.abs(share);
        context.setLineDash(share < 0 ? [5, 3] : []);
        context.beginPath();
        context.moveTo(x(k) + side / 2, y(k, j));
        context.bezierCurveTo((x(k) + x(k + 1)) / 2, y(k, j), (x(k) + x(k + 1)) / 2, y(k + 1, i), x(k + 1) - side / 2, y(k + 1, i));
        context.stroke();
      }
    });
    context.setLineDash([]);
    context.textAlign = "center";
    context.font = font;
    const at = sample ? lit() : -1;
    shown.forEach((count, k) => {
      context.fillStyle = k === at ? text : muted;
      context.font = k === at ? `bold ${font}` : font;
      context.fillText(cut(context, names[k], width / columns - 6), x(k), 13);
      context.font = font;
      const maps = frame.arrays[`neurons ${k - 1}`], told = numbers(k);
      const largest = told ? Math.max(1e-12, ...told.values.slice(0, count).map(v => Math.abs(v ?? 0))) : 1;
      for (let i = 0; i < count; i++) {
        const left = x(k) - side / 2, top = y(k, i) - side / 2, value = told ? told.values[i] : null;
        if (maps) map(context, maps.values, i * state.small * state.small, left, top, side);
        else { context.fillStyle = colours.rgb(value === null ? ground : colours.signed(.75 * value / largest, ground)); context.fillRect(left, top, side, side); }
        context.lineWidth = k === at ? 2.5 : 1;
        context.strokeStyle = k === at ? (moment > state.layers.length + 1 ? grad : text) : line;
        context.strokeRect(left, top, side, side);
        const under = told ? short(value, 3) : k === 0 && count <= 12 ? state.data.features[i] : k === columns - 1 ? state.data.classes[i] ?? state.data.target : "";
        context.fillStyle = told && told.gradient ? grad : text;
        if (under) context.fillText(cut(context, under, width / columns - 4), x(k), top + side + 11);
      }
      const more = counts()[k] - count;
      if (more) { context.fillStyle = muted; context.fillText(`+ ${more} more`, x(k), y(k, count - 1) + side / 2 + 25); }
    });
  }
  function map(context, values, begin, left, top, side) {
    for (let k = 0; k < state.small * state.small; k++) {
      const [r, g, b] = table[values[begin + k]];
      image.data[4 * k] = r; image.data[4 * k + 1] = g; image.data[4 * k + 2] = b;
    }
    small.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(small, left, top, side, side);
  }
  function cut(context, text, width) {
    if (context.measureText(text).width <= width) return text;
    while (text.length > 1 && context.measureText(`${text}…`).width > width) text = text.slice(0, -1);
    return `${text}…`;
  }
  new ResizeObserver(() => { if (frame) paint(frame); }).observe(box);
  return {
    set, paint,
    show(next, at) {
      const moved = at !== moment;
      sample = next;
      moment = at;
      if (frame) paint(frame);
      const width = canvas.clientWidth / counts().length; // width of a column; scroll to the column of this moment
      if (moved && box.scrollWidth > box.clientWidth) box.scrollLeft = (lit() + .5) * width - box.clientWidth / 2;
    },
    theme() { if (state) { table = colours.ofNeurons(); if (frame) paint(frame); } },
  };
})();
