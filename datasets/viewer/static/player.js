// One clock for all cameras: a step is shown when every camera's picture of it is there.
//
// Pictures come from the server one by one, not from <video>: the browser's seeking is not exact
// to the frame, h264 in 4:4:4 and hevc do not play everywhere, and files of others hold many
// episodes each. This way works for all of them, and shows exactly what training reads.

import { el } from "./dom.js";
import { FrameStore } from "./frames.js";

export class Player {
  constructor(place, onStep, onPlaying) {
    this.place = place;
    this.onStep = onStep;
    this.onPlaying = onPlaying;
    this.store = new FrameStore();
    this.speed = 1;
    this.playing = false;
    this.episode = null;
    this.drawing = false;
  }

  setCameras(cameras) {
    this.views = cameras.map((camera) => {
      const canvas = el("canvas", { width: camera.width, height: camera.height });
      const fault = el("p", { className: "fault", hidden: "" });
      if (camera.height < 200) canvas.classList.add("coarse");
      const context = canvas.getContext("2d");
      const screen = el("div", { className: "screen" }, canvas, fault);
      const figure = el("figure", {}, screen,
        el("figcaption", { text: camera.name, dir: "auto" }));
      figure.style.setProperty("--aspect", camera.width / camera.height);
      figure.style.setProperty("--columns", Math.min(cameras.length, 3));
      return { name: camera.name, canvas, fault, context, screen, figure };
    });
    this.place.replaceChildren(...this.views.map(({ figure }) => figure));
  }

  // Shows an episode from its first step on.
  open(episode, fps) {
    this.pause();
    this.showGoal(null);
    this.store.turnTo(episode);
    this.episode = episode;
    this.fps = fps;
    this.shown = -1;
    this.seek(0);
  }

  close() {
    this.pause();
    this.showGoal(null);
    this.episode = null;
    for (const { canvas, context } of this.views) {
      context.clearRect(0, 0, canvas.width, canvas.height);
      delete canvas.dataset.step;
    }
  }

  // Marks what a person pointed at before the episode, in the picture of that camera.
  showGoal(goal) {
    for (const { name, screen } of this.views) {
      screen.querySelectorAll(".mark").forEach((mark) => mark.remove());
      if (name !== goal?.camera) continue;
      goal.marks.forEach(({ name: what, at: [x, y] }, i) => {
        if (x === null || y === null) return;
        const mark = el("span", { className: `mark mark-${i % 3}`, title: what, dir: "auto", text: what });
        mark.style.left = `${100 * x}%`;
        mark.style.top = `${100 * y}%`;
        screen.append(mark);
      });
    }
  }

  seek(step) {
    if (!this.episode) return;
    this.target = Math.min(Math.max(Math.round(step), 0), this.episode.length - 1);
    this.position = this.target;
    this.onStep(this.target);
    this.draw();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  pause() {
    this.playing = false;
    this.onPlaying(false);
  }

  play() {
    if (!this.episode) return;
    if (this.target >= this.episode.length - 1) this.seek(0);
    this.playing = true;
    this.onPlaying(true);
    let before = performance.now();
    const tick = (now) => {
      if (!this.playing) return;
      // While pictures are awaited the clock stands still, so that no camera runs ahead.
      if (this.shown === this.target) {
        this.position += ((now - before) / 1000) * this.fps * this.speed;
      }
      before = now;
      const due = Math.min(Math.floor(this.position), this.episode.length - 1);
      if (due !== this.target) {
        this.target = due;
        this.onStep(due);
        this.draw();
      }
      if (due >= this.episode.length - 1 && this.shown === due) this.pause();
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  // Draws until what is shown is what is wanted: of many steps asked for while one is on its
  // way, only the last is fetched.
  async draw() {
    if (this.drawing) return;
    this.drawing = true;
    try {
      while (this.episode && this.shown !== this.target) {
        await this.drawOne(this.episode, this.target);
      }
    } finally {
      this.drawing = false;
    }
  }

  async drawOne(episode, step) {
    const recorded = episode.first + step;
    const { uuid } = episode;
    await Promise.all(this.views.map((_, c) =>
      this.store.load(episode, c, recorded, !this.playing)));
    const bitmaps = await Promise.all(this.views.map((_, c) => {
      const blob = this.store.get(uuid, c, recorded);
      return blob ? createImageBitmap(blob) : null;
    }));
    if (this.episode !== episode) return; // another one was chosen, or this one trimmed
    this.views.forEach((view, c) => {
      const sentence = this.store.fault(uuid, c);
      view.fault.hidden = !sentence;
      view.fault.textContent = sentence ?? "";
      view.canvas.classList.toggle("gone", Boolean(sentence));
      if (bitmaps[c]) {
        view.context.drawImage(bitmaps[c], 0, 0, view.canvas.width, view.canvas.height);
        bitmaps[c].close();
      }
      Object.assign(view.canvas.dataset, { uuid, step, recorded });
    });
    this.shown = step;
    if (this.target !== step && !this.playing) return; // still scrubbing
    this.views.forEach((_, c) => this.store.loadAhead(episode, c, recorded));
  }
}
