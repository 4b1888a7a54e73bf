// The robot's cameras, always the newest pictures: what comes while others are decoded replaces what
// still waits, so nothing ever queues up.

import { el } from "./dom.js";

const COARSE_PX = 200; // pictures lower than this are shown as the pixels they are

export class Cameras {
  // `onShown(header)` is called once the pictures of a header can be seen.
  constructor(place, onShown) {
    this.place = place;
    this.onShown = onShown;
    this.views = new Map();
    this.next = null;
    this.isDrawing = false;
  }

  set(names) {
    if (names.join() === [...this.views.keys()].join()) return;
    this.views = new Map(names.map((name) => {
      const canvas = el("canvas", { width: 320, height: 240 });
      const figure = el("figure", {}, canvas, el("figcaption", { translate: "no", text: name }));
      return [name, { canvas, figure, context: canvas.getContext("2d") }];
    }));
    this.place.replaceChildren(...[...this.views.values()].map(({ figure }) => figure));
    this.place.style.setProperty("--count", names.length);
  }

  take(header, blobs) {
    this.next = [header, blobs];
    if (!this.isDrawing) this.draw();
  }

  async draw() {
    this.isDrawing = true;
    while (this.next) {
      const [header, blobs] = this.next;
      this.next = null;
      // Of a run elsewhere the first picture says which cameras there are.
      if (header.cameras.some(({ name }) => !this.views.has(name))) this.set(header.cameras.map(({ name }) => name));
      // A picture that cannot be read leaves the one before in its place.
      const read = await Promise.allSettled(blobs.map((blob) => createImageBitmap(blob)));
      header.cameras.forEach(({ name }, i) => {
        const view = this.views.get(name);
        const picture = read[i].value;
        if (view && picture) paint(view, picture);
        picture?.close();
      });
      this.onShown(header);
    }
    this.isDrawing = false;
  }
}

function paint({ canvas, figure, context }, picture) {
  if (canvas.width !== picture.width || canvas.height !== picture.height) {
    canvas.width = picture.width;
    canvas.height = picture.height;
    canvas.classList.toggle("coarse", picture.height < COARSE_PX);
    figure.style.setProperty("--aspect", picture.width / picture.height);
  }
  context.drawImage(picture, 0, 0);
}
