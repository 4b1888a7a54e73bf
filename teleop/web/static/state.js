// The banner: what the robot and the recorder do now, by colour, word and icon together.

import { $, say, show } from "./dom.js";
import { t } from "./words.js";

const ICONS = {
  connecting: "link", lost: "unlink", ready: "ready", countdown: "countdown", recording: "recording",
  running: "running", correcting: "recording", review: "review", moving: "moving", fault: "fault", finished: "finished",
};

// What `recording` is called where it is something more, or less.
const RECORDING = { run: "running", takeover: "correcting" };

export class Banner {
  constructor() {
    this.phase = "connecting";
  }

  setPhase(phase, verb, sentence) {
    const name = phase === "recording" ? (RECORDING[verb] ?? phase) : phase;
    document.body.dataset.phase = phase;
    $("#state-icon").setAttribute("href", `#i-${ICONS[name] ?? "ready"}`);
    say($("#state"), t(`phase.${name}`));
    const place = $("#sentence");
    // What the server says is English; what the page says of a phase is in the person's language.
    place.translate = !sentence;
    place.lang = sentence ? "en" : document.documentElement.lang;
    say(place, sentence || t(`phase.${name}.hint`));
    this.phase = phase;
  }

  setClock({ seconds, step, countdown }, { phase, who, hasPolicy }) {
    const isTimed = phase === "recording" || phase === "review";
    say($("#clock"), isTimed ? `${seconds.toFixed(1)} s · ${step}` : "");
    const isCounting = phase === "countdown" && countdown !== null;
    show($("#countdown"), isCounting);
    if (isCounting) say($("#countdown"), String(Math.max(1, Math.ceil(countdown))));
    show($("#who"), hasPolicy && phase === "recording");
    if (hasPolicy) say($("#who"), t(`who.${who}`));
    $("#who").dataset.who = who;
  }
}
