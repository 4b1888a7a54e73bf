"""Reads the recordings of others; what each format needs is imported when it is used."""

from demoloop.datasets.importers.found import ImportOptions
from demoloop.datasets.importers.run import IMPORTERS, ImportReport, import_dataset

__all__ = ["IMPORTERS", "ImportOptions", "ImportReport", "import_dataset"]
