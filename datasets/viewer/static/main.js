// The page of `demoloop view`: what is shown, and what happens when it changes.

import { getDataset, getEpisode, getState, postCheck } from "./api.js";
import { Curves } from "./curves.js";
import { $, el, outcome, seconds, toast } from "./dom.js";
import { Edits } from "./edits.js";
import { choose } from "./filter.js";
import { Keys } from "./keys.js";
import { badges, EpisodeList } from "./list.js";
import { Player } from "./player.js";
import { bandsOf, Timeline } from "./timeline.js";

const POLL_MS = 1000; // how soon a change on disk is noticed
const SPEEDS = ["0.25", "0.5", "1", "2", "4"];

let data = { episodes: [], history: [], stamp: null };
let shown = []; // the episodes that the filters leave, in their order
let current = null; // what the list says of the chosen one
let detail = null; // its curves
let marks = [null, null]; // first and last step to keep
let descending = false;
let cameras = "";

const list = new EpisodeList($("#list"), $("#spacer"), open);
const player = new Player($("#cameras"), onStep, (playing) => {
  $("#play").textContent = playing ? "❚❚" : "▶";
});
const timeline = new Timeline((step) => seek(step));
const curves = new Curves($("#curves"), (step) => seek(step));
const edits = new Edits({
  current: () => current,
  data: () => data,
  marks: () => marks,
  clearMarks: () => mark(null, null),
  neighbour: () => (shown[list.place + 1] ?? shown[list.place - 1])?.uuid,
  reload,
});
const keys = new Keys();

function seek(step) {
  player.pause();
  player.seek(step);
}

function onStep(step) {
  timeline.setStep(step);
  curves.setStep(step);
  const time = detail ? ` · captured at ${seconds(detail.time[step] - detail.time[0])}` : "";
  $("#clock").textContent = `step ${step} of ${current.length - 1} · ${seconds(step / data.fps)}${time}`;
}

// `uuid` is shown afterwards, or what was shown before, or what stands in its place now.
async function reload(uuid) {
  let news;
  try {
    news = await getDataset();
  } catch (error) {
    return banner(error.message);
  }
  data = news;
  banner(data.problem);
  $("#summary").textContent =
    `${data.robot} · ${data.fps} Hz · ${data.episodes.length} episodes · view ${data.view}`;
  $("#missing").hidden = !data.missing.length;
  $("#missing").textContent = `${data.missing.length} not shown`;
  $("#check").classList.toggle("done", Boolean(data.checked));
  if (JSON.stringify(data.cameras) !== cameras) {
    cameras = JSON.stringify(data.cameras);
    player.setCameras(data.cameras);
  }
  fill($("#by-tag"), [...new Set(data.episodes.flatMap((episode) => episode.tags))].sort());
  fill($("#by-split"), [...new Set(data.episodes.map((episode) => episode.split))].filter(Boolean).sort());
  filter();
  const before = current;
  const find = (wanted) => data.episodes.find((episode) => episode.uuid === wanted);
  current = find(uuid) ?? find(before?.uuid ?? location.hash.slice(1));
  current ??= shown.find((episode) => episode.index >= (before?.index ?? 0)) ?? shown.at(-1) ?? null;
  const isSame = ["uuid", "first", "length", "defects"].every((key) => before?.[key] === current?.[key]);
  if (isSame && detail) describe();
  else await open(current?.uuid ?? null);
}

function fill(select, values) {
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...values.map((value) => el("option", { value, text: value })));
  select.value = values.includes(chosen) ? chosen : "";
}

function filter() {
  shown = choose(data.episodes, {
    search: $("#search").value, success: $("#by-success").value, flag: $("#by-flag").value,
    tag: $("#by-tag").value, split: $("#by-split").value, order: $("#order").value, descending,
  });
  const all = data.episodes.length;
  $("#count").textContent = shown.length === all ? `${all} episodes` : `${shown.length} of ${all} episodes`;
  list.show(shown, data.fps);
  list.choose(current?.uuid);
}

async function open(uuid) {
  current = data.episodes.find((episode) => episode.uuid === uuid) ?? null;
  detail = null;
  marks = [null, null];
  showMarks();
  document.body.classList.toggle("empty", !current);
  list.choose(uuid);
  describe();
  if (!current) {
    player.close();
    curves.clear();
    timeline.setBands([]);
    return;
  }
  history.replaceState(null, "", `#${uuid}`);
  timeline.setLength(current.length);
  timeline.setBands([]);
  player.open(current, data.fps);
  try {
    const news = await getEpisode(uuid);
    if (current?.uuid !== uuid) return; // another one was chosen meanwhile
    detail = news;
  } catch (error) {
    curves.clear();
    return banner(error.message);
  }
  banner(data.problem);
  curves.show(detail.pages, data.fps, current.length);
  player.showGoal(detail.goal);
  showBands();
  describe();
  onStep(player.target);
}

function describe() {
  $("#task").textContent = current ? `#${current.index}  ${current.task || "no task"}` : "No episode chosen";
  $("#task").title = current?.task ?? "";
  const chips = current ? [
    el("span", { className: `badge ${outcome(current.success).replace(" ", "-")}`, text: outcome(current.success) }),
    ...badges({ ...current, tags: [] }),
    ...current.tags.map((tag) => edits.tagChip(tag)),
    el("span", { className: "quiet", text: `${current.length} steps · ${current.uuid.slice(0, 8)}` +
      (current.seed === null ? "" : ` · seed ${current.seed}`) }),
  ] : [];
  $("#badges").replaceChildren(...chips);
  const drops = Object.entries(current?.drops ?? {}).filter(([, count]) => count);
  $("#findings").replaceChildren(
    ...drops.map(([camera, count]) => el("li", { text: `camera ${camera}: ${count} frames dropped` })),
    ...(detail?.defects ?? []).map((defect) => jump(defect.first, `! ${defect.sentence}`)),
    ...(detail?.events ?? []).map(([step, what]) => jump(step, what)),
    ...(detail?.takeover ?? []).map(([first, last]) => jump(first, `a person takes over until step ${last}`)));
  if (!$("#findings").children.length) {
    const text = data.checked ? "None." : "No event; the check has not been run on this view.";
    $("#findings").append(el("li", { className: "quiet", text }));
  }
  edits.showOwn();
}

const jump = (step, text) => el("li", {}, el("button", {
  className: "link", dir: "auto", on: { click: () => seek(step) }, text: `step ${step}: ${text}`,
}));

function showBands() {
  const bands = detail ? bandsOf(detail, marks, current.length) : [];
  timeline.setBands(bands);
  curves.setBands(bands);
}

function mark(first, last) {
  if (first !== null && last !== null && first > last) [first, last] = [last, first];
  marks = [first, last];
  showMarks();
  showBands();
}

function showMarks() {
  const [first, last] = marks;
  const isMarked = first !== null || last !== null;
  $("#unmark").disabled = !isMarked;
  $("#marks").textContent = isMarked
    ? `keep ${first ?? 0} … ${last ?? current.length - 1}` : "";
}

// Goes to another episode of the list, and stays where the list ends.
function move(by) {
  const next = shown[list.place + by];
  if (next) open(next.uuid);
}

function moveToDefect(by) {
  const starts = (detail?.defects ?? []).map((defect) => defect.first).sort((a, b) => a - b);
  const next = by > 0 ? starts.find((s) => s > player.target) : starts.findLast((s) => s < player.target);
  if (next !== undefined) seek(next);
  else toast(starts.length ? "No further defect in this direction." : "No defect is known in this episode.");
}

function setSpeed(by) {
  const at = SPEEDS.indexOf($("#speed").value) + by;
  if (SPEEDS[at]) $("#speed").value = SPEEDS[at];
  player.speed = Number($("#speed").value);
}

function banner(sentence) {
  $("#banner").hidden = !sentence;
  $("#banner").textContent = sentence ?? "";
}

async function check() {
  try {
    await postCheck();
    await poll();
  } catch (error) {
    toast(error.message, true);
  }
}

function showCheck({ is_running, done, total, problem }) {
  const button = $("#check");
  if (button.disabled && !is_running) {
    const bad = data.episodes.filter((episode) => episode.defects).length;
    toast(problem || (bad ? `Checked: ${bad} episodes have defects.` : "Checked: no defect."), Boolean(problem));
  }
  button.disabled = is_running;
  $("#check-text").textContent = is_running ? `Checking ${done} of ${total}` : "Check";
}

let isAway = false;

async function poll() {
  let state;
  try {
    state = await getState();
  } catch {
    isAway = true;
    return banner("The viewer does not answer any more; start `demoloop view` again.");
  }
  if (isAway) location.reload();
  if (!edits.busy && (state.stamp !== data.stamp || state.checked !== data.checked)) {
    const isChanged = data.stamp !== null && state.stamp !== data.stamp;
    await reload();
    if (isChanged) toast("The dataset changed on disk; this is how it is now.");
  }
  showCheck(state.check);
}

function wireKeys() {
  const go = (by) => () => seek(player.target + by);
  keys.add("Episodes", ["j", "ArrowDown"], "next episode", () => move(1));
  keys.add("Episodes", ["k", "ArrowUp"], "previous episode", () => move(-1));
  keys.add("Episodes", ["/"], "search; Esc leaves the field", () => $("#search").focus());
  keys.add("Playing", ["Space"], "play or pause", () => player.toggle());
  keys.add("Playing", ["ArrowRight"], "one step on", go(1));
  keys.add("Playing", ["ArrowLeft"], "one step back", go(-1));
  keys.add("Playing", ["Shift+ArrowRight"], "ten steps on", go(10));
  keys.add("Playing", ["Shift+ArrowLeft"], "ten steps back", go(-10));
  keys.add("Playing", ["Home"], "first step", () => seek(0));
  keys.add("Playing", ["End"], "last step", () => seek(current.length - 1));
  keys.add("Playing", [","], "slower", () => setSpeed(-1));
  keys.add("Playing", ["."], "faster", () => setSpeed(1));
  keys.add("Curves", ["1"], "joints", () => curves.turn(0));
  keys.add("Curves", ["2"], "next page of curves", () => curves.turn(1));
  keys.add("Curves", ["3"], "last page of curves", () => curves.turn(2));
  keys.add("Curves", ["+", "="], "zoom in at the shown step", () => curves.zoom(2));
  keys.add("Curves", ["-"], "zoom out", () => curves.zoom(0.5));
  keys.add("Curves", ["0"], "whole episode", () => curves.zoom(0));
  keys.add("Curves", ["n"], "next defect", () => moveToDefect(1));
  keys.add("Curves", ["N"], "previous defect", () => moveToDefect(-1));
  keys.add("Edits", ["["], "keep from this step on", () => mark(player.target, marks[1]));
  keys.add("Edits", ["]"], "keep up to this step", () => mark(marks[0], player.target));
  keys.add("Edits", ["x"], "clear the marks", () => mark(null, null));
  for (const { key, text, run } of edits.actions) keys.add("Edits", [key], text, run);
  keys.add("Page", ["c"], "check the dataset for defects", check);
  keys.add("Page", ["h"], "history of all edits", () => edits.showHistory());
  keys.add("Page", ["?"], "these keys", () => keys.help());
}

function wire() {
  for (const id of ["#by-success", "#by-flag", "#by-tag", "#by-split", "#order"]) {
    $(id).addEventListener("change", filter);
  }
  $("#search").addEventListener("input", filter);
  $("#search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.target.blur();
    $("#list").focus();
    if (shown.length && list.place < 0) open(shown[0].uuid);
  });
  $("#direction").addEventListener("click", () => {
    descending = !descending;
    $("#direction").textContent = descending ? "↓" : "↑";
    $("#direction").setAttribute("aria-label", `Sort direction: ${descending ? "descending" : "ascending"}`);
    filter();
  });
  $("#play").addEventListener("click", () => player.toggle());
  $("#back").addEventListener("click", () => seek(player.target - 1));
  $("#forth").addEventListener("click", () => seek(player.target + 1));
  $("#speed").addEventListener("change", () => setSpeed(0));
  $("#mark-first").addEventListener("click", () => mark(player.target, marks[1]));
  $("#mark-last").addEventListener("click", () => mark(marks[0], player.target));
  $("#unmark").addEventListener("click", () => mark(null, null));
  $("#check").addEventListener("click", check);
  $("#help-open").addEventListener("click", () => keys.help());
  $("#history-open").addEventListener("click", () => edits.showHistory());
  $("#missing").addEventListener("click", () => {
    $("#absent ul").replaceChildren(...data.missing.map((text) => el("li", { text })));
    $("#absent").showModal();
  });
  wireKeys();
  edits.showBar();
}

wire();
await reload();
performance.mark("filled");
setInterval(() => document.hidden || poll(), POLL_MS);
