"""A viewer that serves a dataset, and a browser that looks at it."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import pytest

from demoloop.datasets import DatasetWriter, Episode
from demoloop.datasets.viewer.server import serving
from demoloop.robot import CameraSpec, RobotSpec


def load(name: str) -> ModuleType:
    """Imports a file beside this one, which pytest's import mode keeps off the path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class Served:
    """`with Served(root) as viewer: viewer.address` while a thread of its own serves the page."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with serving(self._root, 0) as (self.address, _):
            self._ready.set()
            await self._end.wait()

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown of the recorded data of others is kept in the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


@pytest.fixture
def serve() -> Callable[[Path], Served]:
    return Served


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One browser for all tests: its start takes longer than most of them."""
    module = load("chromium")
    if module.find_chromium() is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with module.Chromium() as browser:
        yield browser


@pytest.fixture
def look(chromium: Any) -> Callable[[Path], Any]:
    """Opens the page of a dataset: `with look(root) as page`; a complaint of the page fails."""

    @contextmanager
    def opened(root: Path) -> Iterator[Any]:
        chromium.requests.clear()
        chromium.problems.clear()
        with Served(root) as viewer:
            chromium.open(viewer.address)
            chromium.wait("performance.getEntriesByName('filled').length")
            chromium.wait("document.querySelector('canvas').dataset.step !== undefined")
            chromium.address = viewer.address
            yield chromium
            chromium.open("about:blank")

    return opened


@pytest.fixture
def large_spec(spec: RobotSpec) -> RobotSpec:
    """Cameras that are recorded with halved colours."""
    cameras = tuple(CameraSpec(camera.name, 256, 384) for camera in spec.cameras)
    return RobotSpec("two_joints", spec.joints, cameras, spec.control_hz)


@pytest.fixture
def large_root(tmp_path: Path, large_spec: RobotSpec, make_episode: Callable[..., Episode]) -> Path:
    """Two episodes of 40 steps with pictures eight times as large as those of `root`."""
    folder = tmp_path / "large"
    with DatasetWriter(folder, large_spec) as writer:
        for seed in (1, 2):
            small = make_episode(seed, steps=40)
            images = {
                name: np.ascontiguousarray(pictures.repeat(8, axis=1).repeat(8, axis=2))
                for name, pictures in small.images.items()
            }
            writer.add(
                Episode(
                    task=small.task,
                    time=small.time,
                    proprioception=small.proprioception,
                    actions=small.actions,
                    images=images,
                    image_times=small.image_times,
                )
            )
    return folder
