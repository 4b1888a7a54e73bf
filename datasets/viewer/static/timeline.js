// The slider over the steps of an episode, and what is marked on it.

import { $, el } from "./dom.js";

export class Timeline {
  constructor(onSeek) {
    this.slider = $("#scrub");
    this.bands = $("#bands");
    this.slider.addEventListener("input", () => onSeek(Number(this.slider.value)));
  }

  setLength(length) {
    this.length = length;
    this.slider.max = String(Math.max(length - 1, 0));
  }

  setStep(step) {
    this.slider.value = String(step);
  }

  // bands: [{first, last, kind, text}] in steps, last one included
  setBands(bands) {
    const steps = Math.max(this.length - 1, 1);
    this.bands.replaceChildren(...bands.map(({ first, last, kind, text }) => {
      const band = el("span", { className: `band ${kind}`, title: text });
      band.style.left = `${(100 * first) / steps}%`;
      band.style.width = `${(100 * Math.max(last - first, 0)) / steps}%`;
      return band;
    }));
  }
}

// What is marked in an episode: who took over, what happened, what the check found, and which
// part the marks [ and ] would leave out.
export function bandsOf(detail, marks, length) {
  const bands = [];
  for (const [first, last] of detail.takeover) {
    bands.push({ first, last, kind: "takeover", text: `a person had taken over, steps ${first}–${last}` });
  }
  for (const defect of detail.defects) {
    bands.push({ first: defect.first, last: defect.last, kind: "defect", text: defect.sentence });
  }
  for (const [step, what] of detail.events) {
    bands.push({ first: step, last: step, kind: "event", text: what });
  }
  const [start, end] = marks;
  if (start !== null && start > 0) {
    bands.push({ first: 0, last: start - 1, kind: "cut", text: "to be trimmed off" });
  }
  if (end !== null && end < length - 1) {
    bands.push({ first: end + 1, last: length - 1, kind: "cut", text: "to be trimmed off" });
  }
  return bands;
}
