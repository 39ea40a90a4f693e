"""Training and evaluation: data mixture, loss, loop, metrics, scores on held-out motion.

``python -m olift_fast.train`` trains a checkpoint, ``python -m olift_fast.train.evaluate`` scores one.
"""

from olift_fast.train.batches import Batch, collate
from olift_fast.train.loop import Schedule, train
from olift_fast.train.loss import lifting_loss
from olift_fast.train.metrics import (
    Mean,
    Scores,
    acceleration_error,
    bone_length_drift,
    fa_mpjpe,
    n_mpjpe,
    pck,
    sa_mpjpe,
    sa_mpve,
)
from olift_fast.train.mixture import Mixture

__all__ = [
    "Batch",
    "Mean",
    "Mixture",
    "Schedule",
    "Scores",
    "acceleration_error",
    "bone_length_drift",
    "collate",
    "fa_mpjpe",
    "lifting_loss",
    "n_mpjpe",
    "pck",
    "sa_mpjpe",
    "sa_mpve",
    "train",
]
