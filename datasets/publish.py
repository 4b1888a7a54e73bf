"""Publishes a dataset on the Hugging Face Hub, as a dataset repository that lerobot reads.

LeRobot looks for a git tag that equals the version of the layout. The tag is set last, so nobody
who reads by it meets half an upload; an upload that was interrupted is done again by the same
command, and what the Hub has by then is not sent twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tqdm import tqdm

from demoloop.datasets import lerobot_layout as layout
from demoloop.datasets.card_text import card_text
from demoloop.datasets.errors import DatasetError, one_line
from demoloop.datasets.lerobot_info import read_info
from demoloop.datasets.lerobot_read import Dataset, open_dataset

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

TAG = "v3.0"  # what LeRobot looks for: the version of the layout
CARD = "README.md"
FOLDERS = ("data", "meta", "videos")
SUFFIXES = (".json", ".mp4", ".parquet")
FILES_PER_COMMIT, BYTES_PER_COMMIT = 100, 1 << 30
"""At each commit an interrupted upload can go on; the Hub advises against thousands of files."""

FILES_AT_ONCE = 20
"""Sent side by side before the progress bar moves on."""


@dataclass(frozen=True)
class Upload:
    """One file of the repository and where its bytes are."""

    name: str  # in the repository
    source: Path | bytes

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@contextmanager
def publishable(root: Path, repo_id: str) -> Iterator[list[Upload]]:
    """Gives what would be uploaded, all files together, the card among them.

    Edits are an overlay only demoloop reads. Where there are some, what is published is the view
    they make, written out to a temporary folder for the time of the block.

    Raises:
        DatasetError: Episodes cannot be read, or the layout is not v3.0.
    """
    dataset = open_dataset(root)
    if dataset.missing:
        raise DatasetError(
            f"{root} is not whole, {len(dataset.missing)} episodes cannot be read "
            f"({dataset.missing[0]}); mend or drop them first, a part is not published as the whole"
        )
    is_own = (root / layout.INFO).exists() and not (root / layout.EDITS).exists()
    if is_own:
        info = read_info(root)
        if not info.version.startswith("v3."):
            raise DatasetError(
                f"{root} has layout {info.version}, the Hub is to get {TAG}: run `demoloop dataset "
                f"import {root} NEW_FOLDER` and publish that"
            )
        yield _uploads(root, dataset, repo_id)
        return
    from demoloop.datasets.exporters import export_dataset

    # Beside the dataset, where files can be linked instead of copied.
    with TemporaryDirectory(prefix=f".{root.name}-publish-", dir=root.resolve().parent) as folder:
        plain = Path(folder) / root.name
        export_dataset(root, plain, "lerobot")
        yield _uploads(plain, open_dataset(plain), repo_id)


def _uploads(root: Path, dataset: Dataset, repo_id: str) -> list[Upload]:
    """Lists the files of LeRobot's layout, the journal and the card; nothing else in the folder."""
    found = [
        path
        for folder in FOLDERS
        for path in sorted((root / folder).rglob("*"))
        if path.is_file() and path.suffix in SUFFIXES
    ]
    found += [root / name for name in (layout.JOURNAL,) if (root / name).exists()]
    inside = root.resolve()
    for path in found:
        if not path.resolve().is_relative_to(inside):
            raise DatasetError(
                f"{path} is a link that leads out of the dataset; nothing from elsewhere is "
                "published, put the file itself in its place"
            )
    uploads = [Upload(path.relative_to(root).as_posix(), path) for path in found]
    uploads.append(Upload(CARD, card_text(dataset, repo_id).encode()))
    # Data and videos first: what names them comes when they are there.
    return sorted(uploads, key=lambda u: (u.name.startswith("meta") or u.name == CARD, u.name))


class Hub:
    """One dataset repository on the Hub, through huggingface_hub."""

    def __init__(self, repo_id: str, *, branch: str = "main", endpoint: str | None = None) -> None:
        """Stores its name; `connect` is the first that speaks to the Hub.

        Args:
            repo_id: `person/name` or `organisation/name`.
            branch: To which is committed.
            endpoint: URL of the Hub; None for the usual one, or HF_ENDPOINT.
        """
        self.repo_id, self.branch, self.endpoint = repo_id, branch, endpoint
        self._api: HfApi | None = None

    def connect(self) -> None:
        """Finds a token; raises DatasetError when there is none, or no owner in the name."""
        from huggingface_hub import HfApi, get_token

        if self.repo_id.count("/") != 1:
            raise DatasetError(
                f"{self.repo_id!r} does not say whose it is; write it as person/{self.repo_id}"
            )
        token = get_token()
        if token is None:
            raise DatasetError(
                "no token for the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN to a "
                "token that may write"
            )
        self._api = HfApi(endpoint=self.endpoint, token=token)

    def tagged(self) -> str | None:
        """Returns the commit the tag stands at, None when there is no tag or no repository."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._answering():
            try:
                refs = self._connected().list_repo_refs(self.repo_id, repo_type="dataset")
            except RepositoryNotFoundError:
                return None
            return next((ref.target_commit for ref in refs.tags if ref.name == TAG), None)

    def upload(self, uploads: Sequence[Upload], *, is_private: bool, progress: bool = True) -> str:
        """Makes the branch hold these files; returns the commit.

        Files of LeRobot's folders that are no longer part of the dataset are removed.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        api = self._connected()
        with self._answering():
            api.create_repo(self.repo_id, repo_type="dataset", private=is_private, exist_ok=True)
            if self.branch != "main":
                api.create_branch(
                    self.repo_id, repo_type="dataset", branch=self.branch, exist_ok=True
                )
            there = api.list_repo_files(self.repo_id, repo_type="dataset", revision=self.branch)
            kept = {upload.name for upload in uploads}
            ours = (*(f"{folder}/" for folder in FOLDERS), f"{layout.OURS}/")
            gone = [name for name in there if name.startswith(ours) and name not in kept]
            commit = ""
            size = sum(upload.size for upload in uploads)
            with tqdm(
                total=size, unit="B", unit_scale=True, desc="upload", disable=not progress
            ) as bar:
                batches = _batches(uploads)
                for number, batch in enumerate(batches):
                    added = [CommitOperationAdd(upload.name, upload.source) for upload in batch]
                    for first in range(0, len(added), FILES_AT_ONCE):
                        group = added[first : first + FILES_AT_ONCE]
                        api.preupload_lfs_files(
                            self.repo_id, group, repo_type="dataset", revision=self.branch
                        )
                        bar.update(sum(operation.upload_info.size for operation in group))
                    operations: list[CommitOperationAdd | CommitOperationDelete] = [*added]
                    if number == len(batches) - 1:
                        operations += [CommitOperationDelete(name) for name in gone]
                    commit = api.create_commit(
                        self.repo_id,
                        operations,
                        repo_type="dataset",
                        revision=self.branch,
                        commit_message=f"demoloop dataset publish, {number + 1} of {len(batches)}",
                    ).oid
        return commit

    def tag(self, commit: str) -> None:
        """Puts the tag at a commit, wherever it stood before."""
        before = self.tagged()
        if before == commit:
            return
        api = self._connected()
        with self._answering():
            if before is not None:
                api.delete_tag(self.repo_id, tag=TAG, repo_type="dataset")
            api.create_tag(self.repo_id, tag=TAG, revision=commit, repo_type="dataset")

    def _connected(self) -> HfApi:
        assert self._api is not None, "connect first"
        return self._api

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turns what the Hub or the network says into one sentence."""
        # HTTPError is that of the HTTP library huggingface_hub is built on, which has changed.
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
        from huggingface_hub.errors import HTTPError as NoAnswer  # type: ignore[attr-defined]

        again = "the same command goes on where this one ended"
        hub = self.endpoint or "the Hugging Face Hub"
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise DatasetError(
                f"{hub} is not asked, since HF_HUB_OFFLINE is set; unset it to publish"
            ) from error
        except HFValidationError as error:
            raise DatasetError(
                f"{self.repo_id!r} cannot name a repository: {one_line(error)}"
            ) from error
        except HfHubHTTPError as error:
            raise DatasetError(
                f"{hub} refuses {self.repo_id}: {one_line(error)}; check that the token may write "
                f"there, then {again}"
            ) from error
        except (NoAnswer, RuntimeError, OSError) as error:
            # RuntimeError is how huggingface_hub passes on a failure of one file.
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise DatasetError(
                f"no connection to {hub}: {one_line(cause)}; check the network, then {again}"
            ) from error


def _batches(uploads: Sequence[Upload]) -> list[list[Upload]]:
    """Cuts the files into commits of a bounded number of files and bytes."""
    batches: list[list[Upload]] = [[]]
    for upload in uploads:
        before = sum(each.size for each in batches[-1])
        is_full = len(batches[-1]) == FILES_PER_COMMIT or before + upload.size > BYTES_PER_COMMIT
        if batches[-1] and is_full:
            batches.append([])
        batches[-1].append(upload)
    return batches
