// A phone held like a handle: the thumb on the field is the clutch. Dragging moves the arm in the plane;
// with the tilt button held the phone's tilt counts too, and where the browser knows the phone's pose
// (WebXR) the pose is what counts.

import { $, el, say, show } from "./dom.js";
import { t } from "./words.js";

export class Phone {
  constructor(onChange, onChoose) {
    this.onChange = onChange;
    this.touch = 0; // counts touches: letting go and touching again must not be missed
    this.fingers = new Map(); // pointer id -> where it touched, null on the tilt button
    this.drag = [0, 0];
    this.tilt = null;
    this.isTilting = false;
    this.pose = null;
    this.opening = null;
    this.isUsed = false;
    this.build(onChoose);
  }

  build(onChoose) {
    this.field = el("div", { id: "field", "data-t-label": "phone.field" },
      el("span", { className: "dot" }), el("p", { "data-t": "phone.drag" }));
    this.tiltButton = el("button", { id: "tilt" }, el("span", { "data-t": "phone.tilt" }));
    this.spaceButton = el("button", { id: "space", "data-t": "phone.space", hidden: "", on: { click: () => this.enterSpace() } });
    this.slider = el("input", { id: "opening", type: "range", min: 0, max: 1, step: 0.01, "data-t-label": "phone.gripper",
      on: { input: () => this.grip() } });
    this.message = el("p", { id: "phone-message", role: "status" });
    this.chooser = el("button", { id: "use-phone", className: "primary", "data-t": "phone.use", on: { click: onChoose } });
    $("#pad").append(this.chooser, el("div", { className: "thumbs" }, this.field, this.tiltButton),
      el("label", { className: "gripper" }, el("span", { "data-t": "phone.gripper" }), this.slider),
      this.spaceButton, this.message);
    this.listen(this.field, (event) => [event.clientX, event.clientY]);
    this.listen(this.tiltButton, () => null);
    navigator.xr?.isSessionSupported("immersive-ar").then((is) => show(this.spaceButton, is)).catch(() => {});
  }

  read() {
    if (!this.isUsed) return null;
    const isHeld = this.fingers.size > 0;
    const isTilted = isHeld && [...this.fingers.values()].includes(null);
    return {
      is_held: isHeld, touch: this.touch, drag: isHeld ? this.drag : null,
      tilt: isTilted ? this.tilt : null, pose: isHeld ? this.pose : null, opening: this.opening,
    };
  }

  release() {
    this.fingers.clear();
    this.light();
  }

  listen(element, placeOf) {
    element.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      element.setPointerCapture(event.pointerId);
      this.isUsed = true;
      if (!this.fingers.size) {
        this.touch += 1;
        this.drag = [0, 0];
      }
      this.fingers.set(event.pointerId, placeOf(event));
      if (element === this.tiltButton) this.beginTilt();
      this.light();
      this.onChange();
    });
    element.addEventListener("pointermove", (event) => {
      const start = this.fingers.get(event.pointerId);
      if (!start) return;
      this.drag = [event.clientX - start[0], event.clientY - start[1]];
      this.light();
      this.onChange();
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(name, (event) => {
        if (!this.fingers.delete(event.pointerId)) return;
        this.light();
        this.onChange();
      });
    }
    element.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  light() {
    const isDragged = [...this.fingers.values()].some(Boolean);
    this.field.classList.toggle("held", isDragged);
    this.tiltButton.classList.toggle("held", [...this.fingers.values()].includes(null));
    const [x, y] = isDragged ? this.drag : [0, 0];
    this.field.style.setProperty("--x", `${Math.min(Math.max(x, -150), 150)}px`);
    this.field.style.setProperty("--y", `${Math.min(Math.max(y, -150), 150)}px`);
  }

  grip() {
    this.isUsed = true;
    this.opening = Number(this.slider.value);
    this.onChange();
  }

  // The slider stands where the gripper is, until it is moved: touching it must not make the gripper leap.
  showOpening(value) {
    if (this.opening === null && value !== undefined) this.slider.value = value;
  }

  // iOS asks the person, and only while they touch; others just say how the phone is held.
  async beginTilt() {
    if (this.isTilting) return;
    if (typeof DeviceOrientationEvent === "undefined") return say(this.message, t(isSecureContext ? "phone.noSensor" : "phone.insecure"));
    this.isTilting = true;
    const answer = await DeviceOrientationEvent.requestPermission?.().catch(() => "denied");
    if (answer === "denied") {
      this.isTilting = false;
      return say(this.message, t("phone.denied"));
    }
    window.addEventListener("deviceorientation", ({ beta, gamma, alpha }) => {
      if (beta === null) return say(this.message, t("phone.noSensor"));
      say(this.message, "");
      this.tilt = [beta, gamma, alpha ?? 0];
      if (this.fingers.size) this.onChange();
    });
  }

  async enterSpace() {
    try {
      const session = await navigator.xr.requestSession("immersive-ar", {
        requiredFeatures: ["local"], optionalFeatures: ["dom-overlay"], domOverlay: { root: $("#pad") },
      });
      session.updateRenderState({ baseLayer: new XRWebGLLayer(session, await makeSurface()) });
      const space = await session.requestReferenceSpace("local");
      const look = (_, frame) => {
        const pose = frame.getViewerPose(space)?.transform;
        const turn = pose?.orientation;
        this.pose = pose ? [pose.position.x, pose.position.y, pose.position.z, turn.w, turn.x, turn.y, turn.z] : null;
        if (this.fingers.size) this.onChange();
        session.requestAnimationFrame(look);
      };
      session.requestAnimationFrame(look);
      session.addEventListener("end", () => {
        this.pose = null;
        this.release();
        this.onChange();
      });
    } catch {
      say(this.message, t("phone.noSpace"));
    }
  }
}

async function makeSurface() {
  const gl = document.createElement("canvas").getContext("webgl", { xrCompatible: true });
  await gl.makeXRCompatible();
  return gl;
}
