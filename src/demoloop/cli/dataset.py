"""`demoloop dataset`: the table of what can be done to a dataset."""

from __future__ import annotations

from collections.abc import Mapping

from demoloop.cli.verbs import Verb

VERBS: Mapping[str, Verb] = {
    "list": Verb("demoloop.cli.dataset_list", "List the episodes as training will see them."),
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
}
