"""Each button of the page writes just its edit, and undo gives back the view there was before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from demoloop.datasets import open_dataset
from demoloop.datasets.edits import edit_episodes, read_edits, undo_edit

Look = Callable[[Path], AbstractContextManager[Any]]

ASKING = "!!document.querySelector('#ask[open]')"
TOAST = "document.querySelector('#toast').textContent"

BARS = """
((canvas) => {
  const line = canvas.getContext("2d").getImageData(0, 8, 48, 1).data;
  return [...Array(12).keys()].reduce((n, b) => n + ((line[4 * (4 * b + 2)] > 127) << b), 0);
})
"""

# key, what is typed into the dialog (None: there is none), op, value of the second episode
EDITS: Sequence[tuple[str, str | None, str, object]] = [
    ("s", None, "success", True),
    ("f", None, "success", False),
    ("b", None, "success", None),
    ("r", "stack <b>two</b> cubes", "relabel", "stack <b>two</b> cubes"),
    ("w", "0.5", "weigh", 0.5),
    ("g", "blurry", "tag", "blurry"),
    ("p", "val", "split", "val"),
    ("d", None, "drop", None),
]
BUTTONS = {
    "s": "success",
    "f": "failure",
    "b": "not-judged",
    "r": "task",
    "w": "weight",
    "g": "tag",
    "p": "split",
    "d": "drop",
}


def numbered(page: Any, number: int) -> None:
    page.wait(f"document.querySelector('#task').textContent.startsWith('#{number} ')")


def bytes_of(root: Path) -> dict[Path, bytes]:
    files = [p for folder in ("data", "videos", "meta") for p in (root / folder).rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize("by_mouse", [False, True], ids=["key", "button"])
def test_each_edit_is_written_and_undone(by_mouse: bool, root: Path, look: Look) -> None:
    before, recorded = open_dataset(root), bytes_of(root)
    uuid = before.episodes[1].uuid
    with look(root) as page:
        page.press("j")
        numbered(page, 1)
        for count, (key, typed, op, value) in enumerate(EDITS):
            if by_mouse:
                page.click(f"#edit-{BUTTONS[key]}")
            else:
                page.press(key)
            if typed is not None:
                page.wait(ASKING)
                page.type(typed)
                page.press("Enter")
            page.wait(f"{TOAST}.includes('u takes it back')")
            edits = read_edits(root)
            assert len(edits) == 2 * count + 1
            assert (edits[-1].op, dict(edits[-1].episodes)) == (op, {uuid: value})
            numbered(page, 2 if op == "drop" else 1)
            page.press("u")
            page.wait(f"{TOAST}.includes('taken back: #1')")
            numbered(page, 1)
            assert open_dataset(root).view_hash() == before.view_hash()
            assert open_dataset(root).episodes == before.episodes
    assert bytes_of(root) == recorded


def test_trimming_keeps_what_is_between_the_marks(root: Path, look: Look) -> None:
    view = open_dataset(root).view_hash()
    with look(root) as page:
        page.press("j", "j")  # 7 steps, whose pictures say 300 and more
        numbered(page, 2)
        page.press("ArrowRight", "ArrowRight", "[", "ArrowRight", "ArrowRight", "ArrowRight", "]")
        assert page.wait("document.querySelector('#marks').textContent") == "keep 2 … 5"
        page.press("t")
        page.wait("document.querySelector('#scrub').max === '3'")
        episode = open_dataset(root).episodes[2]
        assert (episode.first, episode.length, episode.recorded_length) == (2, 4, 7)
        # A second trim counts from the first.
        page.wait("document.querySelector('canvas').dataset.recorded === '2'")
        page.press("ArrowRight", "[", "t")
        page.wait("document.querySelector('#scrub').max === '2'")
        episode = open_dataset(root).episodes[2]
        assert (episode.first, episode.length) == (3, 3)
        page.press("Space")
        page.wait("document.querySelector('canvas').dataset.recorded === '5'")
        assert page.js(f"{BARS}(document.querySelector('canvas'))") == 305
        assert page.js("[...document.querySelectorAll('.fault')].every(f => f.hidden)")
        page.press("u")
        page.wait("document.querySelector('#scrub').max === '3'")
        page.press("u")
        page.wait("document.querySelector('#scrub').max === '6'")
    assert open_dataset(root).view_hash() == view


def test_what_was_taken_back_can_be_made_again(root: Path, look: Look) -> None:
    with look(root) as page:
        page.press("d")
        page.wait("document.querySelector('#count').textContent === '2 episodes'")
        view = open_dataset(root).view_hash()
        page.press("u")
        page.wait("document.querySelector('#count').textContent === '3 episodes'")
        page.press("U")
        page.wait("document.querySelector('#count').textContent === '2 episodes'")
    assert open_dataset(root).view_hash() == view


def test_a_tag_is_removed_by_its_chip(root: Path, look: Look) -> None:
    edit_episodes(root, "tag", {open_dataset(root).episodes[0].uuid: "blurry"})
    with look(root) as page:
        page.click("#badges button.tag")
        page.wait("document.querySelectorAll('#badges button.tag').length === 0")
    assert open_dataset(root).episodes[0].tags == ()


def test_history_lists_every_edit_and_undoes_any(root: Path, look: Look) -> None:
    first, second, _ = open_dataset(root).episodes
    with look(root) as page:
        page.press("f")
        page.wait(f"{TOAST}.includes('failure')")
        page.press("j", "s")
        page.wait(f"{TOAST}.includes('success')")
        page.press("h")
        lines = page.wait(
            "document.querySelector('#history').open && "
            "[...document.querySelectorAll('#history li span:first-child')].map(s => s.textContent)"
        )
        assert lines == ["#1: success", "#0: failure"]
        page.click("#history li:last-child button")  # not the last edit, but the first
        page.wait("document.querySelectorAll('#history li').length === 3")
        now = open_dataset(root).episodes
        assert now[0].success == first.success
        assert now[1].success is True != second.success or second.success is True


def test_a_bad_edit_is_refused_in_a_sentence(root: Path, look: Look) -> None:
    refused = [
        ("w", "-1", "0 or more"),
        ("w", "much", "0 or more, not “much”"),
        ("r", " ", "a task is a line of words"),
        ("g", "two words", "a tag is one word"),
        ("t", None, "Mark first"),
        ("u", None, "no edit to take back"),
        ("U", None, "Nothing was taken back"),
    ]
    with look(root) as page:
        for key, typed, said in refused:
            page.press(key)
            if typed is not None:
                page.wait(ASKING)
                page.type(typed)
                page.press("Enter")
            page.wait(f"document.querySelector('#toast.shown.bad') && {TOAST}.includes('{said}')")
    assert read_edits(root) == ()


def test_a_dialog_left_by_escape_writes_nothing(root: Path, look: Look) -> None:
    with look(root) as page:
        for key in "rwgp":
            page.press(key)
            page.wait(ASKING)
            page.type("1")
            page.press("Escape")
            page.wait(f"!{ASKING}")
        page.press("s")
        page.wait(f"{TOAST}.includes('u takes it back')")
    assert [edit.op for edit in read_edits(root)] == ["success"]


def test_dropping_all_episodes_leaves_a_page_that_can_undo(root: Path, look: Look) -> None:
    view = open_dataset(root).view_hash()
    uuids = [episode.uuid for episode in open_dataset(root).episodes]
    with look(root) as page:
        edit_episodes(root, "drop", dict.fromkeys(uuids))
        banner = page.wait("!banner.hidden && banner.textContent")
        assert "all 3 episodes are dropped" in banner
        page.press("u")
        page.wait("banner.hidden")
    assert open_dataset(root).view_hash() == view


def test_edits_of_others_appear(root: Path, look: Look) -> None:
    with look(root) as page:
        edit = edit_episodes(root, "relabel", {open_dataset(root).episodes[0].uuid: "sort"})
        page.wait("document.querySelector('#task').textContent === '#0  sort'")
        undo_edit(root, edit.id)
        page.wait("document.querySelector('#task').textContent !== '#0  sort'")


def test_the_check_runs_from_the_page_and_its_defects_are_marked(root: Path, look: Look) -> None:
    with look(root) as page:
        page.press("c")
        page.wait("document.querySelector('#check').matches('.done:enabled')")
        found = page.js("document.querySelectorAll('.episode .badge.bad').length")
        assert found  # joints of noise jump further than any joint may
        page.wait("document.querySelectorAll('.band.defect').length")
        page.wait("document.querySelector('#findings li button')")
        page.press("n")
        page.js(
            "(e => { e.value = 'defects'; e.dispatchEvent(new Event('change')); })"
            "(document.querySelector('#by-flag'))"
        )
        assert page.js("document.querySelectorAll('.episode').length") == found
