// The few things every part of the page does with its elements. Text is only ever set as text: what
// comes from the server may be a stranger's.

export const $ = (selector) => document.querySelector(selector);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, { className, text, on = {}, ...attributes }, children) {
  if (className) element.setAttribute("class", className);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children);
  return element;
}

export const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

export const icon = (name) =>
  svg("svg", { className: "icon", "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));

// A key as it is printed on it. What a key is called is no word of a language.
export const keycap = (code) => el("kbd", { translate: "no", text: keyName(code) });

const SIGNS = {
  Escape: "Esc", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓",
  Backspace: "⌫", Delete: "Del", ShiftLeft: "⇧", ShiftRight: "⇧", Slash: "/", Comma: ",",
  Period: ".", BracketLeft: "[", BracketRight: "]", Minus: "-", Equal: "=", Semicolon: ";",
  Quote: "'", Backquote: "`", Backslash: "\\", Tab: "Tab",
};

export const keyName = (code) => SIGNS[code] ?? code.replace(/^(Key|Digit|Numpad)/, "");

// Sets what an element says only when it changed: a live region reads out every setting.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

let hiding = 0;

export function toast(text) {
  const place = $("#toast");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(hiding);
  hiding = setTimeout(() => place.classList.remove("shown"), 5000);
}
