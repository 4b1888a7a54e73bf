"""Pictures as JPEG, for people, pages and cameras; what is learned from is video (`video`)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def to_jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    """Returns an RGB picture (height, width, 3) as a JPEG of `quality` 1 .. 100."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "memory can be written to"
    return data.tobytes()
