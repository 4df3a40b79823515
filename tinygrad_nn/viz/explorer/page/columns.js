// The data of the page: columns of numbers (see columns.py), from which objects are created on access.

// An array whose entries are created when first read. Loops over all entries should read the columns instead.
function lazy(length, make) {
  const made = new Array(length);
  return new Proxy(made, {
    get(list, key) {
      if (typeof key === "string" && /^\d+$/.test(key) && +key < length) return (list[key] ??= make(+key));
      return list[key];
    },
    has: (list, key) => key in list || (typeof key === "string" && /^\d+$/.test(key) && +key < length),
  });
}

const fill = (phrase, words) => phrase.replace(/\{(\w+)\}/g, (_, name) => words[name]);

// The displayed form of a single number, as `plain` in columns.py.
const plain = text => ({ brief: text, tiny: text, shape: "scalar", rows: [[text]] });

function unpack(record) {
  const packed = record.arrays, arrays = lazy(packed.length, i => (typeof packed[i] === "string" ? plain(packed[i]) : packed[i]));
  const brief = i => (typeof packed[i] === "string" ? packed[i] : packed[i].brief);
  const { kinds, texts, columns, stored } = record.nodes, count = columns.kind.length;
  const column = Object.fromEntries(Object.entries(columns).map(([name, numbers]) => [name, Int32Array.from(numbers)]));
  const kept = new Map(stored);
  const said = (name, n) => {
    const text = texts[column[name][n]];
    return typeof text === "string" ? text.replace("\u0001", n).replace("\u0002", () => brief(column.value[n])) : text;
  };
  const nodes = lazy(count, n => ({
    ...kinds[column.kind[n]],
    title: said("title", n), named: said("named", n), letter: said("letter", n), scope: said("scope", n), metadata: said("metadata", n), line: said("line", n),
    value: column.value[n], gradient: column.gradient[n], width: column.width[n], stored: kept.get(n) ?? -1,
  }));

  // Edges are ordered by target; the edges of one source are found through `firstOut` and `outgoing`.
  const source = Int32Array.from(record.sources), many = source.length, target = new Int32Array(many);
  const firstInto = new Int32Array(count + 1), firstOut = new Int32Array(count + 1), outgoing = new Int32Array(many);
  for (let n = 0; n < count; n++) firstInto[n + 1] = firstInto[n] + kinds[column.kind[n]].operands;
  for (let n = 0; n < count; n++) target.fill(n, firstInto[n], firstInto[n + 1]);
  for (let e = 0; e < many; e++) firstOut[source[e] + 1]++;
  for (let n = 0; n < count; n++) firstOut[n + 1] += firstOut[n];
  const next = firstOut.slice();
  for (let e = 0; e < many; e++) outgoing[next[source[e]]++] = e;
  const edges = lazy(many, e => [source[e], target[e], e - firstInto[target[e]]]);
  const carried = Int32Array.from(record.carried), sums = Int32Array.from(record.sums), summed = new Set(record.summed);

  // Moments: the start, each operation forward, the seeds, each operation with a gradient backward, the end.
  const operations = [], ofKind = kinds.map(kind => kind.operation !== "");
  for (let n = 0; n < count; n++) if (ofKind[column.kind[n]]) operations.push(n);
  const back = operations.filter(n => column.gradient[n] >= 0).reverse(), { seeds } = record;
  const begin = 1 + operations.length, turn = begin + seeds.length, length = turn + back.length + 1;
  const forwardAt = new Int32Array(count), backwardAt = new Int32Array(count).fill(length); // the moment of each node
  operations.forEach((n, i) => { forwardAt[n] = 1 + i; });
  back.forEach((n, i) => { backwardAt[n] = turn + i; });
  const seedAt = new Map(seeds.map(([n], i) => [n, begin + i])), seedOf = new Map(seeds);

  const out = { said, nodes, edges, arrays, column, count, source, target, firstInto, firstOut, outgoing, carried, sums, forwardAt, backwardAt, seedAt, length };

  // Of the edges that carry a gradient to a node, latest target first: how many have at a moment, and the last one.
  out.arrived = (n, moment) => {
    let number = 0, last = -1;
    for (let i = firstOut[n + 1] - 1; i >= firstOut[n]; i--) {
      const e = outgoing[i];
      if (backwardAt[target[e]] > moment) {
        if (backwardAt[target[e]] < length) break;
      } else if (carried[e] >= 0) {
        number++;
        if (last < 0 || target[e] < target[last]) last = e; // of several edges to one target, the last slot arrives last
      }
    }
    return { number, last };
  };
  out.kinds = kinds.length;
  out.isOperation = n => ofKind[column.kind[n]];
  out.operands = n => firstInto[n + 1] - firstInto[n];
  out.uses = n => firstOut[n + 1] - firstOut[n];
  out.home = Int32Array.from(record.home);
  out.kindOf = n => kinds[column.kind[n]];
  out.reached = (n, moment) => forwardAt[n] <= moment;
  out.gradient = (n, moment) => {
    const { last } = out.arrived(n, moment);
    return last >= 0 ? sums[last] : seedAt.has(n) && seedAt.get(n) <= moment ? seedOf.get(n) : -1;
  };
  out.arrives = n => { // the moment when the first part of its gradient arrives
    if (seedAt.has(n)) return seedAt.get(n);
    for (let i = firstOut[n + 1] - 1; i >= firstOut[n]; i--) if (carried[outgoing[i]] >= 0) return backwardAt[target[outgoing[i]]];
    return length;
  };
  out.contributions = n => out.arrived(n, length - 1).number + (seedAt.has(n) ? 1 : 0);
  out.missing = (n, moment) => out.contributions(n) - out.arrived(n, moment).number - (seedAt.get(n) <= moment ? 1 : 0);
  out.edgeState = (e, moment) => (carried[e] >= 0 && backwardAt[target[e]] <= moment ? 2 : forwardAt[target[e]] <= moment ? 1 : 0);

  const carries = n => {
    const list = [], received = new Map(); // by each operand so far
    for (let e = firstInto[n]; e < firstInto[n + 1]; e++) {
      if (carried[e] < 0) continue;
      const number = (received.get(source[e]) ?? out.arrived(source[e], backwardAt[n] - 1).number) + 1;
      received.set(source[e], number);
      list.push([e, carried[e], sums[e], number, summed.has(e) ? 1 : 0]);
    }
    return list;
  };
  const most = (list, words) => [...Array.from(list.slice(0, record.most), words), ...(list.length > record.most ? [fill(record.phrases.rest, { number: list.length - record.most })] : [])];
  const told = {
    forward: n => {
      const operands = most(source.subarray(firstInto[n], firstInto[n + 1]), s => said("named", s)).join(", ");
      return { place: forwardAt[n], total: operations.length, node: said("named", n), operation: nodes[n].operation, operands, value: brief(column.value[n]) };
    },
    backward: (n, given) => {
      const parts = most(given, ([e, array, sum, number]) =>
        fill(record.phrases[number === 1 ? "first" : "more"], { node: said("named", source[e]), value: brief(array), sum: brief(sum) }));
      return { place: backwardAt[n] - turn + 1, total: back.length, node: said("named", n), parts: parts.join("; ") };
    },
    seed: n => ({ node: said("named", n), value: brief(seedOf.get(n)) }),
  };
  out.moments = lazy(length, i => {
    if (i === 0) return { phase: "start", node: -1, gradient: -1, carries: [], text: record.start };
    if (i === length - 1) return { phase: "end", node: -1, gradient: -1, carries: [], text: record.end };
    const phase = i < begin ? "forward" : i < turn ? "seed" : "backward";
    const node = i < begin ? operations[i - 1] : i < turn ? seeds[i - begin][0] : back[i - turn];
    const gradient = { forward: -1, seed: seedOf.get(node), backward: column.gradient[node] }[phase];
    const parts = phase === "backward" ? carries(node) : [];
    return { phase, node, gradient, carries: parts, text: fill(record.phrases[phase], told[phase](node, parts)) };
  });
  const { levels } = record, parent = Int32Array.from(levels.parents), kind = levels.kinds.map(k => levels.words[k]);
  const nth = new Map(), place = parent.map(up => (nth.set(up, (nth.get(up) ?? 0) + 1), nth.get(up)));
  const label = b => levels.words[levels.labels[b]] || `step ${place[b]}`;
  const path = b => (parent[b] > 0 ? `${path(parent[b])}.${label(b)}` : label(b));
  out.level = { parent, kind, label, path };
  out.boxes = lazy(parent.length, b => ({ label: label(b), path: path(b), parent: parent[b], kind: kind[b] }));
  const between = (first, list) => lazy(count, n => Array.from({ length: first[n + 1] - first[n] }, (_, i) => list(first[n] + i)));
  out.into = between(firstInto, e => e);
  out.outof = between(firstOut, i => outgoing[i]);
  return { ...record, ...out };
}
