// The help card of each device: its keys, sticks and gestures as they lie before a person, alight while
// they are used.

import { el, icon, keyName, svg } from "./dom.js";
import { hand } from "./hands.js";
import { t } from "./words.js";

const text = (x, y, className, said, attributes = {}) =>
  svg("text", { x, y, className, "text-anchor": "middle", text: said, ...attributes });

// Where a key lies [columns, rows of the drawing] and the word that says what it does.
export const KEYS = {
  KeyQ: [0, 0, "down"], KeyW: [1, 0, "forward"], KeyE: [2, 0, "up"],
  KeyA: [0, 1, "left"], KeyS: [1, 1, "back"], KeyD: [2, 1, "right"],
  KeyO: [3.5, 0, "open"], KeyP: [4.5, 0, "close"],
  ArrowUp: [4.5, 1, "lift"], ArrowLeft: [3.5, 2, "rollLeft"], ArrowDown: [4.5, 2, "lower"], ArrowRight: [5.5, 2, "rollRight"],
  ShiftLeft: [0, 2, "fine"], ShiftRight: null,
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7].map((n) => [`Digit${n}`, null])),
};

function keyboard() {
  const [wide, high, gap] = [47, 38, 4];
  const board = svg("svg", { className: "keys", viewBox: "0 0 332 124", role: "img", "aria-label": t("help.keyboard") });
  for (const [code, place] of Object.entries(KEYS)) {
    if (!place) continue;
    const [column, row, word] = place;
    const x = column * (wide + gap) + 1;
    const y = row * (high + gap) + 1;
    const width = code === "ShiftLeft" ? 2 * wide + gap : wide;
    board.append(svg("g", { className: "key", "data-code": code },
      svg("rect", { x, y, width, height: high, rx: 7 }),
      text(x + width / 2, y + 16, "cap", keyName(code), { translate: "no" }),
      text(x + width / 2, y + 30, "does", t(`key.${word}`))));
  }
  return [board, el("p", { className: "quiet", text: t("help.digits") })];
}

function gamepad() {
  const stick = (name, x, y, label) => svg("g", { className: "stick", "data-stick": name },
    svg("circle", { cx: x, cy: y, r: 19 }), svg("circle", { className: "knob", cx: x, cy: y, r: 11 }),
    text(x, y + 36, "does", label));
  const part = (index, x, width, label, name) => svg("g", { className: "key", "data-button": index },
    svg("rect", { x, y: name.endsWith("T") ? 3 : 25, width, height: 18, rx: 6 }),
    svg("text", { x: x + width / 2, y: name.endsWith("T") ? 16 : 38, className: "does", "text-anchor": "middle" },
      svg("tspan", { translate: "no", className: "cap small", text: `${name} ` }), label));
  return [svg("svg", { className: "pad-drawing", viewBox: "0 0 332 150", role: "img", "aria-label": t("help.gamepad") },
    svg("path", { className: "body", d: "M92 50h148c30 0 46 22 54 56 7 30-6 40-20 36-14-5-26-26-42-26H100c-16 0-28 21-42 26-14 4-27-6-20-36 8-34 24-56 54-56z" }),
    part(6, 44, 100, t("key.open"), "LT"), part(4, 44, 100, t("key.lower"), "LB"),
    part(7, 188, 100, t("key.close"), "RT"), part(5, 188, 100, t("key.lift"), "RB"),
    stick("left", 100, 82, t("pad.plane")), stick("right", 232, 82, t("pad.height")),
    ...[[0, 166, 106, "A"], [1, 178, 94, "B"], [2, 154, 94, "X"], [3, 166, 82, "Y"]].map(([index, x, y, name]) =>
      svg("g", { className: "key", "data-button": index, translate: "no" }, svg("circle", { cx: x, cy: y, r: 7 }), text(x, y + 3, "cap small", name))))];
}

function gestures() {
  const rows = [["open_palm", "engage"], ["fist", "release"], ["victory", "record"], ["thumb_up", "keep"], ["thumb_down", "discard"],
    ["pointing", "mark"]]; // the last only where there is something to point at
  return [el("ul", { className: "gestures" }, ...rows.map(([name, word]) =>
    el("li", { "data-gesture": name }, hand(name), el("span", { text: t(`gesture.${word}`) })))),
    el("p", { className: "quiet", text: t("help.hand") })];
}

function sentence(name, drawing) {
  return [el("div", { className: "sketch" }, icon(drawing), el("p", { className: "quiet", text: t(`help.${name}`) }))];
}

const CARDS = {
  keyboard, gamepad, hand: gestures,
  leader: () => sentence("leader", "hand"),
  spacemouse: () => sentence("spacemouse", "wheel"),
  replay: () => sentence("replay", "redo"),
  phone: () => sentence("phone", "hand"),
};

export class Drawing {
  constructor(place) {
    this.place = place;
    this.agent = null;
  }

  show(agent) {
    this.agent = agent;
    this.place.replaceChildren(...(CARDS[agent]?.() ?? []));
  }

  // Lights up what is used just now.
  light(held, pad, gesture) {
    for (const key of this.place.querySelectorAll("[data-code]")) key.classList.toggle("on", held.has(key.dataset.code));
    for (const one of this.place.querySelectorAll("[data-gesture]")) one.classList.toggle("on", one.dataset.gesture === gesture);
    if (!pad) return;
    for (const key of this.place.querySelectorAll("[data-button]")) key.classList.toggle("on", pad.buttons[key.dataset.button] > 0.1);
    for (const [name, first] of [["left", 0], ["right", 2]]) {
      const knob = this.place.querySelector(`[data-stick=${name}] .knob`);
      knob?.setAttribute("transform", `translate(${8 * (pad.axes[first] ?? 0)} ${8 * (pad.axes[first + 1] ?? 0)})`);
    }
  }
}
