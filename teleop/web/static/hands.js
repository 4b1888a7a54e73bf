// Hands as a person would hold them up, drawn from which fingers are stretched.

import { svg } from "./dom.js";

// Each finger: where it leaves the palm, where its stretched tip is, where it is when folded.
const FINGERS = [
  { from: [20, 34], tip: [17, 9], folded: [20, 29] },
  { from: [27, 32], tip: [26.5, 4], folded: [27, 26.5] },
  { from: [34, 33], tip: [36, 8], folded: [34, 28] },
  { from: [40.5, 36], tip: [45, 15], folded: [40.5, 32] },
];
const THUMBS = { out: [[18, 46], [6, 34]], folded: [[19, 45], [27, 40]], up: [[20, 38], [17, 12]] };

const SHAPES = {
  open_palm: { fingers: [1, 1, 1, 1], thumb: "out" },
  fist: { fingers: [0, 0, 0, 0], thumb: "folded" },
  victory: { fingers: [1, 1, 0, 0], thumb: "folded" },
  pointing: { fingers: [1, 0, 0, 0], thumb: "folded" },
  thumb_up: { fingers: [0, 0, 0, 0], thumb: "up" },
  thumb_down: { fingers: [0, 0, 0, 0], thumb: "up", turned: true },
};

export function hand(name) {
  const shape = SHAPES[name];
  const line = (from, to, width) => svg("path", {
    d: `M${from}L${to}`, "stroke-width": width, className: "finger",
  });
  const parts = svg("g", shape.turned ? { transform: "rotate(180 30 32)" } : {});
  FINGERS.forEach(({ from, tip, folded }, i) => parts.append(line(from, shape.fingers[i] ? tip : folded, 6)));
  parts.append(svg("rect", { x: 16.5, y: 30, width: 27.5, height: 26, rx: 9, className: "palm" }));
  parts.append(line(...THUMBS[shape.thumb], 6.5));
  return svg("svg", { className: "hand", viewBox: "0 0 56 62", "aria-hidden": "true" }, parts);
}

export const hasShape = (name) => name in SHAPES;
