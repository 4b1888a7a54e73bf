"""Show an arm what to do; it learns; correct it; it learns again."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("demoloop")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0"
