"""`demoloop dataset`: the table of what can be done to a dataset."""

from __future__ import annotations

from collections.abc import Mapping

from demoloop.cli.verbs import Verb

VERBS: Mapping[str, Verb] = {
    "list": Verb("demoloop.cli.dataset_list", "List the episodes as training will see them."),
    "drop": Verb("demoloop.cli.dataset_drop", "Leave episodes out."),
    "trim": Verb("demoloop.cli.dataset_trim", "Keep a part of each episode."),
    "relabel": Verb("demoloop.cli.dataset_relabel", "Say another task."),
    "success": Verb("demoloop.cli.dataset_success", "Judge whether the task was done."),
    "weigh": Verb("demoloop.cli.dataset_weigh", "Say how often training samples an episode."),
    "tag": Verb("demoloop.cli.dataset_tag", "Put words on episodes, or take them off."),
    "split": Verb("demoloop.cli.dataset_split", "Set episodes aside for judging."),
    "undo": Verb("demoloop.cli.dataset_undo", "Take back an edit."),
    "history": Verb("demoloop.cli.dataset_history", "List the edits."),
    "merge": Verb("demoloop.cli.dataset_merge", "Read several datasets as one."),
    "check": Verb(
        "demoloop.cli.dataset_check", "Find hard defects, with time and picture.", ("teleop",)
    ),
    "publish": Verb(
        "demoloop.cli.dataset_publish", "Put a dataset on the Hugging Face Hub.", ("hub",)
    ),
    "import": Verb(
        "demoloop.cli.dataset_import",
        "Make a dataset of recordings of others.",
        ("convert",),
    ),
    "export": Verb(
        "demoloop.cli.dataset_export",
        "Write a dataset in a format of others.",
        ("convert",),
    ),
    "lance": Verb("demoloop.cli.dataset_lance", "Write a dataset as one Lance table.", ("scale",)),
}
