"""Laws of pushing: how a T answers, and which push brings it nearest."""

from __future__ import annotations

import numpy as np

from demoloop.sim.pushing import contacts_of_t

CONTACTS = contacts_of_t()


def test_push_through_the_middle_does_not_turn_the_block() -> None:
    lever = CONTACTS.points[:, 0] * CONTACTS.normals[:, 1]
    lever -= CONTACTS.points[:, 1] * CONTACTS.normals[:, 0]
    straight = np.abs(lever) < 1e-9
    assert straight.any()
    np.testing.assert_allclose(CONTACTS.twists[straight, 2], 0, atol=1e-9)


def test_touched_point_moves_as_far_as_the_finger() -> None:
    turn = CONTACTS.twists[:, 2:] * np.column_stack([-CONTACTS.points[:, 1], CONTACTS.points[:, 0]])
    along = ((CONTACTS.twists[:, :2] + turn) * CONTACTS.normals).sum(1)
    np.testing.assert_allclose(along, 1.0)


def test_any_error_can_be_lessened_by_some_push() -> None:
    # Otherwise an expert that only ever takes the best push could get stuck.
    rng = np.random.default_rng(0)
    for _ in range(300):
        error = rng.normal(size=3) * [0.05, 0.05, 1.0]
        rest, _ = CONTACTS.remaining(error)
        assert rest.min() < 0.85


def test_turned_contacts_answer_as_the_block_does_in_its_own_frame() -> None:
    yaw, error = 0.7, np.array([0.02, -0.03, 0.4])
    turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    turned = CONTACTS.turned(np.array([0.2, 0.1]), yaw)
    rest, lengths = CONTACTS.remaining(error)
    world_rest, world_lengths = turned.remaining(np.append(turn @ error[:2], error[2]))
    np.testing.assert_allclose(world_rest, rest)
    np.testing.assert_allclose(world_lengths, lengths)
    np.testing.assert_allclose(turned.points, CONTACTS.points @ turn.T + [0.2, 0.1])
