// Which keys are held. Keys that move the arm are listened to everywhere but in a field one writes in.

// Fields use the keys themselves, and so does a camera whose picture is pointed at.
export const isField = (target) =>
  target.matches?.("input, textarea, select, [data-keys=own]") ?? false;

export class Keyboard {
  // `onChange()` is called whenever another key is held; `onCommand(code)` returns whether it took it.
  constructor(onChange, onCommand) {
    this.held = new Set();
    this.moving = new Set(); // codes that move the arm
    this.onChange = onChange;
    this.onCommand = onCommand;
    document.addEventListener("keydown", (event) => this.down(event));
    document.addEventListener("keyup", (event) => this.up(event));
  }

  read() {
    return { held: [...this.held].slice(0, 16) };
  }

  release() {
    this.held.clear();
  }

  down(event) {
    // With a modifier it is the browser's, and the release of the other keys may not be heard.
    if (event.ctrlKey || event.metaKey || event.altKey) {
      if (this.held.size) {
        this.release();
        this.onChange();
      }
      return;
    }
    if (this.onCommand(event)) return event.preventDefault();
    if (isField(event.target) || document.querySelector("dialog[open]")) return;
    if (!this.moving.has(event.code)) return;
    event.preventDefault(); // arrows would scroll
    if (event.repeat || this.held.has(event.code)) return;
    this.held.add(event.code);
    this.onChange();
  }

  up(event) {
    if (this.held.delete(event.code)) this.onChange();
  }
}
