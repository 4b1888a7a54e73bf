"""A bare hand before the camera of the panel's page: what `person_hand.py` shows, as its pictures.

The browser is made to take a canvas for its camera. Script draws pictures of a filmed hand on it,
shifted, magnified and turned, with the noise of a webcam; from there on all is real: the page's
sender, the socket, the tracker that looks at the pictures.
"""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

import cv2
from page_hands import Keys
from person_hand import OPEN_PICTURES, PINCHED_PICTURES, HandShown

FILM = Path(__file__).parents[2] / "shared" / "data" / "hand_video.mp4"
SIZE = (960, 540)  # px, of the film's pictures: enough to magnify them
_PICTURES = range(OPEN_PICTURES[0], PINCHED_PICTURES[1] + 1)
_KEYS = {"engage": "KeyG", "release": "KeyF"}
_AGAIN_S = 0.7  # a key that was not heard is pressed once more


class BareHand:
    """One hand before the camera, the other on the keys."""

    # Before the page's own scripts.
    SCRIPT = """
    if (navigator.mediaDevices) (() => {
      const make = () => Object.assign(document.createElement("canvas"), { width: 640, height: 360 });
      const [camera, grain] = [make(), make()];
      const [context, dust] = [camera, grain].map((canvas) => canvas.getContext("2d"));
      const noise = dust.createImageData(640, 360);
      for (let i = 0; i < noise.data.length; i += 4) {
        noise.data.fill(Math.random() < 0.5 ? 0 : 255, i, i + 3);
        noise.data[i + 3] = 12 * Math.random();
      }
      dust.putImageData(noise, 0, 0);
      const pictures = {};
      const draw = () => {
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.fillStyle = "#77777c";
        context.fillRect(0, 0, 640, 360);
        if (hand.shown) {
          context.setTransform(...hand.warp);
          context.drawImage(pictures[hand.shown], 0, 0, 640, 360);
          context.setTransform(1, 0, 0, 1, 0, 0);
        }
        const [x, y] = [640, 360].map((size) => Math.floor(Math.random() * size));
        for (const left of [x - 640, x]) for (const top of [y - 360, y]) context.drawImage(grain, left, top);
      };
      window.hand = { shown: 0, warp: null, load: async (number, source) => {
        const picture = new Image();
        picture.src = source;
        await picture.decode();
        pictures[number] = await createImageBitmap(picture);
      } };
      navigator.mediaDevices.getUserMedia = async () => {
        setInterval(draw, 1000 / 30);
        return camera.captureStream(30);
      };
    })();
    """  # noqa: E501

    def __init__(self, page: Any) -> None:
        """Stores."""
        self._page, self._keys = page, Keys(page)
        self._key, self._struck_at = "", 0.0

    def take_up(self) -> None:
        """Gives the page the film's pictures, and lets it see the camera."""
        capture = cv2.VideoCapture(str(FILM))
        capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        for number in range(_PICTURES.stop):
            is_there, image = capture.read()
            assert is_there, f"{FILM} ends at picture {number}"
            if number in _PICTURES:
                small = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)
                jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
                source = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
                self._page.js(f"hand.load({number}, {source!r})")
        self._page.click("#webcam-start")
        self.do(HandShown())
        self._page.wait("document.querySelectorAll('.landmarks circle').length === 21")
        self.rest()

    def do(self, state: HandShown) -> None:
        """Shows that, and presses what is to be pressed."""
        (a, b, e), (c, d, f) = state.warp
        warp = [round(value, 5) for value in (a, c, b, d, e, f)]  # in the order of a canvas
        self._page.js(f"hand.warp={warp};hand.shown={state.picture};0")
        now = time.monotonic()
        if state.key and (state.key != self._key or now - self._struck_at > _AGAIN_S):
            self._keys.strike(_KEYS[state.key])
            self._struck_at = now
        self._key = state.key

    def rest(self) -> None:
        """Takes the hand away."""
        self._page.js("hand.shown=0")
        self._key = ""

    def command(self, name: str) -> None:
        """Presses its key, with the other hand."""
        self._keys.command(name)
