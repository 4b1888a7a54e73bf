// Pointing at an object and at a place in the picture of a camera: by mouse, by the arrow keys, or by a finger
// before the webcam, which moves a cursor over the picture as in a mirror.

import { $, el, show, svg } from "./dom.js";
import { t } from "./words.js";

const NAMES = ["object", "place"];
const STEP = 0.02; // of the picture, an arrow key; a tenth of it with Shift
const ROUND = 2 * Math.PI * 13; // of the ring about a finger

export class Marks {
  constructor(link, cameras, mayMark) {
    this.link = link;
    this.cameras = cameras;
    this.mayMark = mayMark;
    this.chosen = "object";
    this.cursor = [0.5, 0.5];
    this.buttons = NAMES.map((name) => el("button", {
      role: "radio", className: `mark ${name}`, "data-t": `marks.${name}`, on: { click: () => this.aim(name) },
    }));
    $("#marking").append(el("span", { className: "quiet mouse", "data-t": "marks.hint" }),
      el("span", { className: "quiet finger", "data-t": "marks.finger" }), ...this.buttons);
  }

  // Chosen here, and for the finger, which the server follows.
  aim(name) {
    this.choose(name);
    if (this.mayMark()) this.link.send({ type: "aim", name });
  }

  choose(name) {
    this.chosen = name;
    this.buttons.forEach((button, i) => button.setAttribute("aria-checked", NAMES[i] === name));
  }

  // What the server says is marked; null hides the whole thing.
  show(marks) {
    show($("#marking"), Boolean(marks));
    const view = marks && this.cameras.views.get(marks.camera);
    if (!view) return;
    if (this.figure !== view.figure) this.attach(marks.camera, view);
    this.choose(marks.aim);
    for (const name of NAMES) this.put(this.points[name], marks[name]);
  }

  // Where a finger points, null while none does, and how much of its hold is done.
  follow(at, progress) {
    if (!this.points) return;
    this.put(this.points.finger, at);
    this.arc.setAttribute("stroke-dashoffset", ROUND * (1 - Math.min(progress, 1)));
  }

  attach(camera, { figure, canvas }) {
    this.figure = figure;
    this.camera = camera;
    const point = (name) => el("span", { className: `point ${name}`, "data-t": `marks.${name}`, hidden: "" });
    this.points = {
      object: point("object"), place: point("place"), cursor: el("span", { className: "point cursor", hidden: "" }),
      finger: el("span", { className: "finger-cursor", "aria-hidden": "true", hidden: "" }),
    };
    this.arc = svg("circle", { className: "arc", cx: 16, cy: 16, r: 13, "stroke-dasharray": ROUND, "stroke-dashoffset": ROUND });
    this.points.finger.append(svg("svg", { viewBox: "0 0 32 32" }, svg("circle", { cx: 16, cy: 16, r: 13 }), this.arc));
    for (const one of [this.points.object, this.points.place]) one.textContent = t(one.dataset.t);
    const surface = el("div", {
      className: "surface", tabindex: "0", role: "application", "data-keys": "own", "data-t-label": "marks.surface",
      "aria-label": t("marks.surface"),
      on: {
        click: (event) => this.click(event),
        keydown: (event) => this.key(event),
        focus: (event) => event.target.matches(":focus-visible") && this.put(this.points.cursor, this.cursor),
        blur: () => this.put(this.points.cursor, null),
      },
    }, ...Object.values(this.points));
    canvas.after(surface);
  }

  put(element, at) {
    show(element, Boolean(at));
    if (!at) return;
    element.style.left = `${at[0] * 100}%`;
    element.style.top = `${at[1] * 100}%`;
    element.classList.toggle("leftwards", at[0] > 0.6); // its word would leave the picture
  }

  click({ offsetX, offsetY, currentTarget }) {
    this.send(offsetX / currentTarget.clientWidth, offsetY / currentTarget.clientHeight);
    currentTarget.blur(); // the next keys are the arm's
  }

  key(event) {
    const by = event.shiftKey ? 5 * STEP : STEP;
    const ways = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] };
    if (event.key === "Enter") this.send(...this.cursor);
    else if (!ways[event.key]) return;
    else {
      this.cursor = this.cursor.map((value, i) => Math.min(Math.max(value + ways[event.key][i], 0), 1));
      this.put(this.points.cursor, this.cursor);
    }
    event.preventDefault();
  }

  send(x, y) {
    if (this.mayMark()) this.link.send({ type: "mark", name: this.chosen, camera: this.camera, x, y });
  }
}
