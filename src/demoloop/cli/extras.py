"""Which extra brings which package; what is not listed comes with the base install."""

from collections.abc import Mapping

EXTRA_OF: Mapping[str, str] = {
    "mujoco": "sim",
    "gymnasium": "sim",
    "mink": "sim",
    "daqp": "sim",
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "safetensors": "train",
    "matplotlib": "train",
    "pyarrow": "train",
    "av": "train",
    "tqdm": "train",
}
"""Package, as imported -> extra of pyproject.toml."""
