// The pictures of an episode: asked of the server in chunks, kept as JPEG up to a bound.

import { getFrames } from "./api.js";

const CHUNK = 16; // steps
const MAX_BYTES = 96 * 1024 * 1024;

export class FrameStore {
  constructor() {
    this.kept = new Map(); // "uuid/camera/step" -> blob, the one used longest ago first
    this.bytes = 0;
    this.asked = new Map(); // requests under way
    this.broken = new Map(); // "uuid/camera" -> sentence
    this.aborter = new AbortController();
  }

  // Another episode is looked at: what was asked for and not yet answered is of no use.
  turnTo() {
    this.aborter.abort();
    this.aborter = new AbortController();
    this.asked.clear();
    this.broken.clear(); // a file may have come back
  }

  get(uuid, camera, step) {
    const key = `${uuid}/${camera}/${step}`;
    const blob = this.kept.get(key);
    if (blob) {
      this.kept.delete(key);
      this.kept.set(key, blob);
    }
    return blob;
  }

  fault(uuid, camera) {
    return this.broken.get(`${uuid}/${camera}`);
  }

  // Resolves when step is kept, or its camera known to be broken. `alone` is for scrubbing: one
  // picture comes sooner than a chunk.
  async load(uuid, camera, step, end, alone) {
    const first = alone ? step : step - (step % CHUNK);
    const count = alone ? 1 : Math.min(CHUNK, end - first);
    if (count <= 0 || this.fault(uuid, camera) || this.get(uuid, camera, step)) return;
    const key = `${uuid}/${camera}/${first}+${count}`;
    if (!this.asked.has(key)) {
      const asking = this.fetch(uuid, camera, first, count).finally(() => this.asked.delete(key));
      this.asked.set(key, asking);
    }
    await this.asked.get(key);
  }

  async fetch(uuid, camera, first, count) {
    try {
      const blobs = await getFrames(uuid, camera, first, count, this.aborter.signal);
      blobs.forEach((blob, i) => this.keep(`${uuid}/${camera}/${first + i}`, blob));
    } catch (error) {
      if (error.name === "AbortError") return;
      this.broken.set(`${uuid}/${camera}`, error.message);
    }
  }

  keep(key, blob) {
    if (this.kept.has(key)) return;
    this.kept.set(key, blob);
    this.bytes += blob.size;
    for (const [old, { size }] of this.kept) {
      if (this.bytes <= MAX_BYTES) break;
      this.kept.delete(old);
      this.bytes -= size;
    }
  }
}
