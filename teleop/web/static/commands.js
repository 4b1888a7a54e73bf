// Every command a person can give, and its key, gamepad button and gesture. A key may mean one thing in
// each phase. teleop/commands.py says the same; a test compares the two.

import { $, el, icon, keycap, say, show } from "./dom.js";
import { isField } from "./keyboard.js";
import { t } from "./words.js";

// phases: in which it is heard, all of them if none is named; shown: in which it is offered as a button,
// where that is not the same.
export const COMMANDS = [
  { name: "estop", key: "Escape", button: 8, shown: [] },
  { name: "start", key: "Space", button: 9, gesture: "victory", icon: "start", phases: ["ready"] },
  { name: "stop", key: "Space", button: 9, gesture: "victory", icon: "end", phases: ["countdown", "recording", "moving"],
    shown: ["countdown", "recording"] },
  { name: "keep", key: "Enter", button: 0, gesture: "thumb_up", icon: "keep", phases: ["review"] },
  { name: "success", key: "KeyY", button: 3, icon: "success", phases: ["review"] },
  { name: "failure", key: "KeyN", button: 10, icon: "failure", phases: ["review"] },
  { name: "redo", key: "KeyR", button: 2, icon: "redo", phases: ["review"] },
  { name: "discard", key: "Backspace", button: 1, gesture: "thumb_down", icon: "discard", phases: ["review"] },
  { name: "engage", key: "KeyG", gesture: "open_palm", icon: "hand", shown: ["ready", "recording"] },
  { name: "release", key: "KeyF", gesture: "fist", icon: "hand", shown: ["ready", "recording"] },
  { name: "take", key: "KeyT", button: 12, icon: "wheel", shown: ["recording"] },
  { name: "give_back", key: "KeyB", button: 13, icon: "back", shown: ["recording"] },
  { name: "home", key: "KeyH", button: 14, icon: "home", phases: ["ready"] },
  { name: "reset", key: "KeyR", button: 9, phases: ["fault"], shown: [] },
  { name: "finish", key: "KeyX", button: 15, icon: "finished", phases: ["ready", "review", "fault"] },
];

// What a run elsewhere can be told: nobody teaches there.
const RUN = ["start", "stop", "finish"];

export class Commands {
  constructor(link, state) {
    this.link = link;
    this.state = state; // {phase, isDriving, engaged, who, hasPolicy}
    this.buttons = new Map();
    for (const command of COMMANDS) {
      const cap = $(`[data-key=${command.name}]`);
      if (cap) cap.replaceWith(keycap(command.key));
      if (command.icon) this.addButton(command);
    }
    for (const name of ["reset", "estop"]) $(`#${name}`).addEventListener("click", (event) => this.click(name, event));
  }

  addButton(command) {
    const label = el("span", { "data-t": `command.${command.name}` });
    const button = el("button", {
      className: `command ${command.name}`, "data-command": command.name,
      on: { click: (event) => this.click(command.name, event) },
    }, icon(command.icon), label, keycap(command.key));
    this.buttons.set(command.name, button);
    $("#actions").append(button);
  }

  click(name, event) {
    this.give(name);
    // Clicked by a pointer it must not keep the focus: the next Space is meant for the arm.
    if (event.detail) event.currentTarget.blur();
  }

  give(name) {
    this.link.send({ type: "command", name });
  }

  // Whether nothing can be moving: a policy works, or a person practises, in the other phases.
  get isStill() {
    const { phase, engaged } = this.state;
    return !["countdown", "recording", "moving"].includes(phase) && !(phase === "ready" && engaged);
  }

  isHeard({ phases }) {
    return !phases || phases.includes(this.state.phase);
  }

  // Returns whether the key was a command, and gives it. The stop is heard everywhere, and from anybody.
  key({ code, repeat, target }) {
    const command = COMMANDS.find((one) => one.key === code && this.isHeard(one));
    if (!command || !(this.state.isDriving || code === "Escape")) return false;
    if (isField(target) || document.querySelector("dialog[open]")) {
      if (code !== "Escape") return false;
      if (isField(target)) target.blur();
      if (this.isStill) return false;
    }
    // A button that has the focus is pressed by these two, unless something moves: then Space ends it.
    const isOnButton = target.matches?.("button");
    if (isOnButton && (code === "Enter" || (code === "Space" && this.isStill))) return false;
    if (!repeat) this.give(command.name);
    return true;
  }

  pad(index) {
    const command = COMMANDS.find((one) => one.button === index && this.isHeard(one));
    if (command) this.give(command.name);
  }

  isOffered({ name, phases, shown = phases }) {
    const { phase, engaged, who, hasPolicy, isRun } = this.state;
    if (!shown.includes(phase)) return false;
    if (isRun && !RUN.includes(name)) return false;
    if (name === "engage" || name === "release") return !hasPolicy && engaged === (name === "release");
    if (name === "take" || name === "give_back") return hasPolicy && (who === "policy") === (name === "take");
    return true;
  }

  update() {
    const { isDriving, isRun, phase } = this.state;
    const end = this.buttons.get("stop").querySelector("[data-t]");
    end.dataset.t = isRun ? "command.hold" : phase === "countdown" ? "command.cancel" : "command.stop";
    say(end, t(end.dataset.t));
    for (const command of COMMANDS) {
      const button = this.buttons.get(command.name);
      if (!button) continue;
      const hadFocus = document.activeElement === button;
      show(button, isDriving && this.isOffered(command));
      // Who works with the keyboard alone goes on from the first button there is now.
      if (hadFocus && button.hidden) $("#actions button:not([hidden])")?.focus();
    }
    show($("#reset"), isDriving && phase === "fault");
  }
}
