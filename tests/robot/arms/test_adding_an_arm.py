"""The worked example of docs/adding-an-arm.md is an arm like any other."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.robot.arms import test_arms
from tests.robot.calibration.person import Person

from demoloop.robot.arms import ArmModel
from demoloop.robot.calibration import Procedure
from demoloop.robot.errors import RobotError

PAGE = Path(__file__).parents[3] / "docs" / "adding-an-arm.md"
LAWS = {
    name: law
    for name, law in vars(test_arms).items()
    if name.startswith("test_") and "arm" in inspect.signature(law).parameters
}


def block(language: str) -> str:
    """The one piece of the page in that language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(text)


@pytest.fixture
def crane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ArmModel:
    """The page's two files, written down and imported, and its three lines in the tables."""
    (tmp_path / "crane.xml").write_text(block("xml"))
    (tmp_path / "crane.py").write_text(block("python"))
    spec = importlib.util.spec_from_file_location("crane", tmp_path / "crane.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    chain = ((0.0, 0.09), {"lift": (0.0, 0.13), "bend": (0.15, 0.0)})
    monkeypatch.setitem(test_arms.CHAINS, "crane", chain)
    monkeypatch.setitem(test_arms.MASS_KG, "crane", 0.5)
    monkeypatch.setitem(test_arms.REACH_M, "crane", 0.28)
    arm: ArmModel = module.ARM
    return arm


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_pages_arm_passes_what_every_arm_passes(
    law: Callable[..., None], crane: ArmModel
) -> None:
    if "where" in inspect.signature(law).parameters:
        for where in ("home", "rest"):
            law(crane, where)
    else:
        law(crane)


def test_there_are_laws_to_pass() -> None:
    assert len(LAWS) >= 15


def test_the_pages_arm_can_be_calibrated_by_its_own_words(crane: ArmModel) -> None:
    person, procedure = Person(crane, crane.servos), Procedure(crane)
    while procedure.step is not None:
        person.obey(procedure)
    signs = [joint.sign for joint in procedure.calibration("1").servos(crane).joints]
    assert signs == [1, -1, 1, 1]


def test_the_pages_arm_is_not_mistaken_for_another(crane: ArmModel) -> None:
    person, procedure = Person(crane, crane.servos), Procedure(crane)
    while procedure.step is not None:
        person.obey(procedure)
    with pytest.raises(RobotError, match="is of arm 'crane', not of 'so101'"):
        procedure.calibration("1").servos(test_arms.ARMS["so101"])
