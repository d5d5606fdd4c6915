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
    if (value !== undefined && value !== null && value !== "") list.append(make("dt", {}, name), make("dd", {}, value));
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

function measured(cell) {
  const samples = cell.samples ?? [];
  const rest = cell.count > samples.length ? `, the first of ${cell.count}; data.json has all` : "";
  const versions = Object.entries(data.versions[cell.versions]).map((pair) => pair.join(" "));
  return facts([
    ["status", status(cell.status)],
    ["value", cell.value === undefined ? "" : `${cell.value} ${cell.unit}`],
    ["range", cell.range],
    ["way", cell.way],
    [`samples (${cell.count})`, samples.length ? samples.join(", ") + rest : ""],
    ["what", cell.detail && make("pre", { tabindex: "0" }, cell.detail)],
    ["again", cell.command && make("code", {}, cell.command)],
    ["versions", versions.join(", ")],
    ["measured", cell.time],
    ["took", cell.seconds && `${cell.seconds} s`],
    ["load", `${cell.load ?? 0}`],
    ["log", cell.log && make("code", {}, cell.log)],
    ["environment", cell.lock && make("code", {}, cell.lock)],
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

function evidence(id) {
  const parts = [];
  if (data.cells[id]) parts.push(make("h3", {}, data.cells[id].title), make("p", {}, make("code", {}, id)), measured(data.cells[id]));
  if (data.earlier[id]) parts.push(make("h3", {}, `The last full run: ${data.earlier[id].title}`), measured(data.earlier[id]));
  if (data.claims[id]) parts.push(make("h3", {}, id), cited(data.claims[id]));
  return parts.length ? parts : [make("p", { class: "none" }, `${id} is not in this report.`)];
}

const headless = (id) => id.slice(id.indexOf("/") + 1);
const title = (id) => data.tools[id.split("/")[0]] ?? id.split("/")[0];

const views = {
  cell: (id) => [`${title(id)}: ${(data.cells[id] ?? data.earlier[id])?.title ?? id}`, evidence(id)],
  claim: (id) => [`${title(id)}: ${headless(id)}`, evidence(id)],
  lecture(id) {
    const cell = data.lecture[id];
    const said = facts([["today", cell.value], ["status", status(cell.status)], ["2021", cell.then]]);
    return [`${title(id)}: ${headless(id)}`, [said, ...cell.evidence.flatMap(evidence)]];
  },
  item(id) {
    const trait = data.traits[headless(id)];
    const [, native, restored, reason] = trait.items[id.split("/")[0]];
    const read = (text) => make("pre", { tabindex: "0" }, text);
    const told = [["written", read(trait.written)], ["came back", read(native)], ["with sidecar", read(restored)], ["declared reason", reason]];
    return [`${title(id)}: ${headless(id)}`, [facts(told)]];
  },
  score(id) {
    const end = id.lastIndexOf("/");
    const [row, axis] = [id.slice(0, end), id.slice(end + 1)];
    const table = make("table", {}, make("tr", {}, ...["quantity", "as measured", "1 is the best seen"].map((text) => make("th", { scope: "col" }, text))));
    for (const [of, quantity, value, good] of data.scores[row].parts) {
      if (of === axis) table.append(make("tr", {}, make("th", { scope: "row" }, quantity), make("td", {}, `${value ?? "none"}`), make("td", {}, good === null ? "not measured" : `${good}`)));
    }
    return [`${title(id)}, ${headless(row)}: ${axis}`, [make("div", { class: "wide", tabindex: "0" }, table)]];
  },
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-open]");
  if (button) {
    const [, kind, id] = button.dataset.open.match(/^(\w+):([^]*)$/);
    const [heading, body] = views[kind](id);
    document.getElementById("evidence-title").textContent = heading;
    document.getElementById("evidence-body").replaceChildren(...body);
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
}

function begin(place) {
  for (const table of place.querySelectorAll("table")) {
    if (table.closest("details:not([open])")) continue;
    if (table.matches(".sortable")) sortable(table);
    table.querySelectorAll(".open").forEach((button, index) => (button.tabIndex = index ? -1 : 0));
  }
}

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

function total(axes, weights) {
  let [sum, there, logs] = [0, 0, 0];
  for (const [axis, weight] of weights) {
    sum += weight;
    if (axes[axis] === undefined || axes[axis] === null) continue;
    there += weight;
    logs += weight * Math.log(axes[axis]);
  }
  const coverage = sum > 0 ? there / sum : 0;
  return [coverage, coverage >= data.coverage - 1e-9 ? Math.exp(logs / there) : null];
}

const percent = (share) => (share === 1 ? "100 %" : `${Math.min(100 * share, 99.9).toFixed(1)} %`);

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
    const rows = sorted.get(table).rows().nodes().toArray();
    const found = rows.map((row) => [row, data.scores[row.dataset.score], ...total(data.scores[row.dataset.score].axes, weights)]);
    for (const [row, score, coverage, value] of found) {
      const better = found.filter(([, other, , theirs]) => other.rank !== null && theirs !== null && theirs > value).length;
      const rank = equal() ? score.rank : score.rank === null || value === null ? null : 1 + better;
      put(row.querySelector(".rank"), rank, `${rank ?? "–"}`);
      put(row.querySelector(".total"), value, value === null ? "no total" : value.toFixed(3));
      put(row.querySelector(".coverage"), coverage, percent(coverage));
    }
    sorted.get(table).rows().invalidate("dom").draw();
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

begin(document);
document.addEventListener("toggle", (event) => event.target.open && begin(event.target), true);
if (sliders.length) weigh();
