// Colors and marks of classes, and colors of numbers from low to high, for the light or dark theme of the system.
const colours = (() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // the palette of Okabe and Ito, adjusted for contrast with the background
  const LIGHT = ["#0072b2", "#d55e00", "#007a5a", "#b0508f", "#9a6a00", "#2c8fc4", "#6b4fb3", "#a3302a", "#5f6b00", "#555b63"];
  const DARK = ["#4fa8e8", "#ff8a3d", "#35c79a", "#e59ac6", "#f0b429", "#8fd0f5", "#b19cf0", "#f28b82", "#c3cc4f", "#b3bac2"];
  const numbers = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
  const css = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const of = k => (dark.matches ? DARK : LIGHT)[k % LIGHT.length];
  const ground = () => numbers(css("bg"));
  const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));

  // From -1 to 1: the color of negative numbers, the background, the color of positive numbers.
  function signed(value, from = ground()) {
    return mix(from, numbers(css(value < 0 ? "minus" : "plus")), Math.min(1, Math.abs(value)));
  }

  // Lookup tables of [r, g, b] for each byte, which make drawing fast.
  function ofClasses(count) {
    const from = ground();
    return Array.from({ length: count }, (_, k) => Array.from({ length: 256 }, (_, sure) => mix(from, numbers(of(k)), 0.12 + 0.5 * sure / 255)));
  }
  const ofNumbers = () => { const from = ground(); return Array.from({ length: 256 }, (_, k) => signed((k - 127.5) / 127.5 * 0.85, from)); };
  const ofNeurons = () => { const from = ground(); return Array.from({ length: 256 }, (_, k) => signed((k - 128) / 127, from)); };

  // Draw the mark of a class at a point; `open` marks are rows that are not trained on.
  const SHAPES = [
    (c, r) => c.arc(0, 0, r, 0, 7),
    (c, r) => c.rect(-r * .9, -r * .9, r * 1.8, r * 1.8),
    (c, r) => { c.moveTo(0, -r * 1.2); c.lineTo(r * 1.15, r * .9); c.lineTo(-r * 1.15, r * .9); c.closePath(); },
    (c, r) => { c.moveTo(0, -r * 1.3); c.lineTo(r * 1.3, 0); c.lineTo(0, r * 1.3); c.lineTo(-r * 1.3, 0); c.closePath(); },
  ];
  function mark(context, x, y, shape, colour, open, radius = 3.6, edge = css("bg")) {
    context.save();
    context.translate(x, y);
    context.beginPath();
    SHAPES[shape % SHAPES.length](context, radius);
    context.fillStyle = open ? css("bg") : colour;
    context.fill();
    context.lineWidth = open ? 1.6 : 1;
    context.strokeStyle = open ? colour : edge;
    context.stroke();
    context.restore();
  }
  return { of, css, signed, mark, ofClasses, ofNumbers, ofNeurons, ground, rgb: c => `rgb(${c})`, onTheme: each => dark.addEventListener("change", each) };
})();

// Set a canvas to the resolution of the screen; returns its context, scaled to CSS pixels, and its size.
function sharp(canvas, width, height) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
