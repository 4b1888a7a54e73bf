"""A provider computes a policy only if it answers as the exporter did; else the CPU does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from demoloop.deploy import onnx_policy
from demoloop.deploy.errors import PolicyError
from demoloop.deploy.onnx_policy import OnnxPolicy
from demoloop.deploy.providers import NAMES, candidates, open_session


def test_cpu_is_always_there_and_tried_last() -> None:
    assert candidates("cpu") == ("cpu",)
    assert candidates("auto")[-1] == "cpu"


def test_tensorrt_is_used_only_by_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: list(NAMES.values()))
    assert candidates("auto") == ("cuda", "openvino", "cpu")
    assert candidates("tensorrt") == ("tensorrt", "cpu")


def test_what_is_not_installed_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(PolicyError, match=r"no provider openvino, only cpu; install onnxruntime-o"):
        candidates("openvino")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_provider_that_does_not_start_gives_way_to_the_cpu(
    policy_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As where the package is installed and the driver is not: ONNX Runtime says it to nobody.
    here = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: here)
    assert OnnxPolicy.load(policy_file, provider="auto").provider == "cpu"
    (warning,) = caplog.messages
    assert warning.startswith("cuda does not compute this policy: ")


class SlightlyWrong:
    """A session of a provider that rounds."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        return [np.asarray(answer) + 1e-3 for answer in self._session.run(names, feeds)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def test_provider_that_fails_the_probe_gives_way_to_the_cpu(
    policy_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def open_one(path: Path, source: str | bytes, provider: str, threads: int) -> Any:
        session = open_session(path, source, "cpu", threads)
        return SlightlyWrong(session) if provider == "cuda" else session

    monkeypatch.setattr(ort, "get_available_providers", lambda: [NAMES["cuda"], NAMES["cpu"]])
    monkeypatch.setattr(onnx_policy, "open_session", open_one)
    assert OnnxPolicy.load(policy_file, provider="auto").provider == "cpu"
    (warning,) = caplog.messages
    assert "answers differently here" in warning
