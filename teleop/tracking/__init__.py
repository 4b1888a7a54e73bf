"""Finds a hand in pictures, in a process of its own, without a word to any network."""

from demoloop.teleop.tracking.install import check_tracker, fetch_tracker, tracker_folder
from demoloop.teleop.tracking.tracker import Tracker

__all__ = ["Tracker", "check_tracker", "fetch_tracker", "tracker_folder"]
