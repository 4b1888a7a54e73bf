"""Draws which episodes are for training and which for judging."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from demoloop.datasets.errors import DatasetError

REST = "train"


def draw_splits(uuids: Sequence[str], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Returns the split of every episode: as many as each share says, the rest `train`.

    The draw depends on the seed and on which episodes there are, not on their order. Whole
    episodes are drawn: steps of one episode are too alike to judge what was learnt from others.

    Raises:
        DatasetError: A share is none, or nothing would be left to train on.
    """
    order = np.random.default_rng(seed).permutation(np.array(sorted(uuids), dtype=object))
    splits = dict.fromkeys(uuids, REST)
    start = 0
    for name, share in shares.items():
        if not 0 < share < 1:
            raise DatasetError(f"the share of {name} is {share}; it must be between 0 and 1")
        count = max(1, round(share * len(uuids)))
        splits |= dict.fromkeys(order[start : start + count], name)
        start += count
    if start >= len(uuids):
        raise DatasetError(
            f"{len(uuids)} episodes are too few for these shares: none is left to train on; "
            "record more or make them smaller"
        )
    return splits
