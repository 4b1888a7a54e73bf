"""Puts what a session tells into messages."""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from demoloop.teleop.look import Progress
from demoloop.teleop.session import Session
from demoloop.teleop.web import messages as m


def hello(session: Session, verb: str, role: Literal["driver", "watcher"]) -> m.Hello:
    """Returns what a page is told first."""
    spec, plan = session.spec, session.plan
    return m.Hello(
        role=role,
        verb=verb,
        robot=spec.name,
        agent=session.driver.name or plan.agents[0],
        agents=plan.agents,
        cameras=spec.camera_names,
        joints=tuple(m.Joint(j.name, j.low, j.high, j.unit) for j in spec.joints),
        task=plan.task,
        can_retask=not plan.fixes_task,
        control_hz=spec.control_hz,
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
