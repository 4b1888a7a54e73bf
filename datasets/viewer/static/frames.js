// The pictures of an episode: asked of the server in chunks, kept as JPEG up to a bound.

import { getFrames } from "./api.js";

const CHUNK = 16; // steps
const AHEAD = 32; // steps asked for before they are due
const MAX_BYTES = 96 * 1024 * 1024;

export class FrameStore {
  constructor() {
    this.kept = new Map(); // "uuid/camera/step" -> blob, the one used longest ago first
    this.bytes = 0;
    this.asked = new Map(); // requests under way
    this.broken = new Map(); // "uuid/camera" -> sentence
    this.aborter = new AbortController();
  }

  // Another episode is looked at, or the same after a trim: what was asked for and not yet answered
  // is of no use.
  turnTo(episode) {
    this.episode = episode;
    this.aborter.abort();
    this.aborter = new AbortController();
    this.asked = new Map();
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

  // Resolves when a step, counted as recorded, is kept, or its camera known to be broken. `alone`
  // is for scrubbing: one picture comes sooner than a chunk.
  async load(episode, camera, step, alone) {
    const { uuid, first, length } = episode;
    if (episode !== this.episode) return;
    if (this.fault(uuid, camera) || this.kept.has(`${uuid}/${camera}/${step}`)) return;
    const from = alone ? step : Math.max(first, step - (step % CHUNK));
    const count = alone ? 1 : Math.min(step - (step % CHUNK) + CHUNK, first + length) - from;
    const key = `${uuid}/${camera}/${from}+${count}`;
    if (!this.asked.has(key)) {
      const asked = this.asked;
      const asking = this.fetch(uuid, camera, from, count).finally(() => asked.delete(key));
      asked.set(key, asking);
    }
    await this.asked.get(key);
  }

  // Loads what is shown soon, chunk after chunk.
  async loadAhead(episode, camera, step) {
    const end = Math.min(episode.first + episode.length, step + AHEAD);
    for (let ahead = step + 1; ahead < end; ahead++) await this.load(episode, camera, ahead, false);
  }

  async fetch(uuid, camera, first, count) {
    const { signal } = this.aborter;
    try {
      const blobs = await getFrames(uuid, camera, first, count, signal);
      blobs.forEach((blob, i) => this.keep(`${uuid}/${camera}/${first + i}`, blob));
    } catch (error) {
      if (!signal.aborted) this.broken.set(`${uuid}/${camera}`, error.message);
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
