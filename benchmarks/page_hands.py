"""Hands on the devices of the panel's page: what `person.py` wants, as events of a real browser."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from demoloop.teleop.gamepad import GamepadState
from demoloop.teleop.keyboard import KeyboardState
from demoloop.teleop.phone import PhoneState

_NAMES = {"Space": " ", "ShiftLeft": "Shift", "Enter": "Enter", "Backspace": "Backspace"}
_NUMBERS = {
    "Space": 32, "ShiftLeft": 16, "Enter": 13, "Backspace": 8,
    "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip


class Hands(Protocol):
    """Those of a person, on one device of the page."""

    def take_up(self) -> None:
        """Takes the device to hand, once the page is there."""
        ...

    def do(self, state: Any) -> None:
        """Has the device report `state`."""
        ...

    def rest(self) -> None:
        """Lets go of everything."""
        ...

    def command(self, name: str) -> None:
        """Says start, keep, redo, discard or stop, as one does with this device in the hand."""
        ...


class Keys:
    """On the keys of the board."""

    _COMMANDS: ClassVar = {"start": "Space", "stop": "Space", "keep": "Enter", "redo": "KeyR",
                 "discard": "Backspace"}  # fmt: skip

    def __init__(self, page: Any) -> None:
        """Stores."""
        self._page = page
        self._held: set[str] = set()

    def take_up(self) -> None:
        """It lies there."""

    def do(self, state: KeyboardState) -> None:
        """Presses what is not down yet, and lets go of the rest."""
        for code in sorted(self._held - set(state.held)):
            self._strike("keyUp", code)
        for code in sorted(set(state.held) - self._held):
            self._strike("rawKeyDown", code)
        self._held = set(state.held)

    def rest(self) -> None:
        """All fingers up."""
        self.do(KeyboardState())

    def command(self, name: str) -> None:
        """Presses its key."""
        self.strike(self._COMMANDS[name])

    def strike(self, code: str) -> None:
        """Presses any key, and lets it go."""
        self._strike("rawKeyDown", code)
        self._strike("keyUp", code)

    def _strike(self, kind: str, code: str) -> None:
        name = code.removeprefix("Key")
        self._page.send(
            "Input.dispatchKeyEvent",
            type=kind,
            code=code,
            key=_NAMES.get(code, name.lower() if len(name) == 1 else name),
            windowsVirtualKeyCode=_NUMBERS.get(code, ord(name[0])),
        )


class Pad:
    """On a gamepad, which the browser is made to report: it has no events to send one."""

    SCRIPT = "window.pad = null; navigator.getGamepads = () => [window.pad];"
    _COMMANDS: ClassVar = {"start": 9, "stop": 9, "keep": 0, "redo": 2, "discard": 1}

    def __init__(self, page: Any) -> None:
        """Stores."""
        self._page = page

    def take_up(self) -> None:
        """It is there as soon as it is asked for."""

    def do(self, state: GamepadState) -> None:
        """Sticks and triggers are there."""
        buttons = ",".join(f"{{value:{value:.3f}}}" for value in state.buttons)
        axes = [round(value, 4) for value in state.axes]
        self._page.js(f"window.pad={{connected:true,axes:{axes},buttons:[{buttons}]}};0")

    def rest(self) -> None:
        """Thumbs off."""
        self.do(GamepadState((0.0,) * 4, (0.0,) * 17))

    def command(self, name: str) -> None:
        """Presses its button until the page, which asks once per picture, has seen it."""
        buttons = [0.0] * 17
        buttons[self._COMMANDS[name]] = 1.0
        self.do(GamepadState((0.0,) * 4, tuple(buttons)))
        self._page.js("new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")
        self.rest()


class Touch:
    """On a phone: a thumb drags on the field, another holds the tilt button, the wrist turns."""

    _TILT, _FIELD = 1, 0  # ids of the touches

    def __init__(self, page: Any) -> None:
        """Stores."""
        self._page = page
        self._touch, self._opening = 0, -1.0
        self._drag = (0.0, 0.0)
        self._is_down = False
        self._tilt: tuple[float, float, float] | None = None

    def take_up(self) -> None:
        """Makes a touch screen of the window."""
        self._page.send("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=3)

    def do(self, state: PhoneState) -> None:
        """Moves what has moved."""
        if self._is_down and (not state.is_held or state.touch != self._touch):
            self.rest()
        if not state.is_held:
            return
        assert state.tilt is not None and state.drag is not None and state.opening is not None
        if state.tilt != self._tilt:
            beta, gamma, alpha = self._tilt = state.tilt
            self._page.send("DeviceOrientation.setDeviceOrientationOverride",
                            alpha=alpha, beta=beta, gamma=gamma)  # fmt: skip
        if not self._is_down:
            self._is_down, self._touch = True, state.touch
            self._places = {
                self._FIELD: self._middle("#field"), self._TILT: self._middle("#tilt")
            }  # fmt: skip
            self._drag = (0.0, 0.0)
            self._send("touchStart", (0.0, 0.0))
        drag = (round(state.drag[0], 1), round(state.drag[1], 1))
        if drag != self._drag:
            self._drag = drag
            self._send("touchMove", drag)
        if abs(state.opening - self._opening) > 0.004:
            self._opening = state.opening
            # Said as the slider says it: two thumbs are busy.
            self._page.js(
                "((e) => { e.value = " + f"{state.opening:.3f}" + "; "
                "e.dispatchEvent(new Event('input')); })(document.querySelector('#opening'))"
            )

    def rest(self) -> None:
        """Thumbs off."""
        if self._is_down:
            self._page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            self._is_down = False

    def command(self, name: str) -> None:
        """Taps its button."""
        x, y = self._middle(f"[data-command={name}]")
        self._page.send(
            "Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}]
        )
        self._page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def _send(self, kind: str, drag: tuple[float, float]) -> None:
        (x, y), (tilt_x, tilt_y) = self._places[self._FIELD], self._places[self._TILT]
        points = [{"x": x + drag[0], "y": y + drag[1], "id": self._FIELD},
                  {"x": tilt_x, "y": tilt_y, "id": self._TILT}]  # fmt: skip
        self._page.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def _middle(self, selector: str) -> tuple[float, float]:
        x, y = self._page.js(
            f"((r) => [r.x + r.width / 2, r.y + r.height / 2])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        return x, y
