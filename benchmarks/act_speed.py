"""ACT of the same size trained by lerobot and by demoloop, in turn, on this CPU.

    python benchmarks/act_speed.py [--threads 1 2] [--rounds 6] [--steps 3] [--venv FOLDER]

Each is one process that waits while the others work; a round is a few steps of each. Trust
cpu_s_per_step: seconds of all threads, hardly touched by what else the machine does. Prints what
is the same and what is not, one RESULT line per contestant, and one per thread count with ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CONDITIONS = """\
The same in both: ResNet-18 of width 64 shared by two cameras of 96 x 96 px, transformers of width
512 with 8 heads and feed-forward 3200, 4 encoder, 1 decoder and 4 VAE encoder layers, latent 32,
dropout 0.1, chunk 100, 6 joints, batch 8, float32, L1 plus 10 times the divergence, AdamW at 1e-5,
gradients clipped at norm 10, one ready batch of uint8 pictures used again and again (no loader).
Not the same: each has the torch it asks for (lerobot's is a CUDA build, used on the CPU); lerobot
freezes its batch normalisation, ours scales its branches (SkipInit); ours multiplies by oneDNN,
has the fused AdamW, and leaves out tokens whose value nobody reads. peak_mb counts everything,
imports_mb is what was there before the network. `demoloop_as_trained` adds what `demoloop train`
does beyond that: augmented pictures and the averaged weights."""
BATCH, CHUNK, JOINTS, PIXELS, CAMERAS = 8, 100, 6, 96, ("front", "wrist")
LEARNING_RATE, CLIP = 1e-5, 10.0
CONTESTANTS = ("lerobot", "demoloop", "demoloop_as_trained")
WARM_UP = 2  # steps: the first allocates gradients and the optimiser's moments


def lerobot_step() -> tuple[Callable[[], float], int]:
    """Returns one training step of lerobot, as its own train script does it, and its size."""
    import torch
    from lerobot.configs import FeatureType, PolicyFeature
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    keys = [f"observation.images.{name}" for name in CAMERAS]
    picture = PolicyFeature(FeatureType.VISUAL, (3, PIXELS, PIXELS))
    state = PolicyFeature(FeatureType.STATE, (JOINTS,))
    config = ACTConfig(
        input_features={"observation.state": state, **dict.fromkeys(keys, picture)},
        output_features={"action": PolicyFeature(FeatureType.ACTION, (JOINTS,))},
        chunk_size=CHUNK,
        n_action_steps=CHUNK,
        device="cpu",
        pretrained_backbone_weights=None,
        push_to_hub=False,
    )
    policy = ACTPolicy(config)
    numbers = {"mean": torch.zeros(JOINTS), "std": torch.ones(JOINTS)}
    colours = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.ones(3, 1, 1)}
    statistics_of = {
        "observation.state": numbers,
        "action": numbers,
        **dict.fromkeys(keys, colours),
    }
    prepare, _ = make_pre_post_processors(config, dataset_stats=statistics_of)
    optimizer = config.get_optimizer_preset().build(policy.get_optim_params())
    policy.train()
    images, proprioception, actions, is_pad = ready_batch()
    batch = {"observation.state": proprioception, "action": actions, "action_is_pad": is_pad}
    batch |= {
        key: image.permute(0, 3, 1, 2).contiguous() for key, image in zip(keys, images, strict=True)
    }

    def step() -> float:
        floats = {
            key: value.float() / 255 if value.dtype == torch.uint8 else value
            for key, value in batch.items()
        }
        loss, _ = policy.forward(prepare(floats))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step, sum(p.numel() for p in policy.parameters())


def demoloop_step(*, as_trained: bool) -> tuple[Callable[[], float], int]:
    """Returns one training step of ours, as policies/train.py does it, and its size."""
    import torch

    from demoloop.policies import PolicyShape, make_policy
    from demoloop.policies.augment import AugmentConfig, augment
    from demoloop.robot import CameraSpec, JointSpec, RobotSpec

    spec = RobotSpec(
        "arm",
        tuple(JointSpec(f"joint_{n}", -3.0, 3.0, 3.0, 20.0) for n in range(JOINTS)),
        tuple(CameraSpec(name, PIXELS, PIXELS) for name in CAMERAS),
        30.0,
    )
    shape = PolicyShape(spec, JOINTS, CHUNK, (PIXELS, PIXELS))
    sizes = {
        "resnet_width": 64,
        "dim": 512,
        "num_heads": 8,
        "feedforward_dim": 3200,
        "num_encoder_layers": 4,
        "num_decoder_layers": 1,
        "num_vae_layers": 4,
    }
    policy = make_policy("act", shape, sizes)
    policy.to(memory_format=torch.channels_last)
    average = make_policy("act", shape, sizes) if as_trained else None
    optimizer = torch.optim.AdamW(policy.parameters(), LEARNING_RATE, weight_decay=1e-4, fused=True)
    policy.train()
    images, proprioception, actions, is_pad = ready_batch()

    def step() -> float:
        pixels = {name: policy.resize(image) for name, image in zip(CAMERAS, images, strict=True)}
        if as_trained:
            pixels = {name: augment(image, AugmentConfig()) for name, image in pixels.items()}
        loss = policy(pixels, proprioception, actions, is_pad)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            with torch.no_grad():
                for mean, value in zip(average.parameters(), policy.parameters(), strict=True):
                    mean.lerp_(value, 0.002)
        return float(loss.item())

    return step, sum(p.numel() for p in policy.parameters())


def ready_batch():  # type: ignore[no-untyped-def]
    """The one batch both train on: pictures (B, H, W, 3), joints (B, A), chunk, padding."""
    import torch

    torch.manual_seed(0)
    images = [torch.randint(0, 256, (BATCH, PIXELS, PIXELS, 3), dtype=torch.uint8) for _ in CAMERAS]
    proprioception = torch.randn(BATCH, JOINTS)
    actions = proprioception[:, None] + 0.1 * torch.randn(BATCH, CHUNK, JOINTS)
    return images, proprioception, actions, torch.zeros(BATCH, CHUNK, dtype=torch.bool)


def megabytes(field: str) -> float:
    """Reads VmHWM (peak) or VmRSS (now) of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return round(int(line.split()[1]) / 1024, 1)
    return float("nan")


def contest(name: str, threads: int) -> None:
    """One contestant: answers each number of steps on stdin with their times."""
    import torch

    torch.set_num_threads(threads)
    if name == "lerobot":
        import lerobot.policies.factory  # noqa: F401
    before = megabytes("VmRSS")
    step, parameters = (
        lerobot_step()
        if name == "lerobot"
        else demoloop_step(as_trained=name == "demoloop_as_trained")
    )
    loss = float("nan")
    for _ in range(WARM_UP):
        loss = step()
    hello = {"parameters_m": round(parameters / 1e6, 2), "torch": torch.__version__}
    print("READY " + json.dumps(hello), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            wall, cpu = time.perf_counter(), time.process_time()
            loss = step()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
        memory = {"peak_mb": megabytes("VmHWM"), "imports_mb": before}
        print("TIMES " + json.dumps({"times": times, "loss": loss, **memory}), flush=True)


class Contestant:
    """A process that trains when told to, and sleeps otherwise."""

    def __init__(self, name: str, python: Path, threads: int) -> None:
        offline = dict.fromkeys(
            ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"), "1"
        )
        # Waiting threads sleep: spinning ones would take the CPU from the other contestants.
        environment = {**os.environ, **offline, "OMP_WAIT_POLICY": "passive"}
        self.name = name
        self._process = subprocess.Popen(
            [python, __file__, "--inside", name, "--threads", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        self.hello = self._answer("READY ")
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.last: dict[str, float] = {}

    def run(self, steps: int) -> None:
        """Trains for so many steps."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        self.last = self._answer("TIMES ")
        wall, cpu = zip(*self.last.pop("times"), strict=True)
        self.wall += wall
        self.cpu += cpu

    def close(self) -> dict[str, object]:
        """Ends the process and returns what was measured."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        return {
            "name": self.name,
            **self.hello,
            "cpu_s_per_step": {"min": round(min(self.cpu), 3), "median": median(self.cpu)},
            "wall_s_per_step": {"min": round(min(self.wall), 3), "median": median(self.wall)},
            "steps_per_s": round(1 / statistics.median(self.wall), 3),
            **self.last,
        }

    def _answer(self, word: str):  # type: ignore[no-untyped-def]
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(word):
                return json.loads(line[len(word) :])
        sys.exit(f"{self.name} ended with code {self._process.wait()}")


def median(values: Sequence[float]) -> float:
    """To a millisecond."""
    return round(statistics.median(values), 3)


def main() -> None:
    """Starts the contestants and lets them work in turn."""
    from lerobot_opens_ours import install

    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(tempfile.gettempdir()) / "lerobot_venv"
    parser.add_argument("--venv", type=Path, default=default, help="where lerobot is or goes")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=3, help="of each contestant in a round")
    parser.add_argument("--inside", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        contest(options.inside, options.threads[0])
        return
    print(CONDITIONS, flush=True)
    theirs = install(options.venv)
    for threads in options.threads:
        pythons = {name: theirs if name == "lerobot" else sys.executable for name in CONTESTANTS}
        running = [Contestant(name, Path(pythons[name]), threads) for name in CONTESTANTS]
        for _ in range(options.rounds):
            for contestant in running:
                contestant.run(options.steps)
        for contestant in running:
            result = {"threads": threads, "load": round(os.getloadavg()[0], 1)}
            print("RESULT " + json.dumps(result | contestant.close()), flush=True)
        lerobot, *ours = running
        ratios = {
            name: {
                "cpu_min": round(min(lerobot.cpu) / min(mine.cpu), 2),
                "cpu_median": round(median(lerobot.cpu) / median(mine.cpu), 2),
                "steps_per_s": round(median(lerobot.wall) / median(mine.wall), 2),
                "peak_memory": round(mine.last["peak_mb"] / lerobot.last["peak_mb"], 2),
            }
            for name, mine in ((contestant.name, contestant) for contestant in ours)
        }
        print("RESULT " + json.dumps({"threads": threads, "times_lerobot": ratios}), flush=True)


if __name__ == "__main__":
    main()
