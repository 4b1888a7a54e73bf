// The dialog that says what every key, button and gesture does.

import { COMMANDS } from "./commands.js";
import { $, el, keycap } from "./dom.js";
import { KEYS } from "./drawings.js";
import { hand } from "./hands.js";
import { t } from "./words.js";

const BUTTONS = ["A", "B", "X", "Y", "LB", "RB", "LT", "RT", "Back", "Start", "L3", "R3", "D ↑", "D ↓", "D ←", "D →", "Home"];

export class Help {
  open() {
    const cell = (...children) => el("td", {}, ...children);
    const head = ["command", "key", "button", "gesture"].map((name) => el("th", { scope: "col", text: t(`help.${name}`) }));
    const rows = COMMANDS.map(({ name, key, button, gesture }) => el("tr", {},
      el("th", { scope: "row", text: t(`command.${name}`) }), cell(keycap(key)),
      cell(...(button === undefined ? [] : [el("kbd", { translate: "no", text: BUTTONS[button] })])),
      cell(...(gesture ? [el("span", { className: "with-hand" }, hand(gesture), t(`gesture.${gesture}`))] : []))));
    const moving = Object.entries(KEYS).filter(([, place]) => place).flatMap(([code, [, , word]]) =>
      [el("dt", {}, keycap(code)), el("dd", { text: t(`key.${word}`) })]);
    $("#help-body").replaceChildren(
      el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)),
      el("section", {}, el("h3", { text: t("help.moving") }), el("dl", { className: "moving" }, ...moving),
        el("p", { className: "quiet", text: t("help.digits") })));
    $("#help").showModal();
  }
}
