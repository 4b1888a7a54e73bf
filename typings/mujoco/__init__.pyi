# MuJoCo's names come from compiled modules without stubs, which pyright cannot look into: without
# this file it reports each of them as unknown. mypy does not read it.
from typing import Any

def __getattr__(name: str) -> Any: ...
