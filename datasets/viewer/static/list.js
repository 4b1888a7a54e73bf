// The episodes as a list of which only the rows in sight are elements.

import { thumbnailUrl } from "./api.js";
import { el, outcome } from "./dom.js";
import { numDrops } from "./filter.js";

const ROW = 76; // px, as in view.css
const SPARE = 6; // rows above and below those in sight
const SETTLE_MS = 80; // a list that is being flung past asks for no pictures

export class EpisodeList {
  constructor(box, spacer, onChoose) {
    this.box = box;
    this.spacer = spacer;
    this.onChoose = onChoose;
    this.episodes = [];
    this.chosen = null;
    this.rows = new Map(); // place in the list -> element
    this.settling = 0;
    box.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(episodes, fps) {
    this.episodes = episodes;
    this.fps = fps;
    this.spacer.style.height = `${episodes.length * ROW}px`;
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    this.draw();
  }

  get place() {
    return this.episodes.findIndex((episode) => episode.uuid === this.chosen);
  }

  choose(uuid) {
    this.chosen = uuid;
    const place = this.place;
    if (place >= 0) this.reveal(place);
    for (const [at, row] of this.rows) row.setAttribute("aria-selected", String(at === place));
    if (place >= 0) this.box.setAttribute("aria-activedescendant", `row-${place}`);
    else this.box.removeAttribute("aria-activedescendant");
  }

  reveal(place) {
    const { scrollTop, clientHeight } = this.box;
    if (place * ROW < scrollTop) this.box.scrollTop = place * ROW;
    else if ((place + 1) * ROW > scrollTop + clientHeight) {
      this.box.scrollTop = (place + 1) * ROW - clientHeight;
    }
    this.draw();
  }

  draw() {
    const { scrollTop, clientHeight } = this.box;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const last = Math.min(this.episodes.length, Math.ceil((scrollTop + clientHeight) / ROW) + SPARE);
    for (const [place, row] of this.rows) {
      if (place < first || place >= last) {
        row.remove();
        this.rows.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (this.rows.has(place)) continue;
      const row = this.row(this.episodes[place], place);
      this.rows.set(place, row);
      this.spacer.append(row);
    }
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.drawPictures(), SETTLE_MS);
  }

  drawPictures() {
    for (const [place, row] of this.rows) {
      const image = row.querySelector("img");
      if (!image.src) image.src = thumbnailUrl(this.episodes[place]);
    }
  }

  row(episode, place) {
    const image = el("img", { alt: "", width: 156, height: 44 });
    image.addEventListener("error", () => image.classList.add("absent"));
    image.addEventListener("load", () => image.classList.add("there"));
    const line = el("div", { className: "line" },
      el("span", { className: "number", text: `#${episode.index}` }),
      el("span", { className: `dot ${outcome(episode.success).replace(" ", "-")}`,
        title: outcome(episode.success) }),
      el("span", { className: "length", text: `${(episode.length / this.fps).toFixed(1)} s` }),
      ...badges(episode));
    const row = el("div", {
      className: "episode", role: "option", id: `row-${place}`,
      "aria-selected": String(episode.uuid === this.chosen),
      "aria-setsize": this.episodes.length, "aria-posinset": place + 1,
      "aria-label": `Episode ${episode.index}, ${outcome(episode.success)}, ${episode.task}`,
      on: { click: () => this.onChoose(episode.uuid) },
    }, image, line, el("div", { className: "task", text: episode.task, dir: "auto", title: episode.task }));
    row.style.transform = `translateY(${place * ROW}px)`;
    return row;
  }
}

export function badges(episode) {
  const drops = numDrops(episode);
  const made = [];
  const add = (className, text, title) => made.push(el("span", { className, text, title }));
  if (episode.defects) add("badge bad", `! ${episode.defects}`, "defects found by the check");
  if (episode.recovered) add("badge warn", "recovered", "the recorder was killed; what was safe is kept");
  if (drops) add("badge warn", `−${drops}`, `${drops} camera frames were dropped`);
  if (episode.length < episode.recorded) add("badge", "trimmed", `${episode.recorded} steps recorded`);
  if (episode.weight !== 1) add("badge", `×${episode.weight}`, "weight in training");
  if (episode.split) add("badge", episode.split, "split");
  for (const tag of episode.tags) add("badge tag", tag, "tag");
  return made;
}
