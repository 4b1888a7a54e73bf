"""Pictures of others are decoded as the camera took them, and within limits."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from demoloop.datasets import DatasetError
from demoloop.datasets.importers.pictures import IN_MEMORY, decode, gather, room_for

RED_LEFT = np.zeros((16, 32, 3), np.uint8)
RED_LEFT[:, :16, 0] = 255


def coded(ending: str) -> bytes:
    return cv2.imencode(ending, np.ascontiguousarray(RED_LEFT[..., ::-1]))[1].tobytes()


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_red_stays_red(ending: str) -> None:
    np.testing.assert_allclose(decode(coded(ending), "p"), RED_LEFT, atol=60)  # JPEG's edges


def test_padding_behind_a_jpeg_is_ignored() -> None:
    np.testing.assert_array_equal(
        decode(coded(".jpg") + bytes(100), "p"), decode(coded(".jpg"), "p")
    )


def test_a_picture_is_not_turned_by_what_exif_says() -> None:
    # APP1 with one entry: orientation 6, a quarter turn.
    entry = bytes.fromhex("0112000300000001" + "00060000")
    tiff = b"MM\0*\0\0\0\x08" + b"\0\x01" + entry + bytes(4)
    exif = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    data = coded(".jpg")
    assert decode(data[:2] + segment + data[2:], "p").shape == RED_LEFT.shape


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_picture_cut_short_is_refused(ending: str, share: float) -> None:
    data = coded(ending)
    with pytest.raises(DatasetError, match=r"cut short|neither"):
        decode(data[: int(share * len(data))], "p")


def test_a_header_that_asks_for_gigabytes_is_refused_before_decoding() -> None:
    data = bytearray(coded(".png"))
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    with pytest.raises(DatasetError, match="at most 8192 px"):
        decode(bytes(data), "p")


def test_many_pictures_are_kept_on_the_disk() -> None:
    assert not isinstance(room_for(1, (16, 32), "p"), np.memmap)
    many = room_for(IN_MEMORY // RED_LEFT.nbytes + 1, (16, 32), "p")
    assert isinstance(many, np.memmap)
    many[-1] = RED_LEFT
    np.testing.assert_array_equal(many[-1], RED_LEFT)


def test_more_pictures_than_the_disk_holds_are_refused() -> None:
    with pytest.raises(DatasetError, match="make room"):
        room_for(10**9, (4096, 4096), "p")


def test_a_picture_too_few_is_noticed() -> None:
    with pytest.raises(DatasetError, match="ends after picture 2, expected 3"):
        gather([RED_LEFT, RED_LEFT], 3, (16, 32), "p")
