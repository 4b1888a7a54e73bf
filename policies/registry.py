"""The policies there are. A new one is a file, and one line here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from demoloop.policies.act import ActConfig, ActPolicy
from demoloop.policies.chunk import ChunkConfig, ChunkPolicy
from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import Policy, PolicyShape


@dataclass(frozen=True)
class PolicyKind:
    """A network and its sizes."""

    policy: type[Any]  # Policy, built from (PolicyShape, its own config)
    config: type[Any]


POLICIES: dict[str, PolicyKind] = {
    "chunk": PolicyKind(ChunkPolicy, ChunkConfig),
    "act": PolicyKind(ActPolicy, ActConfig),
}


def make_policy(name: str, shape: PolicyShape, sizes: dict[str, Any] | None = None) -> Policy:
    """Builds the policy called `name`; `sizes` are fields of its config, the rest default.

    Raises:
        PolicyError: There is no such policy, or its config has no such field.
    """
    check_policy(name, sizes or {})
    kind = POLICIES[name]
    policy: Policy = kind.policy(shape, kind.config(**(sizes or {})))
    return policy


def check_policy(name: str, sizes: dict[str, Any]) -> None:
    """Raises PolicyError when there is no policy called `name`, or not with such sizes."""
    if name not in POLICIES:
        raise PolicyError(f"no policy {name!r}; there are {', '.join(POLICIES)}")
    defaults = {field.name: field.default for field in fields(POLICIES[name].config)}
    for size, value in sizes.items():
        if size not in defaults:
            raise PolicyError(f"policy {name!r} has no size {size!r}; it has {', '.join(defaults)}")
        if isinstance(defaults[size], int) and not (isinstance(value, int) and value >= 1):
            raise PolicyError(
                f"policy {name!r}: {size} is {value}; it must be a whole number, at least 1, "
                f"such as {defaults[size]}"
            )
