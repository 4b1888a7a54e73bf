// What a person does with the devices, sent on change and at least ten times a second. Whoever does not
// hear of it for 0.3 s takes everything for released, so silence stops the arm.

const EVERY_MS = 80;
const REMEMBERED = 200; // numbers whose time of sending is kept, to tell how long an answer took

export class Inputs {
  // `devices`: name -> {read() -> state or null, release()}.
  constructor(link, devices) {
    this.link = link;
    this.devices = devices;
    this.isDriving = false;
    this.seq = 0;
    this.isReleased = true; // whether the last thing said was "nothing is held"
    this.sent = new Map();
    this.latency = null; // ms from sending to the picture that shows it, smoothed
    setInterval(() => this.tick(), EVERY_MS);
    window.addEventListener("blur", () => this.release());
    window.addEventListener("pagehide", () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
  }

  // The server knows nothing of what was said before.
  begin() {
    this.isReleased = true;
    this.sent.clear();
  }

  get isAttentive() {
    return !document.hidden && document.hasFocus();
  }

  tick() {
    if (this.isDriving && this.isAttentive) this.send();
  }

  send() {
    this.isReleased = false;
    this.sent.set(++this.seq, performance.now());
    if (this.sent.size > REMEMBERED) this.sent.delete(this.sent.keys().next().value);
    this.link.send({ type: "input", seq: this.seq, ...this.readAll() });
  }

  changed() {
    if (this.isDriving && this.isAttentive) this.send();
  }

  // Nothing is held from now on, whatever the fingers do.
  release() {
    for (const device of Object.values(this.devices)) device.release();
    if (!this.isDriving || this.isReleased) return;
    this.isReleased = true;
    this.link.send({ type: "input", seq: ++this.seq, ...this.readAll() });
    this.link.send({ type: "command", name: "release" });
  }

  readAll() {
    const states = Object.entries(this.devices).map(([name, device]) => [name, device.read()]);
    return Object.fromEntries(states.filter(([, state]) => state));
  }

  // A picture is seen that shows what was said up to `seq`.
  seen(seq) {
    const at = this.sent.get(seq);
    if (at === undefined) return;
    for (const number of this.sent.keys()) if (number <= seq) this.sent.delete(number);
    const took = performance.now() - at;
    this.latency = this.latency === null ? took : 0.9 * this.latency + 0.1 * took;
  }
}
