"""The robot's side: one ONNX file, checked, executed by time, in process or over a socket.

ONNX Runtime and ZeroMQ are imported with the module that uses them (`onnx_policy`, `client`,
`server`): a robot that asks a server starts half a second sooner without the former.
"""

from demoloop.deploy.chunks import ActionChunk, ChunkExecution, Predictor, TemporalEnsemble
from demoloop.deploy.errors import DeployError, PolicyError, WireError

__all__ = [
    "ActionChunk",
    "ChunkExecution",
    "DeployError",
    "PolicyError",
    "Predictor",
    "TemporalEnsemble",
    "WireError",
]
