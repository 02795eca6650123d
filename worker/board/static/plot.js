// A light curve as SVG: inverted magnitudes, error bars, limits, today's point ringed.

import { h, s } from "/static/dom.js";
import { date } from "/static/words.js";

const FRAME = { left: 56, right: 14, top: 12, bottom: 42 };
const BANDS = ["g", "r", "i"];

export function mark(band, x, y, attributes) {
  const common = { ...attributes, "data-band": band };
  if (band === "g") return s("circle", { cx: x, cy: y, r: 4, ...common });
  if (band === "r") return s("rect", { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2, ...common });
  return s("path", { d: `M${x} ${y - 4.8}L${x + 4.6} ${y + 3.6}L${x - 4.6} ${y + 3.6}Z`, ...common });
}

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw);
  const result = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) result.push(value);
  return { values: result, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function extent(values, least, pad) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const margin = Math.max((high - low) * pad, (least - (high - low)) / 2);
  return [low - margin, high + margin];
}

export function lightCurve(alert, asDates, width) {
  const size = { width, height: Math.round(Math.min(340, Math.max(230, width * 0.46))) };
  const points = (alert.prv_candidates ?? []).filter((p) => Number.isFinite(p.magpsf));
  const limits = (alert.prv_nondetections ?? []).filter((p) => Number.isFinite(p.diffmaglim));
  if (!points.length) return h("p", { class: "empty" }, "No light curve came with this alert.");
  const now = alert.candidate.jd;
  const all = [...points, ...limits];
  const [first, last] = extent(all.map((p) => p.jd), 0.2, 0.03);
  const [bright, faint] = extent(
    [...points.flatMap((p) => [p.magpsf - p.sigmapsf, p.magpsf + p.sigmapsf]), ...limits.map((p) => p.diffmaglim)], 0.2, 0.05);
  const inner = { width: size.width - FRAME.left - FRAME.right, height: size.height - FRAME.top - FRAME.bottom };
  const x = (jd) => FRAME.left + (jd - first) / (last - first) * inner.width;
  const y = (mag) => FRAME.top + (mag - bright) / (faint - bright) * inner.height;
  const words = `${points.length} detections and ${limits.length} upper limits over ${(last - first).toFixed(0)} days, `
    + `magnitudes ${bright.toFixed(1)} to ${faint.toFixed(1)}`;
  return s("svg", { viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "aria-label": `Light curve: ${words}`, class: "curve" },
    s("title", {}, words),
    axes(x, y, size, [first, last], [bright, faint], now, asDates),
    limits.map((p) => limit(p, x(p.jd), y(p.diffmaglim))),
    points.map((p) => detection(p, x(p.jd), y(p.magpsf), y, p.candid === alert.candid)));
}

function axes(x, y, size, [first, last], [bright, faint], now, asDates) {
  const bottom = size.height - FRAME.bottom, right = size.width - FRAME.right, nodes = [];
  const vertical = ticks(bright, faint, 5);
  for (const mag of vertical.values) {
    nodes.push(s("line", { class: "axis", x1: FRAME.left, x2: right, y1: y(mag), y2: y(mag) }),
      s("text", { x: FRAME.left - 7, y: y(mag) + 4, "text-anchor": "end" }, mag.toFixed(vertical.digits)));
  }
  const horizontal = ticks(first - now, last - now, size.width < 450 ? 3 : 5);
  for (const days of horizontal.values) {
    const at = x(now + days);
    if (at < FRAME.left || at > right) continue;
    const label = asDates ? date(now + days).slice(0, last - first < 3 ? 16 : 10) : days.toFixed(horizontal.digits);
    nodes.push(s("line", { class: "axis", x1: at, x2: at, y1: bottom, y2: bottom + 5 }),
      s("text", { x: at, y: bottom + 19, "text-anchor": "middle" }, label));
  }
  nodes.push(
    s("line", { class: "axis", x1: FRAME.left, x2: right, y1: bottom, y2: bottom }),
    s("text", { x: right, y: size.height - 4, "text-anchor": "end" },
      asDates ? "UTC date" : "days from this alert"),
    s("text", { x: 2, y: size.height - 4 }, "difference magnitude"));
  return nodes;
}

function detection(p, x, y, scale, today) {
  const negative = p.isdiffpos === "f" ? " negative" : "";
  return s("g", { class: `band-${BANDS.includes(p.band) ? p.band : "i"}` },
    s("title", {}, `${date(p.jd)} UTC, ${p.band} = ${p.magpsf.toFixed(2)} ± ${p.sigmapsf.toFixed(2)}${negative && ", fainter than the reference"}`),
    s("line", { class: "error", x1: x, x2: x, y1: scale(p.magpsf - p.sigmapsf), y2: scale(p.magpsf + p.sigmapsf) }),
    mark(p.band, x, y, { class: `point${negative}` }),
    today ? s("circle", { class: "ring", cx: x, cy: y, r: 8.5 }) : null);
}

function limit(p, x, y) {
  return s("path", { class: `limit band-${p.band}`, d: `M${x - 3.5} ${y - 2.5}L${x + 3.5} ${y - 2.5}L${x} ${y + 3.5}Z` },
    s("title", {}, `${date(p.jd)} UTC, ${p.band} fainter than ${p.diffmaglim.toFixed(2)}`));
}

export function legend(alert) {
  const bands = BANDS.filter((band) => (alert.prv_candidates ?? []).some((p) => p.band === band));
  return h("div", { class: "legend" },
    bands.map((band) => h("span", { class: `band-${band}` },
      s("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" }, mark(band, 7, 7, { class: "point sample" })), ` ${band}`)),
    h("span", {}, "▽ upper limit"), h("span", {}, "hollow: fainter than the reference"), h("span", {}, "ringed: this alert"));
}
