// The panel: what the server says is shown, and what a person does is sent.

import { Cameras } from "./cameras.js";
import { Commands } from "./commands.js";
import { $, el, say, show, toast } from "./dom.js";
import { Drawing, KEYS } from "./drawings.js";
import { Episodes } from "./episodes.js";
import { Gamepad } from "./gamepad.js";
import { Help } from "./help.js";
import { Inputs } from "./inputs.js";
import { Keyboard } from "./keyboard.js";
import { Link } from "./link.js";
import { Marks } from "./marks.js";
import { Phone } from "./phone.js";
import { Joints } from "./robot.js";
import { Banner } from "./state.js";
import { Webcam } from "./webcam.js";
import { firstLanguage, other, speak, t, WORDS } from "./words.js";

// What is known now; the parts read it, only this file writes it.
const state = { phase: "connecting", isDriving: false, engaged: false, who: "person", hasPolicy: false, isRun: false, agent: "" };
const FOLLOWING = ["ready", "recording"]; // phases in which the arm may follow the device

let hello = null;
let session = null;
let gesture = { name: "none", progress: 0, landmarks: null, hint: "", at: null };
let marks = null;
let refusal = ""; // why the server hung up

const link = new Link({ hello: onHello, session: onSession, gesture: onGesture, marks: onMarks, frame: onFrame, error: onError, opened: onOpened, lost: onLost });
const keyboard = new Keyboard(() => onInput(), (event) => commands.key(event));
const gamepad = new Gamepad(() => onInput(), (index) => state.isDriving && commands.pad(index));
const phone = new Phone(() => onInput(), () => choose("phone"));
const inputs = new Inputs(link, { keyboard, gamepad, phone });
const commands = new Commands(link, state);
const cameras = new Cameras($("#cameras"), onShown);
const joints = new Joints();
const banner = new Banner();
const episodes = new Episodes();
const drawing = new Drawing($("#drawing"));
const webcam = new Webcam(link);
const marking = new Marks(link, cameras, () => state.isDriving);
const help = new Help();

keyboard.moving = new Set(Object.keys(KEYS));

function onInput() {
  inputs.changed();
  drawing.light(keyboard.held, gamepad.state, gesture.name);
}

function onOpened() {
  say($("#line-text"), t("connected"));
}

function onLost() {
  state.isDriving = false;
  inputs.isDriving = false;
  keyboard.release();
  say($("#line-text"), "");
  // Who has finished hangs up, and there is nothing to worry about.
  setPhase(state.phase === "finished" ? "finished" : "lost");
  showWatching();
}

function onError({ sentence }) {
  refusal = sentence;
}

function onHello(message) {
  hello = message;
  state.isDriving = inputs.isDriving = hello.role === "driver";
  state.hasPolicy = ["run", "takeover"].includes(hello.verb);
  state.isRun = hello.verb === "run";
  inputs.begin();
  refusal = "";
  showHello();
}

function showHello() {
  document.body.dataset.role = hello.role;
  document.body.dataset.verb = hello.verb;
  say($("#about"), `${hello.verb} · ${hello.robot}`);
  document.title = `${hello.robot} · demoloop`;
  if (hello.cameras.length) cameras.set(hello.cameras);
  joints.set(hello.joints);
  showWatching();
  $("#task").disabled = !state.isDriving || !hello.can_retask;
  $("#agent").disabled = !state.isDriving;
  setAgent(session?.agent ?? hello.agent);
  show($("#invite-open"), Boolean(hello.invite));
  marking.show(marks);
  commands.update();
}

// Who watches may take the wheel when nobody has it.
function showWatching() {
  const isFree = session?.has_driver === false;
  show($("#watching"), !state.isDriving && link.isOpen);
  show($("#drive"), isFree);
  say($("#watching-text"), t(isFree ? "watch.free" : "watch.text"));
}

function setAgent(name) {
  const select = $("#agent");
  select.replaceChildren(...hello.agents.map((agent) => el("option", { value: agent, text: t(`agent.${agent}`) })));
  select.value = name;
  if (state.agent === "hand" && name !== "hand") webcam.stop();
  state.agent = name;
  document.body.dataset.agent = name;
  show($("#webcam"), name === "hand");
  show($("#use-phone"), name !== "phone" && hello.agents.includes("phone"));
  drawing.show(name);
}

function choose(name) {
  link.send({ type: "agent", name });
}

function onSession(message) {
  session = message;
  episodes.show(message);
  showWatching();
  if (message.agent !== state.agent) setAgent(message.agent);
  if (document.activeElement !== $("#task")) $("#task").value = message.task;
  $("#note").disabled = !state.isDriving || !["recording", "review"].includes(message.phase);
  $("#notes").replaceChildren(...message.notes.map((text) => el("li", { dir: "auto", text })));
  const dropped = Object.entries(message.drops).filter(([, count]) => count);
  say($("#drops"), dropped.length ? dropped.map(([camera, count]) => `${camera} ${count}`).join(", ") : "0");
  $("#drops").classList.toggle("warn", dropped.length > 0);
  showDisk(message.minutes_left);
  show($("#armed"), Boolean(message.armed));
  say($("#armed"), message.armed);
  setPhase(message.phase);
}

function showDisk(minutes) {
  if (minutes === null) return say($("#disk"), "–");
  const isLong = minutes >= 600;
  say($("#disk"), isLong ? t("disk.hours", { hours: Math.round(minutes / 60) }) : t("disk.minutes", { minutes: Math.round(minutes) }));
  $("#disk").classList.toggle("warn", minutes < 30);
}

function setPhase(phase) {
  state.phase = phase;
  banner.setPhase(phase, hello?.verb, phase === "lost" ? refusal : session?.problem);
  commands.update();
}

function onGesture(message) {
  // A stretched finger means something only where there is something to point at.
  const isIdle = message.name === "pointing" && !(marks && state.phase === "ready");
  gesture = isIdle ? { ...message, progress: 0, at: null } : message;
  webcam.show(gesture);
  marking.follow(gesture.at, gesture.progress);
  drawing.light(keyboard.held, gamepad.state, gesture.name);
}

function onMarks(message) {
  marks = message;
  marking.show(marks);
}

function onFrame(header, blobs) {
  if (!document.hidden) cameras.take(header, blobs);
  // Pictures may be older than what `session` said last: the phase is not taken from them.
  const engaged = header.engaged && FOLLOWING.includes(state.phase);
  const isNews = engaged !== state.engaged || header.who !== state.who;
  state.engaged = engaged;
  state.who = header.who;
  if (isNews) commands.update();
  banner.setClock(header, state);
  joints.show(header.joints, header.target);
  phone.showOpening(header.joints[hello?.joints.findIndex(({ unit }) => unit === "opening")]);
  say($("#late"), String(header.late));
  $("#late").classList.toggle("warn", header.late > 0);
  say($("#status"), header.status);
  say($("#engaged"), t(engaged ? "device.engaged" : "device.released"));
  $("#engaged").classList.toggle("on", engaged);
}

function onShown(header) {
  inputs.seen(header.seq);
  document.body.dataset.seq = header.seq;
  if (inputs.latency !== null) say($("#latency"), `${Math.round(inputs.latency)} ms`);
}

function setLanguage(name, isChosen) {
  speak(name, isChosen);
  say($("#language"), WORDS[other()].language);
  $("#language").lang = other() === "zh" ? "zh-Hans" : "en";
  if (hello) showHello();
  if (session) onSession(session);
  if (link.isOpen) onOpened();
  setPhase(state.phase);
}

$("#language").addEventListener("click", () => setLanguage(other(), true));
$("#help-open").addEventListener("click", () => help.open());
$("#invite-open").addEventListener("click", () => {
  $("#invite-code").src = `${hello.invite.picture}?${Date.now()}`; // each person gets another code
  $("#invite-url").textContent = hello.invite.url;
  $("#invite").showModal();
});
$("#drive").addEventListener("click", () => link.send({ type: "drive" }));
$("#agent").addEventListener("change", (event) => {
  choose(event.target.value);
  event.target.blur();
});
$("#task").addEventListener("change", (event) => link.send({ type: "task", text: event.target.value }));
$("#task").addEventListener("keydown", (event) => event.key === "Enter" && event.target.blur());
$("#note").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  event.target.blur();
});
$("#note").addEventListener("change", (event) => {
  if (!event.target.value.trim()) return;
  link.send({ type: "note", text: event.target.value.trim() });
  event.target.value = "";
  toast(t("note.kept"));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "?" && !event.target.matches("input, textarea") && !document.querySelector("dialog[open]")) help.open();
});

setLanguage(firstLanguage());
link.open();
