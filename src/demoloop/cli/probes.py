"""What the doctor tries in a process of its own, so that a crash cannot take the doctor down.

Started as a file, not as a module, because a probe needs nothing of demoloop. It prints one line
on what works and exits with 0, or one line on what does not and exits with 1, or with 3 when the
package is not installed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import cast

BROKEN, MISSING = 1, 3
_MCL_CURRENT = 1  # <sys/mman.h>

_SCENE = """<mujoco><worldbody>
  <light pos="0 0 3"/><geom type="sphere" size=".1"/>
</worldbody></mujoco>"""


def render() -> str:
    """Renders one frame with the backend MUJOCO_GL names, and looks at it."""
    import mujoco

    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, height=48, width=64) as renderer:
        renderer.update_scene(data)
        frame = renderer.render()  # (48, 64, 3) uint8
        if frame.max() == 0:
            raise RuntimeError("rendered a black frame")
        # Asked here, because the context is current only while the renderer is open.
        from OpenGL import GL  # type: ignore[import-untyped]

        device = cast(bytes, GL.glGetString(GL.GL_RENDERER)).decode()
        return f"MuJoCo {mujoco.__version__}, {device}"


def torch() -> str:
    """Loads torch and computes one sum."""
    import torch

    torch.ones(2).sum().item()
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA"
    return f"{torch.__version__}, {torch.get_num_threads()} threads, {cuda}"


def onnxruntime() -> str:
    """Loads onnxruntime and names its providers."""
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    # Azure's sends the work to a service; what is asked here is what this machine can do.
    here = [name for name in providers if not name.startswith("Azure")]
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in here)
    return f"{onnxruntime.__version__} on {names}"


def opencv() -> str:
    """Loads OpenCV, whose wheel wants two libraries of the system, and shrinks one picture."""
    import cv2
    import numpy as np

    cv2.resize(np.zeros((4, 4, 3), np.uint8), (2, 2), interpolation=cv2.INTER_AREA)
    return cv2.__version__


def h264() -> str:
    """Encodes one frame as the recorder does."""
    import av
    import numpy as np

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.framerate = Fraction(30)
    frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
    packets = [*encoder.encode(frame.reformat(format="yuv420p")), *encoder.encode(None)]
    return f"libx264 in PyAV {av.__version__}, one frame in {sum(p.size for p in packets)} bytes"


def camera(device: str) -> str:
    """Opens the camera at a path and takes one frame."""
    import cv2

    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    try:
        is_read, frame = capture.read()
        if not is_read:
            raise RuntimeError("opened, but gave no frame; another program may hold it")
        return f"{frame.shape[1]}x{frame.shape[0]}"
    finally:
        capture.release()


def realtime(priority: str) -> str:
    """Takes SCHED_FIFO and locks memory, as the control loop does; names what is refused."""
    import resource  # here, since Windows has none

    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(int(priority)))
    except OSError as error:
        refused.append(f"SCHED_FIFO {priority} ({error.strerror})")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT) != 0:
        refused.append(f"locking memory ({os.strerror(ctypes.get_errno())})")
    limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if os.geteuid() != 0 and limit != resource.RLIM_INFINITY:
        refused.append(f"locking more than {limit / 1e6:.0f} MB")  # the loop's process has more
    if refused:
        raise PermissionError(f"refused: {' and '.join(refused)}")
    return f"SCHED_FIFO {priority} and locked memory are allowed"


PROBES: Mapping[str, Callable[..., str]] = {
    "render": render,
    "torch": torch,
    "onnxruntime": onnxruntime,
    "opencv": opencv,
    "h264": h264,
    "camera": camera,
    "realtime": realtime,
}


def main(name: str, *arguments: str) -> int:
    """Runs one probe."""
    try:
        print(PROBES[name](*arguments))
    except ModuleNotFoundError as error:
        print(f"{error.name} is not installed")
        return MISSING
    except Exception as error:  # whatever a driver may think of; it is what the doctor reports
        lines = str(error).splitlines() or [""]
        print(f"{type(error).__name__}: {lines[0]}")
        return BROKEN
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
