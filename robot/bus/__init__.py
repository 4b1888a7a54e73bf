"""Serial buses of servos: bytes, frames, deadlines. What an arm is, stands in `robot/arms`."""
