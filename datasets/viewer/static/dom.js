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

// Resolves to what was typed, or to null when the dialog was left. Each question is a dialog of its
// own: the end of one that was left comes late, and must not be taken for that of the next.
export function ask(label, value, known) {
  const input = el("input", { id: "ask-value", list: "ask-known", autocomplete: "off", dir: "auto" });
  input.value = value ?? "";
  const words = [...new Set(known)].filter(Boolean);
  const dialog = el("dialog", { id: "ask", "aria-labelledby": "ask-label" },
    el("form", { method: "dialog" },
      el("label", { id: "ask-label", for: "ask-value", text: label }),
      input,
      el("datalist", { id: "ask-known" }, ...words.map((text) => el("option", { value: text }))),
      el("div", { className: "row" },
        el("button", { type: "button", text: "Cancel", on: { click: () => dialog.close() } }),
        el("button", { value: "ok", text: "OK" }))));
  document.body.append(dialog);
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "ok" ? input.value.trim() : null);
    });
  });
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
