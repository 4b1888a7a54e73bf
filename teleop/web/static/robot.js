// The joints as small bars between their limits, and where the gripper is led to.

import { $, el, say } from "./dom.js";
import { t } from "./words.js";

const DEGREES = 180 / Math.PI;

export class Joints {
  set(joints) {
    this.joints = joints;
    this.rows = joints.map(({ name, low, high }) => {
      const bar = el("span", { className: "bar" }, el("i"));
      const value = el("output", { translate: "no" });
      const row = el("div", {
        className: "joint", role: "meter", "aria-label": name, "aria-valuemin": low, "aria-valuemax": high,
      }, el("span", { className: "name", translate: "no", text: name }), bar, value);
      row.classList.toggle("from-middle", low < 0 && high > 0);
      const zero = low < 0 && high > 0 ? -low / (high - low) : 0;
      bar.style.setProperty("--zero", zero);
      return { row, bar, value, zero, shown: "" };
    });
    $("#joints").replaceChildren(...this.rows.map(({ row }) => row));
  }

  show(values, target) {
    this.joints?.forEach(({ low, high, unit }, i) => {
      const value = values[i];
      if (value === undefined) return;
      const row = this.rows[i];
      const text = spoken(value, unit);
      if (text === row.shown) return;
      row.shown = text;
      const share = Math.min(Math.max((value - low) / (high - low), 0), 1);
      row.bar.style.setProperty("--from", Math.min(share, row.zero));
      row.bar.style.setProperty("--to", Math.max(share, row.zero));
      row.row.setAttribute("aria-valuenow", value.toFixed(3));
      row.row.setAttribute("aria-valuetext", text);
      row.value.textContent = text;
    });
    const place = target ? target.map((metres) => Math.round(metres * 1000)).join(", ") : "";
    say($("#target"), place ? t("robot.target", { place }) : "");
  }
}

function spoken(value, unit) {
  if (unit === "opening") return `${Math.round(value * 100)} %`;
  if (unit === "m") return `${Math.round(value * 1000)} mm`;
  return `${Math.round(value * DEGREES)}°`;
}
