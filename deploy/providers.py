"""What computes a policy: the CPU, or a provider of ONNX Runtime that was installed beside it.

Each is asked only for what a robot needs of it: float32 as the policy was trained, one stream, no
cores taken from the control loop. The probe inside the file then says whether it may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from demoloop.deploy.errors import PolicyError

Provider = Literal["auto", "cpu", "openvino", "cuda", "tensorrt"]

NAMES: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
PACKAGES: Mapping[str, str] = {
    "openvino": "onnxruntime-openvino",
    "cuda": "onnxruntime-gpu",
    "tensorrt": "onnxruntime-gpu and tensorrt",
}
AUTO = ("cuda", "openvino", "cpu")
"""In the order they are tried. TensorRT builds an engine for minutes before the first action, which
nobody should meet who did not ask for it."""


def candidates(asked: Provider) -> tuple[str, ...]:
    """Returns what to try, the CPU last; raises PolicyError when what was asked is not here."""
    here = ort.get_available_providers()
    if asked == "auto":
        return tuple(name for name in AUTO if NAMES[name] in here)
    if NAMES[asked] not in here:
        raise PolicyError(
            f"onnxruntime {ort.__version__} has no provider {asked}, only "
            f"{', '.join(name for name, known in NAMES.items() if known in here)}; install "
            f"{PACKAGES.get(asked, 'onnxruntime')} in place of onnxruntime"
        )
    return (asked,) if asked == "cpu" else (asked, "cpu")


def open_session(
    path: Path, source: str | bytes, provider: str, threads: int
) -> ort.InferenceSession:
    """Opens a policy file with one provider.

    Args:
        path: Names the file in a message.
        source: What to read.
        provider: One of `NAMES`.
        threads: CPU threads of one inference.

    Raises:
        PolicyError: The provider cannot be used here, or the file cannot be run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A waiting thread must not spin: the control loop needs that core more.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Weights outside the file are outside its seal: look for them where nothing can be.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", "/nonexistent"
    )
    options.log_severity_level = 3
    asked = (NAMES[provider], _settings(provider, threads))
    try:
        session = ort.InferenceSession(source, options, providers=[asked])
    except Exception as error:  # onnxruntime's errors have no common base class below this
        reason = str(error).splitlines()[0][:300]
        raise PolicyError(f"{path}: onnxruntime {ort.__version__} refuses it: {reason}") from error
    # Where a library of the provider is missing, ONNX Runtime takes the CPU and says so to nobody.
    if NAMES[provider] not in session.get_providers():
        raise PolicyError(
            f"{path}: {provider} does not start here; see that its libraries and driver are "
            "installed"
        )
    # ONNX Runtime would try again, on the CPU, with what may not have been checked.
    session.disable_fallback()
    return session


def _settings(provider: str, threads: int) -> dict[str, str]:
    match provider:
        case "openvino":
            return {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(threads)}
        case "cuda":  # TF32 keeps ten bits of a weight: the probe would refuse it
            return {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
        case _:
            return {}
