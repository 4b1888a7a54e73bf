"""Puts what a session tells into messages."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from demoloop.teleop.by_hand import SeenHand
from demoloop.teleop.look import Progress
from demoloop.teleop.web import messages as m
from demoloop.teleop.web.invite import Invite
from demoloop.teleop.web.led import Led


def hello(
    led: Led, verb: str, role: Literal["driver", "watcher"], invite: Invite | None
) -> m.Hello:
    """Returns what a page is told first."""
    spec = led.spec
    return m.Hello(
        role=role,
        verb=verb,
        robot=spec.name,
        agent=led.device,
        agents=led.agents,
        cameras=spec.camera_names,
        joints=tuple(m.Joint(j.name, j.low, j.high, j.unit) for j in spec.joints),
        task=led.task,
        can_retask=led.can_retask,
        control_hz=spec.control_hz,
        invite=None if invite is None else m.Code(invite.url, "/invite.svg"),
    )


def state(
    progress: Progress,
    *,
    thumbnails: Container[int],
    disk_free: int | None,
    minutes_left: float | None,
    has_driver: bool,
    watchers: int,
) -> m.State:
    """Returns how far a session has come, with what only the server knows."""
    return m.State(
        phase=progress.phase,
        task=progress.task,
        notes=progress.notes,
        agent=progress.agent,
        kept=progress.kept,
        wanted=progress.wanted,
        episodes=tuple(
            m.ShownEpisode(
                number=shown.number,
                seconds=shown.seconds,
                steps=shown.steps,
                verdict=shown.verdict,
                thumbnail=f"/thumb/{shown.number}.jpg" if shown.number in thumbnails else "",
            )
            for shown in progress.episodes
        ),
        drops=dict(progress.drops),
        disk_free=disk_free,
        minutes_left=minutes_left,
        problem=progress.problem,
        armed=progress.armed,
        has_driver=has_driver,
        watchers=watchers,
    )


def gesture(seen: SeenHand) -> m.Gesture:
    """Returns what is seen of a hand."""
    return m.Gesture(seen.name, seen.progress, seen.landmarks, seen.score, seen.hint, seen.at)


def marks(progress: Progress) -> m.Marks | None:
    """Returns what is pointed at; None where nobody points."""
    if not progress.marking:
        return None
    pointed = progress.pointed
    return m.Marks(progress.marking, progress.aim, pointed.get("object"), pointed.get("place"))
