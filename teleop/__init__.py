"""How a person shows an arm what to do: teleoperators and gestures. No device is here yet."""
