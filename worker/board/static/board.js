// The page: one night's rows, kept up to date by server-sent events; all choices live in the address.

import { detail } from "/static/detail.js";
import { filled, h } from "/static/dom.js";
import { FLAGS, OUTCOMES, age, jdToMs, number, percentile, short, strangeness } from "/static/words.js";

const STALE_MS = 30 * 60 * 1000;
const FILTERS = ["percentile", "class", "mag", "b", "points", "solar", "sent", "starred"];
const find = (id) => document.getElementById(id);
const form = find("filters");

let choice = new URLSearchParams(location.search);
let night = { rows: [], nights: [], ranked: false, problem: null };
let connected = false, known = null, shown = [], current = null;

function choose(changes) {
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === false) choice.delete(name);
    else choice.set(name, value);
  }
  const query = choice.toString();
  history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

const listed = (name) => (choice.get(name) ?? "").split(",").filter(Boolean);

function toggle(name, object) {
  const ids = listed(name);
  choose({ [name]: (ids.includes(object) ? ids.filter((id) => id !== object) : [...ids, object]).join(",") });
}

function passes(row) {
  const at = (name) => (choice.has(name) ? Number(choice.get(name)) : null);
  return !listed("hidden").includes(row.objectId)
    && !(row.percentile < at("percentile"))
    && (!choice.get("class") || row.nearest_class === choice.get("class"))
    && !(at("mag") !== null && row.magpsf > at("mag"))
    && !(Math.abs(row.b) < at("b"))
    && !(row.n_points < at("points"))
    && !(choice.has("solar") && row.solar_system)
    && !(choice.has("sent") && row.outcome !== "emitted")
    && !(choice.has("starred") && !listed("stars").includes(row.objectId));
}

async function load() {
  const wanted = choice.get("night");
  const answer = await fetch(`/api/alerts${wanted ? `?night=${encodeURIComponent(wanted)}` : ""}`);
  if (!answer.ok) throw new Error(`answer ${answer.status}`);
  night = await answer.json();
  if (night.version !== known) {
    known = night.version;
    render();
  }
  status();
}

function render() {
  const names = [...new Set([...night.nights, ...(night.night ? [night.night] : [])])].sort().reverse();
  find("night").replaceChildren(...names.map((name) => h("option", { value: name, selected: name === night.night }, name)));
  const classes = [...new Set(night.rows.map((row) => row.nearest_class).filter(Boolean))].sort();
  const chosen = choice.get("class") ?? "";
  form.elements.class.replaceChildren(h("option", { value: "" }, "any"),
    ...[...new Set([...classes, ...(chosen ? [chosen] : [])])].map((name) => h("option", { value: name, selected: name === chosen }, name)));
  sums();
  rows();
}

function sums() {
  const entries = night.ranked
    ? [["model", `${night.model} ${night.model_version}`], ["scored", night.scored], ["emitted", night.emitted],
      ["false alarms expected", night.expected_false_alarms === null ? "unknown" : number(night.expected_false_alarms, 1)],
      ["night", night.final ? "over" : "running"]]
    : [["alerts", night.rows.length], ["order", "not ranked yet"]];
  if (night.latency_p95_s !== null) entries.push(["p95 latency", `${number(night.latency_p95_s, 1)} s`]);
  if (night.newest_ms !== null) entries.push(["newest alert", `${age(night.newest_ms)} ago`]);
  find("sums").replaceChildren(...entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
}

function rows() {
  shown = night.rows.filter(passes);
  if (!shown.some((row) => row.objectId === current)) current = null;
  const wanted = choice.get("object");
  current = shown.find((row) => row.objectId === (current ?? wanted))?.objectId ?? shown[0]?.objectId ?? null;
  const focused = find("rows").contains(document.activeElement);
  find("rows").replaceChildren(...shown.map(line));
  find("count").textContent = night.rows.length ? `${shown.length} of ${night.rows.length} objects` : "";
  find("empty").hidden = shown.length > 0;
  find("empty").textContent = night.rows.length ? "No object passes these filters." : emptyWords();
  if (focused) selected()?.focus({ preventScroll: true });
  open();
}

const emptyWords = () => night.problem ? `Nothing to show: ${night.problem}.`
  : "No alerts yet. They appear here by themselves as the night goes on.";

function line(row) {
  const starred = listed("stars").includes(row.objectId);
  const remarks = [
    ...(starred ? [h("span", { class: "tag star" }, "★ starred")] : []),
    ...Object.entries(row.votes).map(([label, count]) => h("span", { class: "tag vote" }, `${label} ${count}`)),
    ...(row.emissions_90d > 1 ? [h("span", { class: "tag", title: "emissions in 90 days" }, `sent ${row.emissions_90d} ×`)] : []),
    ...(row.outcome === "emitted" || row.flags.includes(row.outcome) ? [] : [h("span", { class: "tag", title: OUTCOMES[row.outcome] }, row.outcome)]),
    ...row.flags.map((flag) => h("span", { class: "tag", title: FLAGS[flag] }, flag)),
  ];
  const isCurrent = row.objectId === current;
  return h("tr", {
    tabindex: isCurrent ? 0 : -1, "aria-current": isCurrent ? "true" : null, class: row.dismissed ? "dismissed" : null,
    "data-object": row.objectId, onclick: () => select(row.objectId),
  },
    h("td", { class: "number" }, String(row.rank)),
    h("td", { class: "object" }, row.objectId, h("div", { class: "remarks" }, remarks)),
    h("td", {}, percentile(row), filled("span", strangeness(row), { class: "meter" })),
    h("td", { class: "number wide" }, short(row.score)),
    h("td", {}, row.nearest_class ?? "–"),
    h("td", { class: "number" }, `${number(row.magpsf, 1)} ${row.band}`),
    h("td", { class: "number roomy" }, age(jdToMs(row.jd))));
}

const selected = () => find("rows").querySelector('[aria-current="true"]');

function select(object, focus = true) {
  current = object;
  choose({ object });
  for (const tr of find("rows").children) {
    const isCurrent = tr.dataset.object === object;
    tr.tabIndex = isCurrent ? 0 : -1;
    if (isCurrent) tr.setAttribute("aria-current", "true");
    else tr.removeAttribute("aria-current");
  }
  if (focus) selected()?.focus({ preventScroll: true });
  selected()?.scrollIntoView({ block: "nearest" });
  open();
}

let opened = "", resized = 0;

async function open() {
  const row = shown.find((r) => r.objectId === current);
  if (!row) {
    opened = "";
    find("detail").replaceChildren(h("p", { class: "empty" }, "Choose an object to see it here."));
    return;
  }
  const starred = listed("stars").includes(row.objectId), asDates = choice.get("axis") === "date";
  const wanted = JSON.stringify([row, starred, asDates]);
  if (wanted === opened) return;
  opened = wanted;
  let alert = null;
  if (row.detail) {
    const answer = await fetch(`/api/alerts/${row.candid}`).catch(() => null);
    alert = answer?.ok ? await answer.json() : null;
  }
  if (opened !== wanted) return;
  const actions = {
    width: Math.min(900, Math.max(260, find("detail").clientWidth - 62)),
    isStarred: starred, star: () => star(row.objectId), hide: () => hide(row.objectId),
    toggleAxis: () => { choose({ axis: asDates ? null : "date" }); open(); },
  };
  find("detail").replaceChildren(...detail(row, alert, actions, asDates).flat().filter(Boolean));
}

function star(object) {
  toggle("stars", object);
  rows();
}

function hide(object) {
  const place = shown.findIndex((row) => row.objectId === object);
  toggle("hidden", object);
  current = shown[place + 1]?.objectId ?? shown[place - 1]?.objectId ?? null;
  choose({ object: current });
  rows();
}

function move(step) {
  const place = shown.findIndex((row) => row.objectId === current);
  const next = shown[Math.min(shown.length - 1, Math.max(0, place + step))];
  if (next) select(next.objectId);
}

function status() {
  const quiet = night.newest_ms !== null && Date.now() - night.newest_ms > STALE_MS;
  const [state, words] = !connected ? ["lost", "connection lost, reconnecting"]
    : night.problem ? ["lost", `no news: ${night.problem}`]
    : night.final ? ["over", "the night is over"]
    : quiet ? ["stale", `live, but nothing new for ${age(night.newest_ms)}`]
    : ["live", "live"];
  const node = find("status");
  node.dataset.state = state;
  if (node.textContent !== words) node.textContent = words;
}

function listen() {
  const events = new EventSource("/events");
  events.addEventListener("open", () => { connected = true; status(); });
  events.addEventListener("change", () => { connected = true; load().catch(() => { connected = false; status(); }); });
  events.addEventListener("error", () => {
    connected = false;
    status();
    // The browser gives up after some failures; then we begin anew.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

function restore() {
  for (const name of FILTERS) {
    const input = form.elements[name];
    if (input.type === "checkbox") input.checked = choice.has(name);
    else if (name !== "class") input.value = choice.get(name) ?? "";
  }
}

function theme(name) {
  document.documentElement.dataset.theme = name;
}

const preferred = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = () => (preferred.matches ? "dark" : "light");
theme(choice.get("theme") ?? systemTheme());
preferred.addEventListener("change", () => theme(choice.get("theme") ?? systemTheme()));
find("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  choose({ theme: next === systemTheme() ? null : next });
  theme(next);
});
find("night").addEventListener("change", (event) => {
  choose({ night: event.target.value, object: null });
  current = known = null;
  load();
});
form.addEventListener("input", () => {
  choose(Object.fromEntries(FILTERS.map((name) => {
    const input = form.elements[name];
    return [name, input.type === "checkbox" ? (input.checked ? "1" : null) : input.value];
  })));
  rows();
});
form.addEventListener("reset", () => {
  choose(Object.fromEntries([...FILTERS, "hidden"].map((name) => [name, null])));
  setTimeout(render);  // the fields are empty only after this event
});
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => { opened = ""; open(); }, 200);
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
  if (step) move(step);
  else if (event.key === "s" && current) star(current);
  else if (event.key === "h" && current) hide(current);
  else if (event.key === "o") find("detail").focus();
  else return;
  event.preventDefault();
});

restore();
listen();
setInterval(() => { sums(); status(); }, 30000);
