// The few things every part of the page does with its elements. Text is only ever set as text:
// task names and tags come from strangers.

export const $ = (selector) => document.querySelector(selector);

export function el(tag, { className = "", text = "", on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) element.setAttribute(name, value);
  }
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  element.append(...children);
  return element;
}

// A button whose label ends with the key that does the same.
export function keyButton(label, key, onClick) {
  const button = el("button", { on: { click: onClick } }, label);
  if (key) button.append(" ", el("kbd", { text: key }));
  return button;
}

let hiding = 0;

export function toast(text, isBad = false) {
  const place = $("#toast");
  place.textContent = text;
  place.className = isBad ? "shown bad" : "shown";
  clearTimeout(hiding);
  hiding = setTimeout(() => (place.className = ""), isBad ? 9000 : 4000);
}

export const seconds = (value) => value.toFixed(2) + " s";

export const outcome = (success) =>
  success === null ? "not judged" : success ? "success" : "failure";
