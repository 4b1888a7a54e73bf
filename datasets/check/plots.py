"""Small drawings of a signal with the defect's stretch marked, as SVG; readable without colour."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from demoloop.datasets.check.defect import Defect
from demoloop.datasets.check.signals import Signals, Values

WIDTH, HEIGHT, MARGIN = 360, 110, 14  # px
POINTS = 600  # at most; more are thinner than a pixel


def plot_of(signals: Signals, defect: Defect) -> str:
    """Returns the drawing that shows the defect, '' when no signal would."""
    curves = _curves(signals, defect)
    return _draw(curves, defect.first_step, defect.last_step, signals.fps) if curves else ""


def _curves(signals: Signals, defect: Defect) -> Mapping[str, Values]:
    where = defect.joint_or_camera
    if defect.kind in ("clock", "late step", "uneven steps", "wrong rate") and not where:
        return {"step [s]": np.diff(signals.time, append=np.nan)}
    for joint in signals.joints:
        if joint.spec.name == where:
            read = {} if joint.readings is None else {"reading": joint.readings}
            return {**read, "command": joint.actions}
    if where in signals.columns:
        return {where: signals.columns[where]}
    if where in signals.image_times and defect.kind in ("clock", "drops", "time skew"):
        return {"age of the picture [s]": signals.time - signals.image_times[where]}
    if where in signals.pictures:
        wide = signals.pictures[where].astype(np.float64)
        if defect.kind in ("dark camera", "blown-out camera"):
            return {"brightness": wide.mean(axis=(1, 2))}
        change = np.abs(np.diff(wide, axis=0, append=wide[-1:])).mean(axis=(1, 2))
        return {"change of the picture": change}
    return {}


def _draw(curves: Mapping[str, Values], first: int, last: int, fps: int) -> str:
    steps = len(next(iter(curves.values())))
    finite = np.concatenate([values[np.isfinite(values)] for values in curves.values()])
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    span = max(high - low, 1e-9)
    across, down = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN

    def x(step: float) -> float:
        return MARGIN + across * step / max(steps - 1, 1)

    def y(value: float) -> float:
        return MARGIN + down * (1 - (value - low) / span)

    left, right = x(first), max(x(last), x(first) + 2)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f'<rect class="where" x="{left:.1f}" y="0" width="{right - left:.1f}" height="{HEIGHT}"/>',
    ]
    for number, values in enumerate(curves.values()):
        shown = range(0, steps, max(1, steps // POINTS))
        # A gap in the curve is where it is no number.
        pen, path = "M", []
        for step in shown:
            value = float(values[step])
            if np.isfinite(value):
                path.append(f"{pen}{x(step):.1f} {y(value):.1f}")
                pen = "L"
            else:
                pen = "M"
        parts.append(f'<path class="curve{number}" d="{" ".join(path)}"/>')
    names = " · ".join(("━ ", "┅ ")[n % 2] + escape(name) for n, name in enumerate(curves))
    parts += [
        f'<text x="{MARGIN}" y="10">{high:.3g}</text>',
        f'<text x="{MARGIN}" y="{HEIGHT - 2}">{low:.3g}</text>',
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 2}" text-anchor="end">{steps / fps:.1f} s</text>',
        f'<text x="{WIDTH - MARGIN}" y="10" text-anchor="end">{names}</text></svg>',
    ]
    return "".join(parts)
