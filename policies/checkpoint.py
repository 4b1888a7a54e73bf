"""Checkpoints: one safetensors file with everything a run needs to go on to the bit."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from demoloop.policies.errors import PolicyError
from demoloop.policies.policy import Policy, PolicyShape
from demoloop.policies.registry import make_policy
from demoloop.robot import Marks, RobotSpec

NAME = "checkpoint.safetensors"
_INFO = (
    *("policy", "sizes", "shape", "dataset_view", "data", "tasks", "train_config", "progress"),
    *("sampler", "proprioception_names", "proprioception_low", "proprioception_high"),
)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what describes them as JSON values."""

    tensors: dict[str, Tensor]
    info: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Writes into `folder` so that a kill leaves the old checkpoint or the new, never half."""
        temporary = folder / f"{NAME}.partial"
        # A clone each: safetensors refuses tensors that share memory.
        tensors = {
            name: value.detach().clone().contiguous() for name, value in self.tensors.items()
        }
        try:
            save_file(tensors, temporary, metadata={"info": json.dumps(self.info)})
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.rename(folder / NAME)
        except (OSError, SafetensorError) as error:
            if temporary.is_file():  # half a file on a full disk
                temporary.unlink()
            raise PolicyError(
                f"{folder / NAME} cannot be written: {error}; make room and go on with --resume "
                "from the checkpoint before"
            ) from error

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        """Reads what `save` wrote; raises PolicyError that names what is wrong with it."""
        path = folder / NAME
        if not path.exists():
            raise PolicyError(
                f"no checkpoint in {folder}; `demoloop train --out {folder}` makes one"
            )
        try:
            with safe_open(path, framework="pt") as file:
                info = json.loads((file.metadata() or {})["info"])
                if absent := [key for key in _INFO if key not in info]:
                    raise KeyError(*absent)
                return cls({name: file.get_tensor(name) for name in file.keys()}, info)  # noqa: SIM118
        except KeyError as error:
            names = ", ".join(map(repr, error.args))
            raise PolicyError(
                f"{path} is no checkpoint of demoloop, it does not say {names}; train again"
            ) from error
        except (OSError, SafetensorError, ValueError, TypeError) as error:
            raise PolicyError(
                f"{path} is not a whole checkpoint of demoloop ({error}); train again"
            ) from error


def load_policy(folder: Path) -> tuple[Policy, dict[str, Any]]:
    """Returns the averaged (EMA) policy of a run folder, ready to predict, and its info."""
    checkpoint = Checkpoint.load(folder)
    policy = make_policy(
        checkpoint.info["policy"],
        shape_from_json(checkpoint.info["shape"]),
        checkpoint.info["sizes"],
    )
    prefix = "ema."
    state = {k[len(prefix) :]: v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}
    try:
        policy.load_state_dict(state)
    except RuntimeError as error:
        raise PolicyError(
            f"{folder / NAME} does not fit its own sizes: {' '.join(str(error).split())}; "
            "train again"
        ) from error
    policy.eval()
    return policy, checkpoint.info


def shape_to_json(shape: PolicyShape) -> dict[str, Any]:
    """Returns plain JSON values."""
    return {
        "spec": shape.spec.to_json(),
        "proprioception_dim": shape.proprioception_dim,
        "horizon": shape.horizon,
        "image_size": list(shape.image_size),
        "is_relative": shape.is_relative,
        "marks": None if shape.marks is None else asdict(shape.marks),
    }


def shape_from_json(value: dict[str, Any]) -> PolicyShape:
    """Reads what `shape_to_json` wrote."""
    height, width = value["image_size"]
    marks = value.get("marks")  # none in a checkpoint from before there were any
    return PolicyShape(
        spec=RobotSpec.from_json(value["spec"]),
        proprioception_dim=int(value["proprioception_dim"]),
        horizon=int(value["horizon"]),
        image_size=(int(height), int(width)),
        is_relative=bool(value["is_relative"]),
        marks=None if marks is None else Marks.from_json(marks),
    )
