// The episodes of this session as a strip of thumbnails, the newest at the end and in sight.

import { $, el, icon, say } from "./dom.js";
import { t } from "./words.js";

const ICONS = { kept: "keep", success: "success", failure: "failure", discarded: "discard", pending: "review", now: "recording" };

export class Episodes {
  constructor() {
    this.items = new Map(); // number -> {element, verdict}
  }

  show({ episodes, wanted, kept, phase }) {
    const bar = $("#wanted");
    bar.max = Math.max(wanted, 1);
    bar.value = kept;
    say($("#wanted-text"), t("episodes.count", { done: kept, wanted }));
    const numbers = new Set(episodes.map(({ number }) => number));
    for (const [number, { element }] of this.items) {
      if (numbers.has(number)) continue;
      element.remove();
      this.items.delete(number);
    }
    let isNew = false;
    for (const episode of episodes) {
      const isNow = episode.verdict === "pending" && phase === "recording";
      isNew = this.put({ ...episode, verdict: isNow ? "now" : episode.verdict }) || isNew;
    }
    const strip = $("#strip");
    strip.classList.toggle("empty", episodes.length === 0);
    strip.dataset.empty = t("episodes.none");
    if (isNew) strip.scrollLeft = strip.scrollWidth;
  }

  put({ number, seconds, steps, verdict, thumbnail }) {
    const about = t("episodes.one", { number, seconds: seconds.toFixed(1), steps, verdict: t(`verdict.${verdict}`) });
    const key = `${about}${thumbnail}`;
    const old = this.items.get(number);
    if (old?.key === key) return false;
    const picture = thumbnail ? [el("img", { src: thumbnail, alt: "" })] : [];
    const element = el("li", { className: `episode ${verdict}`, title: about, "aria-label": about },
      el("div", { className: "picture" }, ...picture, icon(ICONS[verdict])),
      el("span", { className: "number", translate: "no", text: `#${number}` }),
      el("span", { className: "verdict", text: t(`verdict.${verdict}`) }),
      el("span", { className: "length", translate: "no", text: seconds ? `${seconds.toFixed(1)} s` : "" }));
    if (old) old.element.replaceWith(element);
    else $("#strip").append(element);
    this.items.set(number, { element, key });
    return !old;
  }
}
