// Elements from data. Text of strangers only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

// Control and direction characters could make text look like something else.
const plain = (child) => (typeof child === "string" ? child.replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd") : child);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined).map(plain));
  return node;
}

export function h(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

export function s(tag, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

export function facts(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined);
  return h("dl", { class: "facts" },
    known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

// A bar of which a share is filled; the page's policy allows no style attributes.
export function filled(tag, share, attributes = {}) {
  const part = h("i");
  part.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return h(tag, { ...attributes, "aria-hidden": "true" }, part);
}
