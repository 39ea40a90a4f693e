"""Modules over the operations. A ``state_dict`` also fits the module of the same name in `olift_fast.reference`."""

from olift_fast.nn.attention import JointAttention, TemporalProximityAttention, dual_graph
from olift_fast.nn.encoder import KeypointEncoder
from olift_fast.nn.fourier import RandomFourierFeatures
from olift_fast.nn.layers import MotionLayer, SpaceLayer
from olift_fast.nn.loss import ProcrustesLoss
from olift_fast.nn.swap import Swap, swap_attention

__all__ = [
    "JointAttention",
    "KeypointEncoder",
    "MotionLayer",
    "ProcrustesLoss",
    "RandomFourierFeatures",
    "SpaceLayer",
    "Swap",
    "TemporalProximityAttention",
    "dual_graph",
    "swap_attention",
]
