// The browser's own camera: pictures go up to the hand tracker, never more than it can follow, and as the
// camera sees them; only the preview is mirrored, as in a mirror one's hands move the way one expects.

import { $, el, say, show, svg } from "./dom.js";
import { hand, hasShape } from "./hands.js";
import { t } from "./words.js";

const [WIDTH, HEIGHT] = [640, 360]; // px
const SHORTEST_MS = 1000 / 31; // at most 30 pictures a second
const QUALITY = 0.8;
const MOST_WAITING = 60_000; // bytes: about one picture

const FAULTS = { NotAllowedError: "denied", NotFoundError: "none", OverconstrainedError: "none", NotReadableError: "busy", AbortError: "busy" };

// The joints of a hand in MediaPipe's order, each line from the wrist on.
const LINES = [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [0, 17, 18, 19, 20], [5, 9, 13, 17]];
const ROUND = 2 * Math.PI * 20; // of the ring

export class Webcam {
  constructor(link) {
    this.link = link;
    this.seq = 0;
    this.isBusy = false; // a picture is being packed
    this.stream = null;
    this.last = 0;
    this.canvas = el("canvas", { width: WIDTH, height: HEIGHT });
    this.context = this.canvas.getContext("2d");
    this.video = el("video", { muted: "", playsinline: "", "aria-hidden": "true" });
    this.video.muted = true;
    this.lines = svg("svg", { className: "landmarks", viewBox: "0 0 640 360", "aria-hidden": "true" });
    this.arc = svg("circle", { className: "arc", cx: 24, cy: 24, r: 20, "stroke-dasharray": ROUND, "stroke-dashoffset": ROUND });
    this.shape = el("span", { className: "shape" });
    this.ring = el("div", { className: "ring", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "data-t-label": "gesture.held", hidden: "" },
      svg("svg", { viewBox: "0 0 48 48", "aria-hidden": "true" }, svg("circle", { cx: 24, cy: 24, r: 20 }), this.arc), this.shape);
    this.name = el("p", { className: "gesture-name", "aria-live": "polite" });
    this.button = el("button", { id: "webcam-start", className: "primary", "data-t": "webcam.start", on: { click: () => this.start() } });
    this.message = el("p", { id: "webcam-message", role: "status" });
    this.hint = el("p", { id: "gesture-hint", className: "quiet", translate: "no", lang: "en", "aria-live": "polite" });
    $("#webcam").append(el("div", { className: "mirror" }, el("div", { className: "flipped" }, this.video, this.lines),
      this.button, this.ring, this.name), this.message, this.hint);
  }

  async start() {
    if (!navigator.mediaDevices) return say(this.message, t(isSecureContext ? "webcam.none" : "webcam.insecure"));
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        video: { width: WIDTH, height: HEIGHT, frameRate: { ideal: 30 }, facingMode: "user" },
      });
    } catch (error) {
      return say(this.message, t(`webcam.${FAULTS[error.name] ?? "failed"}`));
    }
    say(this.message, "");
    show(this.button, false);
    this.video.srcObject = this.stream;
    this.stream.getVideoTracks()[0].addEventListener("ended", () => {
      this.stop();
      say(this.message, t("webcam.gone"));
    });
    await this.video.play();
    this.next();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = this.video.srcObject = null;
    show(this.button, true);
    this.draw(null);
  }

  next() {
    if (this.stream) this.video.requestVideoFrameCallback((now) => {
      this.next();
      this.take(now);
    });
  }

  take(now) {
    if (this.isBusy || now - this.last < SHORTEST_MS || this.link.waiting > MOST_WAITING || document.hidden) return;
    this.last = now;
    this.isBusy = true;
    const { videoWidth: width, videoHeight: height } = this.video;
    const scale = Math.max(WIDTH / width, HEIGHT / height); // fills it; what is over is cut off
    this.context.drawImage(this.video, (WIDTH - width * scale) / 2, (HEIGHT - height * scale) / 2, width * scale, height * scale);
    this.canvas.toBlob((jpeg) => {
      this.isBusy = false;
      if (jpeg && this.stream) this.link.sendPicture({ seq: ++this.seq, time: now / 1000 }, jpeg);
    }, "image/jpeg", QUALITY);
  }

  // What the tracker saw: the hand over the picture, and how long a command has been held.
  show({ name, progress, landmarks, hint }) {
    this.draw(landmarks);
    const isHeld = progress > 0 && hasShape(name);
    show(this.ring, isHeld);
    if (isHeld) {
      if (this.shape.dataset.name !== name) this.shape.replaceChildren(hand(name));
      this.shape.dataset.name = name;
      this.arc.setAttribute("stroke-dashoffset", ROUND * (1 - Math.min(progress, 1)));
      this.ring.setAttribute("aria-valuenow", Math.round(progress * 100));
    }
    say(this.name, landmarks && hasShape(name) ? t(`gesture.${name}`) : "");
    say(this.hint, hint ?? "");
  }

  draw(landmarks) {
    if (!landmarks) return this.lines.replaceChildren();
    const at = (i) => [landmarks[i][0] * WIDTH, landmarks[i][1] * HEIGHT];
    this.lines.replaceChildren(
      ...LINES.map((line) => svg("polyline", { points: line.map(at).join(" ") })),
      ...landmarks.map((_, i) => svg("circle", { cx: at(i)[0], cy: at(i)[1], r: i % 4 === 0 && i ? 7 : 5 })));
  }
}
