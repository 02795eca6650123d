// Stamps: gzipped FITS from strangers, inflated under a cap, drawn on a canvas.

import { h } from "/static/dom.js";

const MAX_INFLATED = 1 << 20;
const MAX_SIDE = 512;
const CARD = 80, BLOCK = 2880;
const READERS = {
  8: [1, (view, at) => view.getUint8(at)],
  16: [2, (view, at) => view.getInt16(at)],
  32: [4, (view, at) => view.getInt32(at)],
  "-32": [4, (view, at) => view.getFloat32(at)],
  "-64": [8, (view, at) => view.getFloat64(at)],
};
const TITLES = { science: "science", template: "reference", difference: "difference" };

let kept = { candid: null, node: null };

export function stamps(alert) {
  if (kept.candid === alert.candid) return kept.node;
  const shown = Object.entries(TITLES).map(([kind, title]) => {
    const figure = h("figure", {}, h("div", { class: "none" }, "…"), h("figcaption", {}, title));
    if (alert.stamps[kind]) draw(figure, alert.candid, kind, title);
    else say(figure, "not in the alert");
    return figure;
  });
  kept = { candid: alert.candid, node: h("div", { class: "stamps" }, shown) };
  return kept.node;
}

async function draw(figure, candid, kind, title) {
  try {
    const answer = await fetch(`/cutout/${candid}/${kind}`);
    if (!answer.ok) throw new Error(answer.status === 404 ? "too large to show" : `error ${answer.status}`);
    const image = parse(await inflate(answer.body));
    figure.firstChild.replaceWith(paint(image, title));
  } catch (error) {
    say(figure, error instanceof Unreadable || error.message.startsWith("too large") ? error.message : "unreadable");
  }
}

class Unreadable extends Error {}

const say = (figure, words) => figure.firstChild.replaceWith(h("div", { class: "none" }, words));

async function inflate(stream) {
  const reader = stream.pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > MAX_INFLATED) {
      await reader.cancel();
      throw new Unreadable("too large to show");
    }
    chunks.push(value);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

function parse(bytes) {
  const header = {};
  let at = 0;
  for (; ; at += CARD) {
    if (at + CARD > bytes.length) throw new Unreadable("not FITS");
    const card = String.fromCharCode(...bytes.subarray(at, at + CARD));
    const name = card.slice(0, 8).trim();
    if (name === "END") break;
    if (card[8] === "=") header[name] = card.slice(10).split("/")[0].trim();
  }
  const start = Math.ceil((at + CARD) / BLOCK) * BLOCK;
  const [width, height] = [Number(header.NAXIS1), Number(header.NAXIS2)];
  const [size, read] = READERS[header.BITPIX] ?? [];
  const sound = header.SIMPLE === "T" && read && [width, height].every((n) => Number.isInteger(n) && n > 0 && n <= MAX_SIDE);
  if (!sound) throw new Unreadable("not a 2-D FITS image");
  if (start + width * height * size > bytes.length) throw new Unreadable("cut short");
  const view = new DataView(bytes.buffer), pixels = new Float64Array(width * height);
  const scale = Number(header.BSCALE ?? 1), zero = Number(header.BZERO ?? 0);
  for (let i = 0; i < pixels.length; i++) pixels[i] = read(view, start + i * size) * scale + zero;
  return { width, height, pixels };
}

// asinh between the 1st and 99.5th percentile; the first FITS row is the lowest.
function paint({ width, height, pixels }, title) {
  const sorted = pixels.filter(Number.isFinite).sort();
  if (!sorted.length) throw new Unreadable("no finite pixel");
  const quantile = (q) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
  const low = quantile(0.01), span = quantile(0.995) - low || 1;
  const canvas = h("canvas", { width, height, role: "img", "aria-label": `${title} stamp, ${width} by ${height} pixels` });
  const context = canvas.getContext("2d");
  const target = context.createImageData(width, height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const value = pixels[(height - 1 - row) * width + column];
      const share = Math.min(1, Math.max(0, (value - low) / span));
      const grey = Number.isFinite(value) ? 255 * Math.asinh(share * 8) / Math.asinh(8) : 0;
      target.data.set([grey, grey, grey, 255], 4 * (row * width + column));
    }
  }
  context.putImageData(target, 0, 0);
  return canvas;
}
