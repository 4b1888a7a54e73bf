"""One file a verb, each with a frozen dataclass `Options` and `main(options) -> int`."""
