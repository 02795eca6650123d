// One alert: what, why, how far to trust it.

import { facts, filled, h } from "/static/dom.js";
import { legend, lightCurve } from "/static/plot.js";
import { stamps } from "/static/stamps.js";
import { FLAGS, OUTCOMES, date, links, number, oneIn, percentile, sexagesimal, short } from "/static/words.js";

const SHOWN_CLASSES = 8;

export function detail(row, alert, actions, asDates) {
  return [
    title(row, actions),
    h("p", { class: "lead" }, sentence(row)),
    h("ul", { class: "links", "aria-label": "Other services" },
      Object.entries(links(row)).map(([name, url]) =>
        h("li", {}, h("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, name)))),
    ...(alert ? whole(alert, asDates, actions) : [absent(row)]),
  ];
}

function title(row, actions) {
  const place = `${row.ra.toFixed(5)} ${row.dec >= 0 ? "+" : ""}${row.dec.toFixed(5)}`;
  return [
    h("div", { class: "title" },
      h("h2", {}, row.objectId),
      h("span", {}, `#${row.rank}`),
      copy("copy name", row.objectId),
      h("button", { type: "button", onclick: actions.star, "aria-pressed": String(actions.isStarred) }, actions.isStarred ? "★ starred" : "☆ star"),
      h("button", { type: "button", onclick: actions.hide }, "hide")),
    h("p", { class: "note" }, `${sexagesimal(row.ra, row.dec)} · ${place} · b = ${number(row.b, 0)}° `,
      copy("copy position", place)),
  ];
}

function copy(label, text) {
  const button = h("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = text;
    }
  });
  return button;
}

function sentence(row) {
  const votes = Object.entries(row.votes).map(([label, count]) => `${count} × ${label}`).join(", ");
  const said = votes ? ` People say: ${votes}.` : "";
  if (row.provisional) {
    return `Percentile ${percentile(row)} by the model's own standard: this survey has no calibration yet, so the order counts, not the number.${said}`;
  }
  return `Stranger than ${percentile(row)} % of ordinary objects with as many points: ${oneIn(1 - row.percentile / 100)} looks this strange.${said}`;
}

const absent = (row) => h("p", { class: "card empty" },
  `No light curve here: ${OUTCOMES[row.outcome] ?? "this board does not hold the alert any more"}. The links above know the object.`);

function whole(alert, asDates, actions) {
  return [
    h("section", { class: "card", "aria-label": "Light curve" },
      h("header", {}, h("h3", {}, "Light curve"),
        h("button", { type: "button", onclick: actions.toggleAxis }, asDates ? "show days" : "show dates")),
      lightCurve(alert, asDates, actions.width), legend(alert)),
    h("section", { class: "card", "aria-label": "Stamps" }, h("h3", {}, "Stamps"), stamps(alert),
      h("p", { class: "note" }, "First FITS row at the bottom: on ZTF north is up, east is left. Grey: asinh, 1 to 99.5 %.")),
    h("div", { class: "pair" }, why(alert.anomaly), trust(alert)),
    earlier(alert.anomaly),
  ];
}

function why(anomaly) {
  const distances = Object.entries(anomaly.class_distances).filter(([, d]) => d !== null).sort((a, b) => a[1] - b[1]).slice(0, SHOWN_CLASSES);
  const far = Math.max(...distances.map(([, d]) => d), 1e-9);
  const inputs = anomaly.top_inputs.map((i) =>
    h("li", {}, `${i.name}: ${short(i.value)}, typical ${short(i.typical)} (${short(Math.abs(i.z))} deviations ${i.z < 0 ? "below" : "above"})`));
  return h("section", { class: "card why", "aria-label": "Why" },
    h("h3", {}, "Why"),
    h("p", { class: "note" }, "Distance to the centre of each known class, nearest first."),
    h("div", { class: "bars" }, distances.map(([name, d]) => [
      h("span", {}, name), filled("span", d / far, { class: "bar" }), h("span", { class: "number" }, short(d))])),
    inputs.length ? [h("h3", {}, "Most unusual inputs"), h("ul", { class: "flags" }, inputs)] : null,
    anomaly.neighbours.length ? h("p", { class: "note" }, `Nearest training objects: ${anomaly.neighbours.map((n) => n.class).join(", ")}`) : null);
}

function trust(alert) {
  const { anomaly } = alert;
  const bands = Object.entries(anomaly.n_points_band).map(([band, n]) => `${n} ${band}`).join(", ");
  const calibration = anomaly.p === null ? "none for this survey"
    : `${anomaly.n_cal} objects in the bin${anomaly.p_extrapolated ? "; p lies beyond them and is extrapolated" : ""}`;
  const reality = alert.candidate.drb ?? alert.candidate.rb;
  return h("section", { class: "card trust", "aria-label": "Trust" },
    h("h3", {}, "How far to trust it"),
    facts([
      ["points scored", `${anomaly.n_points}${anomaly.truncated ? ", older ones left out" : ""}`],
      ["usable by band", bands],
      ["baseline", `${number(anomaly.baseline_days, 1)} d, ${anomaly.magnitude_kind} magnitudes`],
      ["calibration", calibration],
      ["score", `${short(anomaly.score)} (model ${anomaly.model} ${anomaly.model_version})`],
      ["real, not bogus", number(reality, 2)],
      ["emitted by", anomaly.emitted_by],
      ["observed", `${date(alert.candidate.jd)} UTC`],
      ["input", `${anomaly.input_topic} ${anomaly.input_partition}:${anomaly.input_offset}`],
    ]),
    anomaly.flags.length ? h("ul", { class: "flags" }, anomaly.flags.map((flag) => h("li", {}, FLAGS[flag] ?? flag))) : null);
}

function earlier(anomaly) {
  if (!anomaly.emissions.length) return null;
  return h("section", { class: "card", "aria-label": "Earlier emissions" }, h("h3", {}, "Emitted before"),
    h("ul", { class: "flags" }, anomaly.emissions.map((e) => h("li", {}, `${date(e.jd)} UTC, ${oneIn(e.p)}`))));
}
