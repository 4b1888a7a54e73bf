"""Servos that are not there: real bytes, on a pseudo-terminal or in memory, physics behind them."""
