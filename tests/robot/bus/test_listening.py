"""Which bytes are taken for replies: every way in which one byte can spoil an exchange is tried."""

from __future__ import annotations

import pytest

from demoloop.robot.bus.feetech import FeetechFraming, packet
from demoloop.robot.bus.listening import Listening

FRAMING = FeetechFraming()
DATA = {1: bytes(range(15)), 2: bytes(range(100, 115)), 3: bytes(15)}
REPLIES = [packet(servo_id, 0, data) for servo_id, data in DATA.items()]
REQUEST = FRAMING.read((1, 2, 3), 56, 15)


def listen(*pieces: bytes, size: int = 15, ids: tuple[int, ...] = (1, 2, 3)) -> Listening:
    heard = Listening(FRAMING, ids, size, [REQUEST])
    for piece in pieces:
        heard.hear(piece)
    heard.fall_silent()
    return heard


def taken(heard: Listening) -> dict[int, bytes]:
    return {servo_id: found.data for servo_id, found in heard.replies.items()}


def test_replies_are_taken_however_they_are_cut() -> None:
    whole = b"".join(REPLIES)
    assert taken(listen(*(whole[i : i + 1] for i in range(len(whole))))) == DATA
    assert taken(listen(whole)) == DATA


def test_our_own_request_is_not_a_reply() -> None:
    assert taken(listen(REQUEST, *REPLIES)) == DATA
    # The echo of a read looks like a reply of 2 bytes, with an alarm.
    request = FRAMING.read((1,), 56, 2)
    heard = Listening(FRAMING, (1,), 2, [request])
    heard.hear(request + packet(1, 0, b"\x01\x02"))
    assert taken(heard) == {1: b"\x01\x02"}


@pytest.mark.parametrize("at", range(len(REPLIES[1])))
def test_one_byte_that_is_another_never_gives_a_wrong_value(at: int) -> None:
    for value in range(1, 256):
        spoiled = bytearray(REPLIES[1])
        spoiled[at] ^= value
        found = taken(listen(REPLIES[0], bytes(spoiled), REPLIES[2]))
        assert found.items() <= DATA.items()
        if at not in (0, 1, 3):  # a spoiled header or length may cost the neighbour too
            assert found.keys() == {1, 3}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("at", range(len(REPLIES[1])))
def test_one_byte_too_many_never_gives_a_wrong_value(at: int, place: int) -> None:
    for value in range(256):
        replies = list(REPLIES)
        replies[place] = replies[place][:at] + bytes((value,)) + replies[place][at:]
        assert taken(listen(*replies)).items() <= DATA.items()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("at", range(len(REPLIES[1])))
def test_one_byte_too_few_never_gives_a_wrong_value(at: int, place: int) -> None:
    for last in range(256):  # some of them let a checksum fit by chance
        data = {**DATA, place + 1: bytes((*range(14), last))}
        replies = [packet(servo_id, 0, it) for servo_id, it in data.items()]
        replies[place] = replies[place][:at] + replies[place][at + 1 :]
        assert taken(listen(*replies)).items() <= data.items()


def test_a_reply_that_came_twice_is_not_believed() -> None:
    heard = listen(REPLIES[0], packet(1, 0, DATA[2]), REPLIES[1], REPLIES[2])
    assert taken(heard).keys() == {2, 3}
    assert heard.garbled == {1}


def test_a_reply_out_of_order_is_of_another_request() -> None:
    assert taken(listen(REPLIES[1], REPLIES[0], REPLIES[2])).keys() == {2, 3}


def test_a_reply_of_another_length_is_kept_apart() -> None:
    heard = listen(packet(1, 0, b"\x01\x02"), *REPLIES)
    assert taken(heard) == DATA
    assert heard.strays == [(1, 2)]


def test_junk_before_the_first_reply_spoils_nothing() -> None:
    assert taken(listen(b"\x00\xff\x12\xff", *REPLIES)) == DATA
