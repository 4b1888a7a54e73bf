"""Writes datasets in the formats of others; what each format needs is imported when it is used."""

from demoloop.datasets.exporters.export import EXPORTERS, export_dataset

__all__ = ["EXPORTERS", "export_dataset"]
