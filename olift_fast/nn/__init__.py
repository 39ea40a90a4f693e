"""Drop-in modules over the operations; their ``state_dict`` is the one of the modules in `olift_fast.reference`."""

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention, dual_graph
from olift_fast.nn.encoder import KeypointEncoder
from olift_fast.nn.layers import MotionLayer, SpaceLayer

__all__ = [
    "JointAttention",
    "KeypointEncoder",
    "MotionLayer",
    "SpaceLayer",
    "TemporalProximityAttention",
    "dual_graph",
]
