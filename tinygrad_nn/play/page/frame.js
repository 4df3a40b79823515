// Decoding of a frame, the data that changes during training: a JSON text and the arrays that it lists.
const TYPES = { u1: Uint8Array, f4: Float32Array, i4: Int32Array };

async function askFrame(known, curve) {
  const query = new URLSearchParams({ known, curve: curve.id, points: curve.points.length });
  let reply;
  try {
    reply = await fetch(server.download(`/frame?${query}`), { cache: "no-store" });
  } catch {
    throw new Error("The server has stopped; start it again in its terminal.");
  }
  if (!reply.ok) throw new Error((await reply.json()).error);
  const bytes = await reply.arrayBuffer();
  if (!bytes.byteLength) return null; // nothing new
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const arrays = {};
  for (const [name, [type, shape, at]] of Object.entries(head.arrays)) {
    const size = shape.reduce((a, b) => a * b, 1);
    arrays[name] = { shape, values: new TYPES[type](bytes, 4 + length + at, size) };
  }
  return { ...head, arrays };
}

// The points of the curve that the page has; a frame brings the new points, or all if the curve was rewritten.
function grow(curve, frame) {
  const [id, begin] = frame.curve, { shape: [count, width], values } = frame.arrays.points;
  const points = id === curve.id ? curve.points.slice(0, begin) : [];
  for (let k = 0; k < count; k++) points.push(values.subarray(k * width, (k + 1) * width));
  return { id, points };
}

// A number as short text.
function short(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "not finite";
  const size = Math.abs(value);
  if (value !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2).replaceAll("-", "−");
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}
const percent = value => value === null || !Number.isFinite(value) ? "–" : `${(100 * value).toFixed(1)} %`;
