"""What is published comes back from the Hub as it was; the Hub is a stand-in on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from huggingface_hub import snapshot_download

from demoloop.__main__ import main
from demoloop.datasets import DatasetWriter, Episode, open_dataset
from demoloop.datasets.edits import edit_episodes
from demoloop.datasets.publish import FILES_PER_COMMIT, Upload, _batches, publishable
from demoloop.datasets.view import merge
from demoloop.robot import RobotSpec

REPO = "person/cubes"


class StandIn(Protocol):
    """The Hub of conftest.py."""

    url: str
    blobs: dict[str, bytes]  # sha256 -> bytes
    commits: dict[str, dict[str, str]]
    branches: dict[str, str]
    tags: dict[str, str]
    created: dict[str, object] | None  # what was said of the repository when it was created
    num_uploads: int
    uploads_before_failure: int | None
    asked: list[str]

    def files(self, revision: str) -> dict[str, str]:
        """Returns name -> sha256 of what stands at a branch, tag or commit."""
        ...

    def shutdown(self) -> None: ...

    def server_close(self) -> None: ...


def publish(root: Path, hub: StandIn, *options: str) -> int:
    return main(["dataset", "publish", str(root), REPO, "--endpoint", hub.url, *options])


def download(hub: StandIn, folder: Path) -> Path:
    found = snapshot_download(
        REPO, repo_type="dataset", revision="v3.0", endpoint=hub.url, local_dir=folder, token=False
    )
    return Path(found)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Returns the sentence in which the last command complained."""
    return lambda: capfd.readouterr().err.splitlines()[-1]


def test_what_is_published_opens_as_it_was(root: Path, hub: StandIn, tmp_path: Path) -> None:
    assert publish(root, hub) == 0
    before, after = open_dataset(root), open_dataset(download(hub, tmp_path / "down"))
    assert after.view_hash() == before.view_hash()
    for i in range(3):
        np.testing.assert_array_equal(after.lowdim(i).actions, before.lowdim(i).actions)
        frames = zip(after.frames(i, "wrist"), before.frames(i, "wrist"), strict=True)
        assert all((one == other).all() for one, other in frames)


def test_nothing_but_the_dataset_is_uploaded(root: Path, hub: StandIn) -> None:
    for name in (".cache/check.json", "demoloop/open/1/steps.log", "demoloop/lock", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("private")
    (root / "data/chunk-000/file-000.parquet.tmp").write_text("half")
    assert publish(root, hub) == 0
    outside = [
        name
        for name in hub.files("main")
        if not name.startswith(("data/", "meta/", "videos/")) or name.endswith(".tmp")
    ]
    assert sorted(outside) == [".gitattributes", "README.md", "demoloop/journal.jsonl"]


def test_the_card_says_what_readers_and_people_look_for(root: Path, hub: StandIn) -> None:
    assert publish(root, hub) == 0
    card = hub.blobs[hub.files("v3.0")["README.md"]].decode()
    for part in ("- LeRobot", "- robotics", "data_files: data/*/*.parquet", "two_joints", "30 Hz"):
        assert part in card
    assert "1 successes, 2 failures, 0 not judged" in card
    assert open_dataset(root).view_hash() in card


def test_dry_run_lists_every_byte_and_asks_nobody(
    root: Path, hub: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    assert publish(root, hub, "--dry-run") == 0
    *lines, total = capfd.readouterr().out.splitlines()
    with publishable(root, REPO) as uploads:
        assert {line.split()[1] for line in lines} == {upload.name for upload in uploads}
        assert total.split()[0] == str(sum(upload.size for upload in uploads))
    assert not hub.asked


def test_an_upload_that_broke_off_goes_on_where_it_ended(root: Path, hub: StandIn) -> None:
    hub.uploads_before_failure = 4
    assert publish(root, hub) == 2
    assert not hub.tags, "readers would have met half a dataset"
    hub.uploads_before_failure = None
    assert publish(root, hub) == 0
    large = {oid for name, oid in hub.files("v3.0").items() if name.endswith((".mp4", ".parquet"))}
    assert hub.num_uploads == len(large), "a file was sent twice"


def test_published_again_the_tag_moves_only_when_the_person_says_so(
    root: Path,
    hub: StandIn,
    make_episode: Callable[..., Episode],
    spec: RobotSpec,
    said: Callable[[], str],
) -> None:
    assert publish(root, hub) == 0
    before = hub.tags["v3.0"]
    with DatasetWriter(root, spec) as writer:
        writer.add(make_episode(4))
    assert publish(root, hub) == 2
    assert "pass --yes" in said()
    assert hub.tags["v3.0"] == before == hub.branches["main"]
    assert publish(root, hub, "--yes") == 0
    assert hub.tags["v3.0"] == hub.branches["main"] != before
    assert "data/chunk-000/file-003.parquet" in hub.files("v3.0")


def test_files_that_left_the_dataset_leave_the_repository(
    root: Path, hub: StandIn, tmp_path: Path, make_episode: Callable[..., Episode], spec: RobotSpec
) -> None:
    assert publish(root, hub) == 0
    with DatasetWriter(tmp_path / "smaller", spec) as writer:
        writer.add(make_episode(9))
    assert publish(tmp_path / "smaller", hub, "--yes") == 0
    assert [name for name in hub.files("v3.0") if name.startswith("data/")] == [
        "data/chunk-000/file-000.parquet"
    ]
    assert ".gitattributes" in hub.files("v3.0")


def test_private_and_branch_reach_the_hub(root: Path, hub: StandIn) -> None:
    assert publish(root, hub, "--private", "--branch", "trial") == 0
    assert hub.created is not None and hub.created["visibility"] == "private"
    assert hub.tags["v3.0"] == hub.branches["trial"] != hub.branches["main"]


@pytest.mark.parametrize(
    ("token", "repo_id", "sentence"),
    [
        ("", REPO, "run `hf auth login`"),
        ("hf_bad", REPO, "check that the token may write"),
        ("hf_good", "cubes", "does not say whose it is"),
        ("hf_good", "person/cu bes", "cannot name a repository"),
    ],
)
def test_what_the_hub_would_refuse_is_one_sentence(
    root: Path,
    hub: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    said: Callable[[], str],
    token: str,
    repo_id: str,
    sentence: str,
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["dataset", "publish", str(root), repo_id, "--endpoint", hub.url]) == 2
    assert sentence in said()
    assert not hub.commits


def test_no_network_is_one_sentence(root: Path, hub: StandIn, said: Callable[[], str]) -> None:
    hub.shutdown()
    hub.server_close()
    assert publish(root, hub) == 2
    assert "check the network" in said()


def test_a_dataset_with_a_hole_is_not_published(
    root: Path, hub: StandIn, said: Callable[[], str]
) -> None:
    (root / "data/chunk-000/file-001.parquet").unlink()
    assert publish(root, hub) == 2
    assert "is not whole" in said()
    assert not hub.asked


def test_a_link_that_leads_out_of_the_dataset_is_not_published(
    root: Path, hub: StandIn, tmp_path: Path, said: Callable[[], str]
) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (root / "meta/secret.json").symlink_to(tmp_path / "secret.json")
    assert publish(root, hub) == 2
    assert "leads out of the dataset" in said()
    assert not hub.asked


def test_commits_are_bounded_and_lose_no_file() -> None:
    uploads = [Upload(f"{n}", b"x" * (n % 3)) for n in range(2 * FILES_PER_COMMIT + 7)]
    batches = _batches(uploads)
    assert [upload for batch in batches for upload in batch] == uploads
    assert max(map(len, batches)) == FILES_PER_COMMIT


def test_edits_are_applied_to_what_is_published(root: Path, hub: StandIn, tmp_path: Path) -> None:
    before = open_dataset(root)
    first, second, _ = (episode.uuid for episode in before.episodes)
    edit_episodes(root, "drop", {first: None}, author="test")
    edit_episodes(root, "trim", {second: (2, 6)}, author="test")
    assert publish(root, hub) == 0
    after = open_dataset(download(hub, tmp_path / "down"))
    assert [episode.length for episode in after.episodes] == [4, 7]
    np.testing.assert_array_equal(after.lowdim(0).actions, before.lowdim(1).actions[2:6])
    assert "demoloop/edits.jsonl" not in hub.files("v3.0")
    assert [path.name for path in tmp_path.iterdir() if "publish" in path.name] == []


def test_a_collection_is_published_as_one_dataset(
    root: Path, hub: StandIn, tmp_path: Path, make_episode: Callable[..., Episode], spec: RobotSpec
) -> None:
    with DatasetWriter(tmp_path / "other", spec) as writer:
        writer.add(make_episode(9, steps=8))
    merge([root, tmp_path / "other"], tmp_path / "both")
    assert publish(tmp_path / "both", hub) == 0
    after = open_dataset(download(hub, tmp_path / "down"))
    assert sorted(episode.length for episode in after.episodes) == [5, 6, 7, 8]
