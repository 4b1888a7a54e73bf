// What can be said about an episode: each button writes one line of the overlay, and `u` takes
// the last one back. Nothing recorded is touched.

import { postEdit, postUndo } from "./api.js";
import { ask, $, el, keyButton, toast } from "./dom.js";

export class Edits {
  // page: what the rest of the page knows and does, as functions
  constructor(page) {
    this.page = page;
    this.waiting = 0; // edits on their way
    this.last = Promise.resolve(); // one after the other: an undo is of what was written before it
    this.actions = [
      { key: "s", label: "Success", text: "mark as a success", run: () => this.edit("success", true) },
      { key: "f", label: "Failure", text: "mark as a failure", run: () => this.edit("success", false) },
      { key: "b", label: "Not judged", text: "take the verdict back", run: () => this.edit("success", null) },
      { key: "t", label: "Trim", text: "keep only what is between the marks", run: () => this.trim() },
      { key: "r", label: "Task", text: "say another task", run: () => this.relabel() },
      { key: "w", label: "Weight", text: "how often it is drawn in training", run: () => this.weigh() },
      { key: "g", label: "Tag", text: "add a tag", run: () => this.tag() },
      { key: "p", label: "Split", text: "train, val or another", run: () => this.split() },
      { key: "d", label: "Drop", text: "leave the episode out", run: () => this.drop() },
      { key: "u", label: "Undo", text: "take the last edit back", run: () => this.undoLast() },
      { key: "U", label: "Redo", text: "make again what was taken back last", run: () => this.redoLast() },
    ];
  }

  showBar() {
    $("#edits").replaceChildren(...this.actions.map(({ key, label, text, run }) => {
      const button = keyButton(label, key, run);
      button.id = `edit-${label.toLowerCase().replace(" ", "-")}`;
      button.title = text;
      return button;
    }));
  }

  // While this holds, what changes on the disk is our own doing.
  get busy() {
    return this.waiting > 0;
  }

  // Writes, shows what came of it, and says so; `uuid`, or the episode that `write` names, is
  // looked at afterwards if it can be.
  run(write, uuid) {
    this.waiting++;
    this.last = this.last.then(() => this.runNow(write, uuid)).finally(() => this.waiting--);
    return this.last;
  }

  async runNow(write, uuid) {
    try {
      const { id, episode } = await write();
      await this.page.reload(uuid ?? episode);
      const edit = this.page.data().history.find((one) => one.id === id);
      toast(`${edit.sentence} — ${edit.op === "undo" ? "U makes it hold again" : "u takes it back"}`);
    } catch (error) {
      toast(error.message, true);
    }
  }

  async edit(op, value) {
    const episode = this.page.current();
    if (!episode) return toast("Choose an episode first.", true);
    await this.run(() => postEdit(op, episode.uuid, value));
  }

  async trim() {
    const episode = this.page.current();
    const [first, last] = this.page.marks();
    if (!episode || (first === null && last === null)) {
      return toast("Mark first what is to be kept: [ at its first step, ] at its last.", true);
    }
    const start = episode.first + (first ?? 0);
    const stop = episode.first + (last ?? episode.length - 1) + 1;
    await this.edit("trim", [start, stop]);
  }

  async drop() {
    const episode = this.page.current();
    if (!episode) return toast("Choose an episode first.", true);
    await this.run(() => postEdit("drop", episode.uuid, null), this.page.neighbour());
  }

  async relabel() {
    const tasks = this.page.data().episodes.map((episode) => episode.task);
    const task = await ask("Task", this.page.current()?.task, tasks);
    if (task !== null) await this.edit("relabel", task);
  }

  async weigh() {
    const said = await ask("Weight in training, 1 is usual, 0 is never", String(this.page.current()?.weight ?? 1), []);
    if (said === null) return;
    const weight = Number(said);
    if (said === "" || !(weight >= 0)) return toast(`A weight is a number of 0 or more, not “${said}”.`, true);
    await this.edit("weigh", weight);
  }

  async tag() {
    const tag = await ask("Tag to add, one word", "", this.page.data().episodes.flatMap((episode) => episode.tags));
    if (tag) await this.edit("tag", tag);
  }

  async split() {
    const known = ["train", "val", "test", ...this.page.data().episodes.map((episode) => episode.split)];
    const split = await ask("Split, one word; empty for none", this.page.current()?.split ?? "", known);
    if (split !== null) await this.edit("split", split);
  }

  undoLast() {
    return this.undo((edit) => edit.op !== "undo", "There is no edit to take back.");
  }

  redoLast() {
    return this.undo((edit) => edit.op === "undo", "Nothing was taken back.");
  }

  // Takes back the last edit that holds and fits; its episode is looked at afterwards.
  undo(fits, otherwise) {
    return this.run(() => {
      const edit = this.page.data().history.findLast((one) => fits(one) && !one.undone);
      if (!edit) throw new Error(otherwise);
      return postUndo(edit.id).then(({ id }) => ({ id, episode: edit.episodes[0] }));
    });
  }

  tagChip(tag) {
    return el("button", {
      className: "badge tag", title: `remove the tag ${tag}`, "aria-label": `Remove the tag ${tag}`,
      on: { click: () => this.edit("untag", tag) },
    }, el("bdi", { text: tag }), " ×");
  }

  line(edit) {
    const text = el("span", { className: edit.undone ? "undone" : "", dir: "auto", text: edit.sentence });
    const about = el("span", { className: "quiet", text: ` · ${edit.author}, ${new Date(edit.time).toLocaleString()} ` });
    const made = el("li", {}, text, about);
    if (!edit.undone) {
      const text = edit.op === "undo" ? "Redo" : "Undo";
      made.append(el("button", { className: "small", text, on: { click: () => this.undo((one) => one.id === edit.id, "It is taken back already.").then(() => this.fillHistory()) } }));
    }
    return made;
  }

  showOwn() {
    const uuid = this.page.current()?.uuid;
    const own = this.page.data().history.filter((edit) => edit.episodes.includes(uuid)).reverse();
    $("#own-edits").replaceChildren(...own.map((edit) => this.line(edit)));
    if (!own.length) $("#own-edits").append(el("li", { className: "quiet", text: "As it was recorded." }));
  }

  fillHistory() {
    const edits = [...this.page.data().history].reverse();
    $("#history ol").replaceChildren(...edits.map((edit) => this.line(edit)));
    if (!edits.length) $("#history ol").append(el("li", { className: "quiet", text: "No edit yet." }));
  }

  showHistory() {
    this.fillHistory();
    $("#history").showModal();
  }
}
