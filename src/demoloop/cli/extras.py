"""Which extras bring which package; what is not listed comes with the base install."""

from collections.abc import Collection, Mapping

EXTRAS_OF: Mapping[str, tuple[str, ...]] = {
    "mujoco": ("sim",),
    "gymnasium": ("sim",),
    "mink": ("sim",),
    "daqp": ("sim",),
    "torch": ("train",),
    "onnx": ("train",),
    "onnxscript": ("train",),
    "safetensors": ("train",),
    "matplotlib": ("train",),
    "pyarrow": ("teleop", "train", "convert", "view", "hub", "scale"),
    "av": ("sim", "teleop", "train", "convert", "view", "hub", "scale"),
    "tqdm": ("sim", "teleop", "train", "convert", "view", "hub", "scale"),
    "h5py": ("convert",),
    "mcap": ("convert",),
    "mcap_ros2": ("convert",),
    "rerun": ("convert",),
    "aiohttp": ("view", "teleop"),
    "segno": ("teleop",),
    "huggingface_hub": ("hub",),
    "lance": ("scale",),
    "ray": ("scale",),
}
"""Package, as imported -> extras of pyproject.toml that bring it, the lightest first."""


def install_command(package: str, wanted: Collection[str] = ()) -> str:
    """Returns the pip command that brings `package` and all of the `wanted` extras."""
    extras = list(wanted)
    if not set(extras) & set(EXTRAS_OF[package]):
        extras.append(EXTRAS_OF[package][0])
    return f"pip install 'demoloop[{','.join(extras)}]'"
