// Search: names, operations and layers that contain the typed text, the best matches first.

let at = -1;
function search() {
  const text = $("search").value.trim().toLowerCase();
  const ranks = new Map(); // ranks of equal texts are computed once
  const rank = words => {
    if (!ranks.has(words)) ranks.set(words, [name => name === text, name => name.startsWith(text), name => name.includes(text)].findIndex(fits => fits(words.toLowerCase())));
    return ranks.get(words) < 0 ? 3 : ranks.get(words);
  };
  const score = n => Math.min(rank(data.said("named", n)), rank(data.said("title", n)), rank(data.kindOf(n).operation), rank(data.said("scope", n)));
  const found = text ? Array.from({ length: data.count }, (_, n) => [score(n), n]).filter(([s]) => s < 3).sort((a, b) => a[0] - b[0] || a[1] - b[1]) : [];
  at = found.length ? 0 : -1;
  const items = found.slice(0, 30).map(([, n]) => {
    const item = el("li", { role: "option", id: `found-${n}` }, nodes[n].named, el("span", { class: "muted" }, ` ${[nodes[n].operation || nodes[n].role, nodes[n].shape, nodes[n].scope && `in ${nodes[n].scope}`].filter(Boolean).join(" · ")}`));
    item.addEventListener("pointerdown", event => event.preventDefault());
    item.addEventListener("click", () => take(n));
    item.number = n;
    return item;
  });
  if (text && !items.length) items.push(el("li", { role: "option", "aria-disabled": "true", class: "muted" }, "nothing with that name"));
  else if (found.length > 30) items.push(el("li", { role: "option", "aria-disabled": "true", class: "muted" }, `and ${found.length - 30} more`));
  $("found").replaceChildren(...items);
  $("found").hidden = !items.length;
  $("search").setAttribute("aria-expanded", String(items.length > 0));
  mark();
}

function mark() {
  [...$("found").children].forEach((item, i) => item.setAttribute("aria-selected", String(i === at)));
  const item = $("found").children[at];
  if (item) $("search").setAttribute("aria-activedescendant", item.id);
  else $("search").removeAttribute("aria-activedescendant");
  if (item) item.scrollIntoView({ block: "nearest" });
}

function take(number) {
  closeSearch();
  choose(number);
  graph.reveal(graph.standIn(number), true, true);
}

function closeSearch() {
  $("search").value = "";
  search();
}

$("search").addEventListener("input", search);
$("search").addEventListener("blur", () => { $("found").hidden = true; });
$("search").addEventListener("focus", search);
$("search").addEventListener("keydown", event => {
  const count = [...$("found").children].filter(item => item.number !== undefined).length;
  if (event.key === "ArrowDown" && count) at = (at + 1) % count;
  else if (event.key === "ArrowUp" && count) at = (at + count - 1) % count;
  else if (event.key === "Enter" && count) take($("found").children[at].number);
  else if (event.key === "Escape") {
    closeSearch();
    $("search").blur();
  } else return;
  event.preventDefault();
  mark();
});
