// The first gamepad that is plugged in. The Gamepad API has no events for sticks and buttons: it is asked
// once per picture the browser draws.

const DEAD = 0.02; // of a stick's way; less than this is no change worth a message

export class Gamepad {
  constructor(onChange, onButton) {
    this.onChange = onChange;
    this.onButton = onButton; // (index) => pressed just now
    this.state = null;
    const poll = () => {
      this.poll();
      requestAnimationFrame(poll);
    };
    requestAnimationFrame(poll);
  }

  read() {
    return this.state;
  }

  release() {
    if (!this.state) return;
    this.state = { axes: this.state.axes.map(() => 0), buttons: this.state.buttons.map(() => 0) };
  }

  poll() {
    const pad = navigator.getGamepads?.().find((one) => one?.connected);
    const before = this.state;
    this.state = pad && {
      axes: pad.axes.slice(0, 8),
      buttons: pad.buttons.slice(0, 24).map(({ value }) => value),
    };
    if (!pad || !document.hasFocus()) return;
    this.state.buttons.forEach((value, i) => {
      if (value > 0.5 && !(before?.buttons[i] > 0.5)) this.onButton(i);
    });
    if (isChanged(before, this.state)) this.onChange();
  }
}

function isChanged(before, now) {
  if (!before) return true;
  const isFar = (a, b) => a.length !== b.length || a.some((value, i) => Math.abs(value - b[i]) > DEAD);
  return isFar(before.axes, now.axes) || isFar(before.buttons, now.buttons);
}
