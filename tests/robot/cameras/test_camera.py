"""Laws of one camera: the newest picture and its true age, or a sentence; never a wait."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.robot.cameras.virtual import SETUP, SPEC, SteppedClock, streaming

from demoloop.robot import CameraSpec
from demoloop.robot.cameras import Camera, CameraError, CameraSetup
from demoloop.robot.cameras.camera import fit
from demoloop.robot.cameras.fake import FakeUVC, read_number

PERIOD_S = 1 / 30
TICK_S = 0.1  # of a control loop at 10 Hz
TINY_S = 1e-6


def ages_of_naive_reads(fake: FakeUVC, clock: SteppedClock, num_ticks: int) -> list[float]:
    """Reads in the loop itself, as one would at first."""
    capture = fake.opens(SETUP)
    ages = []
    for _ in range(num_ticks):
        _, image = capture.read()
        assert image is not None
        ages.append(clock.now() - fake.taken_at(read_number(image)))
        clock.sleep_until(clock.now() + TICK_S)
    return ages


def test_naive_reads_over_a_queue_are_old(clock: SteppedClock) -> None:
    ages = ages_of_naive_reads(FakeUVC(clock=clock), clock, 20)
    assert min(ages[5:]) > 0.3  # four pictures, of which each waits for four ticks


@pytest.mark.parametrize("jitter_s", [0.0, 0.03])
@pytest.mark.parametrize("has_stamps", [True, False])
def test_newest_picture_is_never_older_than_a_period_and_its_jitter(
    clock: SteppedClock, has_stamps: bool, jitter_s: float
) -> None:
    fake = FakeUVC(clock=clock, jitter_s=jitter_s, has_stamps=has_stamps)
    with streaming(fake) as camera:
        for tick in range(50):
            clock.sleep_until(clock.now() + TICK_S + 1e-4 * tick)
            age = clock.now() - fake.taken_at(read_number(camera.latest().image))
            assert age <= PERIOD_S + jitter_s + TINY_S


def test_stamp_of_a_picture_is_when_it_was_taken(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock, jitter_s=0.03)
    with streaming(fake) as camera:
        for _ in range(30):
            clock.sleep_until(clock.now() + 0.0401)
            frame = camera.latest()
            assert frame.time == pytest.approx(fake.taken_at(read_number(frame.image)), abs=TINY_S)


class SlowOnce(FakeUVC):
    """A computer that is busy for 0.3 s while it decodes a picture, when told to."""

    is_busy = False

    def sleep_if_busy(self) -> None:
        if self.is_busy:
            self.is_busy = False
            self.clock.sleep_until(self.clock.now() + 0.3)


@pytest.mark.parametrize("has_stamps", [True, False])
def test_a_queue_never_makes_a_picture_look_younger_than_it_is(
    clock: SteppedClock, has_stamps: bool
) -> None:
    fake = SlowOnce(clock=clock, has_stamps=has_stamps)

    class Busy:
        """A capture whose decoding can take long."""

        def __init__(self, setup: CameraSetup) -> None:
            self._inner = fake.opens(setup)

        def __getattr__(self, name: str) -> object:
            if name == "retrieve":
                fake.sleep_if_busy()
            return getattr(self._inner, name)

    with Camera(SPEC, SETUP, opens=Busy, clock=clock) as camera:  # type: ignore[arg-type]
        fake.is_busy = True
        for _ in range(100):
            clock.sleep_until(clock.now() + 0.00701)
            frame = camera.newest()
            taken_at = fake.taken_at(read_number(frame.image))
            assert frame.time <= taken_at + TINY_S
        assert not fake.is_busy


def test_pictures_come_in_order_and_none_twice(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock, jitter_s=0.02)
    seen: list[tuple[int, int]] = []
    with streaming(fake) as camera:
        for _ in range(300):
            clock.sleep_until(clock.now() + 0.00501)
            frame = camera.latest()
            if not seen or frame.number != seen[-1][0]:
                seen.append((frame.number, read_number(frame.image)))
    numbers, taken = np.array(seen).T
    assert (np.diff(numbers) == 1).all()
    assert (np.diff(taken) == 1).all()  # a loop that looks often enough loses none


def test_pictures_are_rgb_and_of_the_size_of_the_spec(clock: SteppedClock) -> None:
    spec = CameraSpec("front", height=96, width=128)
    with streaming(FakeUVC(clock=clock), spec=spec) as camera:
        image = camera.latest().image
    assert image.shape == (96, 128, 3)
    assert image[:, 100].tolist() == [[255, 0, 0]] * 96  # the fake is red at the right


def test_nothing_is_squashed() -> None:
    disc = np.zeros((480, 640, 3), np.uint8)
    rows, columns = np.mgrid[:480, :640]
    disc[(rows - 240) ** 2 + (columns - 320) ** 2 < 200**2] = 255
    small = fit(disc, CameraSpec("front", 96, 96))[..., 0] > 127
    assert abs(small.any(axis=0).sum() - small.any(axis=1).sum()) <= 1


def test_a_picture_that_was_handed_out_does_not_change(clock: SteppedClock) -> None:
    with streaming(FakeUVC(clock=clock)) as camera:
        frame = camera.latest()
        number = read_number(frame.image)
        clock.sleep_until(clock.now() + 0.2)
        assert read_number(frame.image) == number
        with pytest.raises(ValueError, match="read-only"):
            frame.image[0] = 0


def test_hung_camera_is_stale_after_a_tenth_of_a_second_and_says_so(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        fake.is_hung = True
        hung_at = clock.now()
        clock.sleep_until(hung_at + 0.05)
        assert not camera.is_stale
        clock.sleep_until(hung_at + 0.11)
        assert camera.is_stale
        with pytest.raises(CameraError, match=r"front: its newest picture is 0\.1. s old"):
            camera.latest()
        assert camera.newest().image is not None  # old, but there


def test_slow_camera_is_allowed_three_periods() -> None:
    assert Camera(SPEC, replace(SETUP, fps=10)).max_age_s == pytest.approx(0.3)
    assert Camera(SPEC, SETUP).max_age_s == pytest.approx(0.1)


@pytest.mark.parametrize("fault", ["is_hung", "is_plugged"])
def test_lost_camera_comes_back_by_itself(clock: SteppedClock, fault: str) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        before = camera.latest()
        setattr(fake, fault, not getattr(fake, fault))
        clock.sleep_until(clock.now() + 20.0)
        assert camera.is_stale
        setattr(fake, fault, not getattr(fake, fault))
        clock.sleep_until(clock.now() + 4.0)  # the longest patience is 2 s
        after = camera.latest()
        assert after.number > before.number
        assert not camera.trouble
        assert fake.num_opened >= 2


def test_unplugged_camera_is_missed_at_its_path(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        fake.is_plugged = False
        clock.sleep_until(clock.now() + 3.0)
        with pytest.raises(CameraError, match=f"there is no {SETUP.device}"):
            camera.latest()


def test_the_same_picture_again_and_again_is_a_frozen_camera(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        fake.is_repeating = True
        clock.sleep_until(clock.now() + 0.9)
        assert not camera.is_stale
        clock.sleep_until(clock.now() + 10.0)
        with pytest.raises(CameraError, match="the very same picture"):
            camera.latest()
        fake.is_repeating = False
        clock.sleep_until(clock.now() + 4.0)
        assert not camera.is_stale


def test_rendered_world_may_stand_still(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake, replace(SETUP, frozen_after_s=0)) as camera:
        fake.is_repeating = True
        clock.sleep_until(clock.now() + 10.0)
        assert not camera.is_stale


@pytest.mark.parametrize(
    ("fault", "value", "sentence"),
    [
        ("garbles", True, "cannot be decoded"),
        ("delivers", (1280, 720), r"sends uint8 \(720, 1280, 3\), expected uint8 \(480, 640, 3\)"),
    ],
)
def test_bad_pictures_are_never_handed_out_and_good_ones_are_again(
    clock: SteppedClock, fault: str, value: object, sentence: str
) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        good = getattr(fake, fault)
        last = camera.newest().number
        setattr(fake, fault, value)
        clock.sleep_until(clock.now() + 0.5)
        assert camera.newest().number <= last + 1  # one may have been under way
        assert camera.num_bad >= 13
        with pytest.raises(CameraError, match=sentence):
            camera.latest()
        setattr(fake, fault, good)
        clock.sleep_until(clock.now() + 0.1)
        assert camera.latest().number > last


def test_one_bad_picture_costs_one_picture(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        clock.sleep_until(fake.taken_at(60) + 0.001)
        fake.garbles = True
        clock.sleep_until(fake.taken_at(61) + 0.001)
        fake.garbles = False
        clock.sleep_until(fake.taken_at(62) + 0.001)
        assert (camera.num_bad, read_number(camera.latest().image)) == (1, 62)


def test_nothing_is_handed_out_before_exposure_is_locked(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        assert camera.newest().time >= fake.began_at + SETUP.warm_up_s
        assert set(camera.settings) == {"exposure", "white_balance"}  # this one has no focus


def test_exposure_stays_what_it_was_when_the_camera_comes_back(clock: SteppedClock) -> None:
    fake = FakeUVC(clock=clock)
    with streaming(fake) as camera:
        before = dict(camera.settings)
        fake.is_plugged = False
        clock.sleep_until(clock.now() + 2.0)
        fake.is_plugged = True
        clock.sleep_until(clock.now() + 4.0)
        assert camera.latest() and camera.settings == before


def test_prescribed_exposure_is_taken(clock: SteppedClock) -> None:
    with streaming(FakeUVC(clock=clock), replace(SETUP, exposure=80.0)) as camera:
        assert camera.settings["exposure"] == 80.0


def test_prescribed_focus_that_the_camera_does_not_have_is_refused() -> None:
    setup = replace(SETUP, focus=30.0, warm_up_s=0.0)
    with pytest.raises(CameraError, match="focus stays at 0, asked for 30"):
        Camera(SPEC, setup, opens=FakeUVC().opens).__enter__()


@pytest.mark.parametrize(
    "mode", [(1280, 720, "MJPG", 30.0), (640, 480, "YUYV", 30.0), (640, 480, "MJPG", 15.0)]
)
def test_another_mode_than_was_asked_for_is_refused(mode: tuple[int, int, str, float]) -> None:
    fake = FakeUVC()
    fake.modes = frozenset([mode])
    width, height, fourcc, fps = mode
    given = f"gives {width}x{height} {fourcc} at {fps:g} Hz, asked for 640x480 MJPG at 30 Hz"
    with pytest.raises(CameraError, match=given):
        Camera(SPEC, SETUP, opens=fake.opens).__enter__()


def test_absent_camera_is_refused_at_once() -> None:
    fake = FakeUVC()
    fake.is_plugged = False
    with pytest.raises(CameraError, match=f"there is no {SETUP.device}"):
        Camera(SPEC, SETUP, opens=fake.opens).__enter__()


def test_no_thread_is_left_after_closing() -> None:
    before = set(threading.enumerate())
    setup = replace(SETUP, warm_up_s=0.0)
    with Camera(SPEC, setup, opens=FakeUVC().opens) as camera:
        assert set(threading.enumerate()) - before
    camera.close()
    assert set(threading.enumerate()) == before


def test_no_thread_is_left_of_a_camera_that_does_not_open() -> None:
    before = set(threading.enumerate())
    fake = FakeUVC()
    fake.modes = frozenset([(160, 120, "YUYV", 30.0)])
    with pytest.raises(CameraError):
        Camera(SPEC, SETUP, opens=fake.opens).__enter__()
    assert set(threading.enumerate()) == before


def test_camera_that_is_not_open_says_so() -> None:
    with pytest.raises(CameraError, match="front is not open"):
        Camera(SPEC, SETUP).latest()
