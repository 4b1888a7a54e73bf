// Hands as a person would hold them up, drawn from which fingers are stretched.

import { svg } from "./dom.js";

// Each finger: where it leaves the palm and where its stretched tip is.
const FINGERS = [[[20, 34], [16.5, 10]], [[27, 32], [26.5, 5]], [[34, 33], [36.5, 9]], [[40.5, 36], [46, 17]]];

const SHAPES = {
  open_palm: { fingers: [1, 1, 1, 1], thumb: [[19, 48], [6, 35]] },
  fist: { fingers: [0, 0, 0, 0] },
  victory: { fingers: [1, 1, 0, 0] },
  pointing: { fingers: [1, 0, 0, 0] },
  thumb_up: { isThumb: true },
  thumb_down: { isThumb: true, transform: "rotate(180 29 33)" },
};

const line = (from, to, width) => svg("path", { d: `M${from}L${to}`, "stroke-width": width, className: "finger" });
const gap = (d) => svg("path", { d, className: "gap" });

// From the side: four folded fingers one above the other, the thumb stretched away from them.
function thumb() {
  return [line([20, 34], [27, 11], 9), svg("rect", { x: 15, y: 26, width: 31, height: 29, rx: 8, className: "palm" }),
    gap("M33 33.5H46M33 40.5H46M33 47.5H46")];
}

// From the front; a thumb that is not stretched lies across the folded fingers.
function palm({ fingers, thumb: stretched }) {
  return [
    ...FINGERS.filter((_, i) => fingers[i]).map(([from, tip]) => line(from, tip, 6.4)),
    svg("rect", { x: 16.5, y: 27, width: 27.5, height: 30, rx: 9, className: "palm" }),
    ...(stretched ? [line(...stretched, 6.6)]
      : [gap("M23.5 29V39M30.3 29V39M37 29V39"), gap("M17 42.5H33Q37 42.5 36 46.5")]),
  ];
}

export function hand(name) {
  const { isThumb, transform = "", ...shape } = SHAPES[name];
  return svg("svg", { className: "hand", viewBox: "0 0 58 62", "aria-hidden": "true" },
    svg("g", { transform }, ...(isThumb ? thumb() : palm(shape))));
}

export const hasShape = (name) => name in SHAPES;
