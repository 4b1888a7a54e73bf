"""Hard defects of recorded episodes: facts with an episode, a time and a picture. No grades."""

from demoloop.datasets.check.defect import NO_EPISODE, Defect
from demoloop.datasets.check.find import find_defects, known_defects, remembered_path, to_json

__all__ = ["NO_EPISODE", "Defect", "find_defects", "known_defects", "remembered_path", "to_json"]
