"""Training and evaluation: data mixture, loss, `fit`, metrics, scores on held-out clips.

``olift train`` trains a checkpoint, ``olift eval`` scores one.
"""

from olift_fast.train.batches import Batch, collate
from olift_fast.train.config import Config, EarlyStop, ModelPlan, Run, load_config
from olift_fast.train.fitting import fit
from olift_fast.train.log import Report
from olift_fast.train.loss import lifting_loss
from olift_fast.train.metrics import (
    acceleration_error,
    bone_length_drift,
    bone_ratio_error,
    depth_ratio,
    fa_mpjpe,
    n_mpjpe,
    pck,
    sa_mpjpe,
    sa_mpve,
)
from olift_fast.train.mixture import Mixture
from olift_fast.train.schedule import Schedule
from olift_fast.train.scores import Mean, Scores

__all__ = [
    "Batch",
    "Config",
    "EarlyStop",
    "Mean",
    "Mixture",
    "ModelPlan",
    "Report",
    "Run",
    "Schedule",
    "Scores",
    "acceleration_error",
    "bone_length_drift",
    "bone_ratio_error",
    "collate",
    "depth_ratio",
    "fa_mpjpe",
    "fit",
    "lifting_loss",
    "load_config",
    "n_mpjpe",
    "pck",
    "sa_mpjpe",
    "sa_mpve",
]
