"""`demoloop dataset`: the table of what can be done to a dataset."""

from __future__ import annotations

from collections.abc import Mapping

from demoloop.cli.verbs import Verb

VERBS: Mapping[str, Verb] = {
    "list": Verb("demoloop.cli.dataset_list", "List the episodes as training will see them."),
    "check": Verb(
        "demoloop.cli.dataset_check", "Find hard defects, with time and picture.", ("teleop",)
    ),
}
