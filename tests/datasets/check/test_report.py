"""The report needs nothing from outside, and the verb says what was found by its exit code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from demoloop.__main__ import main
from demoloop.datasets import Dataset, Episode, open_dataset
from demoloop.datasets.check import find_defects, known_defects, remembered_path
from demoloop.datasets.check.report import write_report

Make = Callable[..., Dataset]


class Tags(HTMLParser):
    """Collects what a page shows and asks for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(make_dataset: Make, frozen: Episode, tmp_path: Path) -> Tags:
    dataset = make_dataset(frozen)
    return Tags(write_report(dataset, find_defects(dataset), tmp_path / "out").read_text())


def test_each_defect_has_pictures_and_a_curve(page: Tags) -> None:
    shown = [attributes["src"] or "" for tag, attributes in page.tags if tag == "img"]
    assert len(shown) == 3  # the first, the middle and the last frozen picture
    assert [tag for tag, _ in page.tags].count("svg") == 1


def test_the_page_asks_for_nothing(page: Tags) -> None:
    sources = [
        value or ""
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "data", "action", "srcset")
    ]
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}


def test_hostile_names_are_shown_as_text(
    make_dataset: Make, frozen: Episode, tmp_path: Path
) -> None:
    dataset = make_dataset(frozen)
    hostile = [replace(d, sentence="<script>alert(1)</script>") for d in find_defects(dataset)]
    read = Tags(write_report(dataset, tuple(hostile), tmp_path / "out").read_text())
    assert "script" not in {tag for tag, _ in read.tags}
    assert "<script>alert(1)</script>" in read.text


def test_json_says_the_same_as_the_page(
    make_dataset: Make, frozen: Episode, tmp_path: Path
) -> None:
    dataset = make_dataset(frozen)
    defects = find_defects(dataset)
    write_report(dataset, defects, tmp_path / "out")
    value = json.loads((tmp_path / "out/check.json").read_text())
    assert value["view"] == dataset.view_hash()
    assert [d["sentence"] for d in value["defects"]] == [d.sentence for d in defects]


def test_defects_give_exit_code_1_and_the_command_that_drops_them(
    make_dataset: Make, frozen: Episode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_dataset(frozen, replace(frozen, seed=7)).root
    assert main(["dataset", "check", str(root), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().out
    assert re.search(r"^0 .* 0\.97-1\.97 s \(steps 29-59\) +frozen camera +front", said, re.M)
    assert f"demoloop dataset drop {root} 0-1" in said
    assert (tmp_path / "out/check.html").exists()


def test_no_defect_gives_exit_code_0_and_no_command(
    make_dataset: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "check", str(make_dataset().root)]) == 0
    said = capsys.readouterr().out
    assert "defects: none" in said and "drop" not in said


def test_no_dataset_gives_exit_code_2_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "check", str(tmp_path / "nowhere")]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_a_dataset_of_others_is_not_touched(
    make_dataset: Make, frozen: Episode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = make_dataset(frozen).root
    info = json.loads((root / "meta/info.json").read_text())
    del info["demoloop"]
    (root / "meta/info.json").write_text(json.dumps(info))
    dataset = open_dataset(root)
    before = sorted(root.rglob("*"))
    assert "frozen camera" in {defect.kind for defect in find_defects(dataset)}
    assert sorted(root.rglob("*")) == before
    assert remembered_path(dataset).is_relative_to(tmp_path / "cache")


def test_what_was_found_is_known_until_a_file_is_another(
    make_dataset: Make, frozen: Episode
) -> None:
    dataset = make_dataset(frozen)
    assert known_defects(dataset) is None
    found = find_defects(dataset)
    assert known_defects(dataset) == found != ()
    os.utime(next((dataset.root / "videos").rglob("*.mp4")), ns=(1, 1))
    assert known_defects(dataset) is None
