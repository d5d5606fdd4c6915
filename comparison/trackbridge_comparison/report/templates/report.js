const data = JSON.parse(document.getElementById("data").textContent);
const dialog = document.getElementById("evidence");
const today = new Date().toISOString().slice(0, 10);

/* An element; what is given as text stays text. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function facts(pairs) {
  const list = make("dl");
  for (const [name, value] of pairs) {
    if (value) list.append(make("dt", {}, name), make("dd", {}, value));
  }
  return list;
}

function status(name) {
  const { sign, slug } = data.statuses[name];
  return make("span", { class: `sign ${slug}` }, `${sign} ${name}`);
}

function expiry(day) {
  return day <= today ? make("em", { class: "expired" }, `expired on ${day}`) : `valid until ${day}`;
}

function address(text) {
  const safe = /^https?:\/\//i.test(text);
  return safe ? make("a", { href: text, rel: "noopener noreferrer nofollow", target: "_blank" }, text) : make("code", {}, text);
}

function measured(id, cell) {
  const [, unit, way] = data.quantities[headless(id)];
  const text = (index) => data.texts[index] ?? "";
  const code = (words) => words && make("code", {}, words);
  return facts([
    ["status", status(text(cell.status))],
    ["value", cell.value !== undefined && `${cell.value} ${unit}`],
    ["range", cell.range],
    ["way", way],
    ["samples", cell.samples?.join(", ")],
    ["more samples", cell.more && `${cell.more}, in data.json`],
    ["what", cell.detail !== undefined && make("pre", { tabindex: "0" }, text(cell.detail))],
    ["again", code(text(cell.command).replaceAll("{id}", id))],
    ["versions", text(cell.versions)],
    ["measured", text(cell.time)],
    ["took", cell.seconds !== undefined && `${cell.seconds} s`],
    ["load", `${cell.load}`],
    ["log", code(text(cell.log))],
    ["environment", code(text(cell.lock))],
  ]);
}

function cited(claim) {
  return facts([
    ["status", status("cited")],
    ["value", claim.value],
    ["source", address(claim.source)],
    ["quote", make("blockquote", {}, claim.quote)],
    ["read", claim.found],
    ["expires", expiry(claim.expires)],
  ]);
}

const headless = (id) => id.slice(id.indexOf("/") + 1);
const tool = (id) => data.tools[id.split("/")[0]] ?? id.split("/")[0];
const named = (id) => data.quantities[headless(id)]?.[0] ?? headless(id);

function evidence(id) {
  const parts = [];
  if (data.cells[id]) parts.push(make("h3", {}, named(id)), make("p", {}, make("code", {}, id)), measured(id, data.cells[id]));
  if (data.earlier[id]) parts.push(make("h3", {}, `The last full run: ${named(id)}`), measured(id, data.earlier[id]));
  if (data.claims[id]) parts.push(make("h3", {}, id), cited(data.claims[id]));
  return parts.length ? parts : [make("p", { class: "none" }, `${id} is not in this report.`)];
}

/* The body of the dialog for an id. */
const views = {
  cell: evidence,
  claim: evidence,
  lecture(id) {
    const cell = data.lecture[id];
    const said = facts([["today", cell.value], ["status", status(cell.status)], ["2021", cell.then]]);
    return [said, ...cell.evidence.flatMap(evidence)];
  },
  item(id) {
    const trait = data.traits[headless(id)];
    const [state, native = trait.written, restored = native, reason] = trait.items[id.split("/")[0]];
    const read = (text) => make("pre", { tabindex: "0" }, text);
    const pairs = [["", data.states[state]], ["written", read(trait.written)], ["came back", read(native)], ["with sidecar", read(restored)], ["declared reason", reason]];
    return [facts(pairs)];
  },
  score(id) {
    const end = id.lastIndexOf("/");
    const table = make("table");
    const line = (...cells) => table.append(make("tr", {}, ...cells));
    line(...["quantity", "as measured", "1 is the best seen"].map((text) => make("th", { scope: "col" }, text)));
    for (const [axis, quantity, value, good] of data.scores[id.slice(0, end)].parts) {
      if (axis === id.slice(end + 1)) line(make("th", { scope: "row" }, quantity), make("td", {}, `${value ?? "none"}`), make("td", {}, `${good ?? "not measured"}`));
    }
    return [make("div", { class: "wide", tabindex: "0" }, table)];
  },
};

/* What a button opens: the view and the id, from its own attribute or from where it stands. */
function opened(button) {
  if (button.dataset.claim) return ["claim", button.dataset.claim];
  const cell = button.closest("td");
  const table = cell.closest("table");
  const [row, column] = [cell.parentElement.dataset.key, table.tHead.rows[0].cells[cell.cellIndex].dataset.key];
  const ids = { cell: [row, table.dataset.axis, column], item: [column, row] };
  return [table.dataset.view, (ids[table.dataset.view] ?? [row, column]).join("/")];
}

function label(button) {
  const [view, id] = opened(button);
  const text = view === "item" ? data.states[data.traits[headless(id)].items[id.split("/")[0]][0]] : [...button.childNodes].map((node) => node.textContent).join(" ");
  return `${tool(id)}, ${view === "cell" ? named(id) : headless(id)}: ${text}`.replace(/\s+/g, " ");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".open");
  if (button) {
    const [view, id] = opened(button);
    document.getElementById("evidence-title").textContent = `${tool(id)}: ${view === "cell" ? named(id) : headless(id)}`;
    document.getElementById("evidence-body").replaceChildren(...views[view](id));
    dialog.showModal();
  } else if (event.target === dialog) {
    dialog.close();
  }
});

/* What has expired since the report was made. */
for (const claim of document.querySelectorAll("[data-expires]")) {
  if (claim.dataset.expires <= today && !claim.querySelector(".expired")) {
    claim.querySelector(".note").append(", ", make("em", { class: "expired" }, "expired"));
  }
}

/* Tables: sorted by DataTables, what has no value last; one cell of a table is in the order of Tab, arrow keys go to the others. */
const last = (way) => (a, b) => (a === "") - (b === "") || way * (a - b);
Object.assign(DataTable.ext.type.order, { "measure-pre": (text) => (text === "" ? "" : Number(text)), "measure-asc": last(1), "measure-desc": last(-1) });
const sorted = new Map();

function sortable(table) {
  if (!sorted.has(table)) {
    const columnDefs = [{ targets: "measure", type: "measure" }];
    sorted.set(table, new DataTable(table, { paging: false, info: false, searching: false, autoWidth: false, order: [], columnDefs }));
  }
  return sorted.get(table);
}

function begin(table) {
  if (table.matches(".sortable")) sortable(table);
  table.querySelectorAll(".open").forEach((button, index) => {
    button.tabIndex = index ? -1 : 0;
    button.ariaLabel = `${label(button)}; evidence`;
  });
}

const nearby = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      begin(target);
    }
  },
  { rootMargin: "600px" },
);
for (const table of document.querySelectorAll("main table")) nearby.observe(table);

document.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const cell = event.target.closest("td")?.closest("main td");
  if (!step || !cell || !event.target.matches(".open")) return;
  const body = cell.closest("tbody");
  let [row, column] = [cell.parentElement.rowIndex - body.rows[0].rowIndex, cell.cellIndex];
  for (;;) {
    row += step[0];
    column += step[1];
    const next = body.rows[row]?.cells[column];
    if (!next) return;
    const button = next.querySelector(".open");
    if (button?.offsetParent) {
      event.preventDefault();
      event.target.tabIndex = -1;
      button.tabIndex = 0;
      button.focus();
      return;
    }
  }
});

/* Scores at other weights. */
const sliders = [...document.querySelectorAll(".weights input[type=range]")];
const equal = () => new Set(sliders.map((slider) => slider.valueAsNumber)).size === 1;

/* The share of the weights that was measured, and the weighted geometric mean of the axes that have a value. */
function total({ axes, shares }, weights) {
  let [sum, measured, there, logs] = [0, 0, 0, 0];
  for (const [axis, weight] of weights) {
    sum += weight;
    measured += weight * (shares[axis] ?? 0);
    if (axes[axis] === undefined || axes[axis] === null) continue;
    there += weight;
    logs += weight * Math.log(axes[axis]);
  }
  const coverage = sum > 0 ? measured / sum : 0;
  return [coverage, coverage >= data.coverage - 1e-9 ? Math.exp(logs / there) : null];
}

const percent = (share) => (share > 1 - 1e-12 ? "100 %" : `${Math.min(100 * share, 99.9).toFixed(1)} %`);

function put(cell, value, text) {
  cell.textContent = text;
  cell.dataset.order = value ?? "";
}

function weigh() {
  const weights = sliders.map((slider) => [slider.name, slider.valueAsNumber]);
  const sum = weights.reduce((so, [, weight]) => so + weight, 0);
  sliders.forEach((slider) => {
    const text = sum ? percent(slider.valueAsNumber / sum) : "0 %";
    slider.parentElement.querySelector("output").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  });
  for (const button of document.querySelectorAll("[data-preset]")) button.setAttribute("aria-pressed", `${same(button.dataset.preset)}`);
  for (const table of document.querySelectorAll("table.scores")) {
    const rows = sortable(table).rows().nodes().toArray();
    const found = rows.map((row) => [row, data.scores[row.dataset.key], ...total(data.scores[row.dataset.key], weights)]);
    for (const [row, score, coverage, value] of found) {
      const better = found.filter(([, other, , theirs]) => other.ranked && theirs !== null && theirs > value).length;
      const rank = equal() ? score.rank : score.ranked && value !== null ? 1 + better : null;
      put(row.querySelector(".rank"), rank, `${rank ?? "–"}`);
      put(row.querySelector(".total"), value, value === null ? "no total" : value.toFixed(3));
      put(row.querySelector(".coverage"), coverage, percent(coverage));
    }
    sortable(table).rows().invalidate("dom").draw();
  }
  const note = equal() ? "Equal weights: ranks share a place where intervals meet." : "Your weights: the rank is the order of the totals; intervals are known for equal weights alone.";
  document.getElementById("weighed").textContent = note;
}

function same(preset) {
  const wanted = shares(preset);
  return sliders.every((slider) => Math.abs(slider.valueAsNumber - wanted[slider.name]) < 1e-6);
}

function shares(preset) {
  const weights = data.weights[preset];
  const sum = data.axes.reduce((so, axis) => so + (weights[axis] ?? 0), 0);
  return Object.fromEntries(data.axes.map((axis) => [axis, (100 * (weights[axis] ?? 0)) / sum]));
}

document.querySelector(".weights")?.addEventListener("input", weigh);
document.querySelector(".presets")?.addEventListener("click", (event) => {
  const name = event.target.dataset.preset;
  if (name === undefined) return;
  const wanted = shares(name);
  for (const slider of sliders) slider.value = wanted[slider.name];
  weigh();
});

if (sliders.length) weigh();
