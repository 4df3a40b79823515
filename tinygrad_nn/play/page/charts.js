// The charts of the training: losses, scores and sizes of gradients over the updates.
const charts = (() => {
  const LEAST = 54, RIGHT = 8, TOP = 8, BOTTOM = 20;
  let points = [], depth = 0, state;

  // Draw curves, lists of [update, value], on a canvas.
  function draw(id, lines, log) {
    const canvas = document.getElementById(id), width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    const context = sharp(canvas, width, height), muted = colours.css("muted");
    context.clearRect(0, 0, width, height);
    context.font = '11px system-ui, "Segoe UI", Helvetica, Arial, sans-serif';
    const usable = value => Number.isFinite(value) && (!log || value > 0);
    const all = lines.flatMap(line => line.values.filter(usable));
    const scale = log ? Math.log10 : value => value;
    let low = all.length ? Math.min(...all.map(scale)) : 0, high = all.length ? Math.max(...all.map(scale)) : 1;
    if (!log) low = Math.min(low, 0);
    if (high - low < (log ? .5 : 1e-9)) { high += log ? .25 : .5; low -= log ? .25 : 0; }
    const told = at => short(log ? 10 ** at : at, 2), levels = [0, .5, 1].map(share => [share, told(low + (high - low) * share)]);
    const left = Math.max(LEAST, ...levels.map(([, text]) => Math.ceil(context.measureText(text).width) + 8)); // room for labels such as 1.77e−4
    const last = points.length ? Math.max(1, points[points.length - 1][0]) : 1;
    const x = update => left + (width - left - RIGHT) * update / last;
    const y = value => TOP + (height - TOP - BOTTOM) * (high - scale(value)) / (high - low);
    context.strokeStyle = colours.css("line");
    context.fillStyle = muted;
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const [share, text] of levels) {
      const level = TOP + (height - TOP - BOTTOM) * (1 - share);
      context.beginPath();
      context.moveTo(left, level + .5); context.lineTo(width - RIGHT, level + .5);
      context.stroke();
      context.fillText(text, left - 5, level);
    }
    context.textBaseline = "alphabetic";
    context.fillText(last.toLocaleString("en"), width - RIGHT, height - 5);
    context.textAlign = "left";
    context.fillText("0 updates", left, height - 5);
    for (const line of lines) {
      context.strokeStyle = line.colour;
      context.lineWidth = 2;
      context.setLineDash(line.dash || []);
      context.beginPath();
      let pen = false;
      const alone = [];
      line.values.forEach((value, k) => {
        if (!usable(value)) { pen = false; return; }
        if (!pen && !(k + 1 < line.values.length && usable(line.values[k + 1]))) alone.push([x(points[k][0]), y(value)]);
        context[pen ? "lineTo" : "moveTo"](x(points[k][0]), y(value));
        pen = true;
      });
      context.stroke();
      context.fillStyle = line.colour;
      for (const [across, up] of alone) { // a line of one point
        context.beginPath();
        context.arc(across, up, 3, 0, 7);
        context.fill();
      }
    }
    context.setLineDash([]);
  }
  const DASHES = [[], [6, 3], [2, 2], [9, 3, 2, 3]];

  function paint(next, frame) {
    points = next;
    const column = k => points.map(point => point[k]), [train, test] = ["train", "test"].map(colours.css);
    draw("loss-chart", [{ values: column(2), colour: train }, { values: column(3), colour: test, dash: [6, 3] }]);
    draw("score-chart", [{ values: column(4), colour: train }, { values: column(5), colour: test, dash: [6, 3] }]);
    const begun = points.filter(point => point[0] > 0).length;
    draw("flow-chart", Array.from({ length: begun ? depth : 0 }, (_, k) => ({ values: column(6 + k), colour: colours.of(k), dash: DASHES[k % 4] })), true);
    document.querySelectorAll("#flow-legend b").forEach((b, k) => { b.textContent = frame.gradients.length ? short(frame.gradients[k], 2) : ""; });
  }
  function set(next) {
    state = next;
    depth = state.layers.length;
    document.getElementById("flow-legend").replaceChildren(...state.layers.map((_, k) => {
      const li = document.createElement("li"), line = document.createElement("canvas"), b = document.createElement("b");
      line.setAttribute("aria-hidden", "true");
      const context = sharp(line, 16, 16);
      context.strokeStyle = colours.of(k);
      context.lineWidth = 3;
      context.setLineDash(DASHES[k % 4]);
      context.beginPath();
      context.moveTo(0, 8); context.lineTo(16, 8);
      context.stroke();
      li.append(line, `layer ${k + 1} `, b);
      return li;
    }));
  }
  return { set, paint };
})();
