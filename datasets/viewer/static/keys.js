// Every key the page knows, once: the handler and the help are both made from this table.

import { $, el } from "./dom.js";

const SIGNS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Space: "space" };
const sign = (key) => key.split("+").map((part) => SIGNS[part] ?? part).join(" ").trim() || key;

// Keys that elements handle themselves must reach them. A field of a dialog that was just left still
// has the focus for a moment.
function isTyping(target) {
  return target.matches("input:not([type=range]), select") && target.checkVisibility();
}

export class Keys {
  constructor() {
    this.table = []; // {group, keys, text, run}
    document.addEventListener("keydown", (event) => this.handle(event));
  }

  add(group, keys, text, run) {
    this.table.push({ group, keys, text, run });
  }

  handle(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") {
        event.target.blur();
        $("#list").focus();
      }
      return;
    }
    if ((event.key === " " || event.key === "Enter") && event.target.matches("button, a")) return;
    const name = (event.shiftKey && event.key.length > 1 ? "Shift+" : "") + (event.key === " " ? "Space" : event.key);
    const found = this.table.find(({ keys }) => keys.includes(name));
    if (!found) return;
    event.preventDefault();
    found.run();
  }

  help() {
    const groups = Object.groupBy(this.table, ({ group }) => group);
    $("#help .keys").replaceChildren(...Object.entries(groups).map(([group, rows]) =>
      el("section", {}, el("h3", { text: group }), el("dl", {}, ...rows.flatMap(({ keys, text }) => [
        el("dt", {}, ...keys.map((key) => el("kbd", { text: sign(key) }))),
        el("dd", { text }),
      ])))));
    $("#help").showModal();
  }
}
