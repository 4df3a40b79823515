// Helpers for numbers and colors.

const DATA = JSON.parse($("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

const bytesOf = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const floatsOf = text => new Float32Array(bytesOf(text).buffer);

// A number with four digits.
function number(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(4)));
  return text.replaceAll("-", "−");
}

// A number with two digits, for a cell.
function brief(value) {
  if (!Number.isFinite(value)) return number(value);
  const size = Math.abs(value), text = size !== 0 && (size < 0.001 || size >= 1e4) ? value.toExponential(0) : String(Number(value.toPrecision(size < 0.01 ? 1 : 2)));
  return text.replace(/^(-?)0\./, "$1.").replace("e+", "e").replaceAll("-", "−");
}

// From orange through white (or black) to blue, which is safe for color blindness; NaN is gray.
function signed(t) {
  if (Number.isNaN(t)) return [128, 128, 128];
  const s = Math.min(1, Math.abs(t)), night = dark.matches;
  const zero = night ? [24, 29, 36] : [247, 247, 245];
  const end = t > 0 ? (night ? [86, 180, 233] : [0, 90, 160]) : night ? [255, 160, 64] : [190, 75, 0];
  return zero.map((z, i) => Math.round(z + (end[i] - z) * s));
}

const CLASSES = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [140, 109, 49], [120, 120, 120]];
const classColour = k => CLASSES[k % CLASSES.length];

// The color of a class, paler if the model is less certain.
function shade(k, sure) {
  const paper = dark.matches ? 13 : 255, part = 0.12 + (dark.matches ? 0.5 : 0.38) * Math.min(1, Math.max(0, sure));
  return classColour(k).map(c => Math.round(paper + (c - paper) * part));
}

// Round numbers around a range; powers of ten for a log scale.
function ticks(low, high, log) {
  if (log) {
    const first = Math.floor(Math.log10(low)), last = Math.max(Math.ceil(Math.log10(high)), first + 1);
    const step = Math.ceil((last - first) / 5);
    return Array.from({ length: Math.floor((last - first + step - 1) / step) + 1 }, (_, i) => 10 ** (first + i * step));
  }
  const raw = (high - low || Math.abs(high) || 1) / 4, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw);
  const first = Math.floor(low / step), last = Math.max(Math.ceil(high / step), first + 1);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}
