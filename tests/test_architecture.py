"""The laws of the house, checked on the source: who imports whom, what never occurs, what ships."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "demoloop"

# folder -> what it may import from demoloop; itself is always allowed
MAY_IMPORT: dict[str, set[str]] = {
    "robot": set(),
    "datasets": {"robot"},
    "sim": {"robot"},
    "teleop": {"robot", "datasets"},
    "policies": {"robot", "datasets"},
    "deploy": {"robot"},
}
PARTS = {**{name: ROOT / name for name in MAY_IMPORT}, "cli": SOURCE / "cli"}
MODULES = {*PARTS, "__main__"}  # what can stand after `demoloop.`

# What a robot's own computer runs, and what must not be needed there.
ONBOARD = ("demoloop.deploy.run", "demoloop.cli.run", "demoloop.cli.serve", "demoloop.cli.host")
NOT_ONBOARD = {"torch", "mujoco", "av", "pyarrow"}

# Turns bytes or text into code; a module stands for all that is in it.
FORBIDDEN = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"),
    *("torch.load", "torch.save", "torch.serialization"),
    *("eval", "exec", "builtins.eval", "builtins.exec"),
}
FORBIDDEN_METHODS = {"recv_pyobj", "send_pyobj"}

MAX_FILE_LINES = 330
MAX_FUNCTION_LINES = 80


def sources(part: str) -> list[Path]:
    return sorted(PARTS[part].rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yields (full dotted name, name it is bound to) of each import, relative ones resolved.

    `package` is that of the module the tree was read from.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            module = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                yield f"{module}.{alias.name}", alias.asname or alias.name


def imported_parts(tree: ast.Module, package: str) -> set[str]:
    """Which parts of demoloop a module imports, in whatever way it is written."""
    names = (name.split(".") for name, _ in imports(tree, package))
    return {name[1] for name in names if name[0] == "demoloop" and name[1:2] and name[1] in MODULES}


def dotted(node: ast.expr, bound: dict[str, str]) -> str:
    """`t.load` is torch.load after `import torch as t`; empty when it is no plain name."""
    if isinstance(node, ast.Name):
        return bound.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (before := dotted(node.value, bound)):
        return f"{before}.{node.attr}"
    return ""


def is_forbidden(name: str) -> bool:
    return any(name == banned or name.startswith(banned + ".") for banned in FORBIDDEN)


def forbidden_uses(tree: ast.Module) -> Iterator[str]:
    """Yields what turns bytes or text into code, each with its line."""
    bound = {}
    for name, binding in imports(tree, "demoloop"):
        bound[binding] = name
        if is_forbidden(name):
            yield f"import of {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and is_forbidden(dotted(node, bound)):
            yield f"line {node.lineno}: {dotted(node, bound)}"
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_METHODS:
            yield f"line {node.lineno}: {node.attr}"
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            is_off = isinstance(node.value, ast.Constant) and node.value.value is False
            if not is_off:
                yield f"line {node.value.lineno}: allow_pickle"


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_follow_the_arrows(folder: str) -> None:
    allowed = MAY_IMPORT[folder] | {folder}
    for path in sources(folder):
        relative = path.relative_to(ROOT)
        extra = imported_parts(tree_of(path), ".".join(["demoloop", *relative.parts[:-1]]))
        assert not extra - allowed, f"{relative} imports {extra - allowed}; allowed: {allowed}"


@pytest.mark.parametrize(
    "line",
    [
        "import demoloop.sim",
        "import demoloop.sim.tasks as t",
        "from demoloop import robot, sim",
        "from demoloop.sim.world import build",
        "from ..sim import world",
        "from .. import sim",
        "def late():\n    import demoloop.sim",
    ],
)
def test_an_arrow_is_seen_however_it_is_written(line: str) -> None:
    assert "sim" in imported_parts(ast.parse(line), "demoloop.robot")


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folder_is_linked_into_the_package(folder: str) -> None:
    link = SOURCE / folder
    assert link.resolve() == ROOT / folder, f"{link} should be a link to ../../{folder}"


@pytest.mark.parametrize("part", PARTS)
def test_every_public_name_exists(part: str) -> None:
    for path in sources(part):
        if not any(
            isinstance(node, ast.Assign) and any(dotted(t, {}) == "__all__" for t in node.targets)
            for node in tree_of(path).body
        ):
            continue
        inside = path.relative_to(PARTS[part]).with_suffix("").parts
        name = ".".join(["demoloop", part, *inside]).removesuffix(".__init__")
        module = importlib.import_module(name)
        absent = [public for public in module.__all__ if not hasattr(module, public)]
        assert not absent, f"{name}.__all__ lists {absent}, which it does not have"


@pytest.mark.parametrize("module", ONBOARD)
def test_onboard_runtime_loads_neither_torch_nor_simulator(module: str) -> None:
    code = f"import sys, {module}; print(sorted({NOT_ONBOARD} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr or f"{module} loads {done.stdout}"


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_unpickled_or_evaluated(part: str) -> None:
    found = {
        str(path.relative_to(ROOT)): uses
        for path in sources(part)
        if (uses := list(forbidden_uses(tree_of(path))))
    }
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "from multiprocessing import x\nimport cloudpickle",
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path)",
        "from torch import load",
        "import torch\nload = torch.load",
        "socket.recv_pyobj()",
        "eval('1')",
        "run = exec",
        "import builtins\nbuiltins.eval('1')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=anything)",
    ],
)
def test_forbidden_code_is_seen_however_it_is_written(line: str) -> None:
    assert list(forbidden_uses(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        '"""Never torch.load( and never eval(."""',
        "model.eval()",
        "np.load(path, allow_pickle=False)",
        "from safetensors.torch import load\nload(path)",
    ],
)
def test_harmless_code_is_not_taken_for_forbidden(line: str) -> None:
    assert not list(forbidden_uses(ast.parse(line)))


@pytest.mark.parametrize("part", PARTS)
def test_no_file_outgrows_the_house(part: str) -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sources(part)
    }
    too_long = {name: count for name, count in lines.items() if count > MAX_FILE_LINES}
    assert not too_long, f"over {MAX_FILE_LINES} lines; ask what the second noun is"


@pytest.mark.parametrize("part", PARTS)
def test_no_function_outgrows_the_house(part: str) -> None:
    too_long = {
        f"{path.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for path in sources(part)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    }
    assert not too_long, f"over {MAX_FUNCTION_LINES} lines; ask what the second verb is"


@pytest.mark.parametrize("part", PARTS)
def test_every_scene_and_page_is_shipped_in_the_wheel(part: str) -> None:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = config["tool"]["setuptools"]["package-data"]["*"]
    code_and_prose = {".py", ".pyc", ".md", ".TXT"}  # MuJoCo leaves a MUJOCO_LOG.TXT where it ran
    for path in PARTS[part].rglob("*"):
        if path.is_file() and path.suffix not in code_and_prose:
            where = path.relative_to(ROOT)
            assert any(fnmatch(path.name, pattern) for pattern in patterns), (
                f"{where} matches none of the package-data patterns {patterns}"
            )


@pytest.mark.parametrize("part", PARTS)
def test_every_folder_with_content_is_a_package(part: str) -> None:
    for path in PARTS[part].rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            beside = path.parent / "__init__.py"
            assert beside.exists(), (
                f"{beside.relative_to(ROOT)} is missing: the wheel leaves it out"
            )
