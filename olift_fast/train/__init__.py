"""Training and evaluation: data mixture, loss, `fit`, `adapt`, metrics, scores on held-out clips.

``olift train`` trains a checkpoint, ``olift adapt`` teaches it a body from 2D alone, and ``olift eval`` scores it.
"""

from olift_fast.bodies.body import Body
from olift_fast.train.adapting import Adaptation, AdaptPlan, Outlook, adapt
from olift_fast.train.batches import Batch, collate
from olift_fast.train.calibration import calibrated
from olift_fast.train.config import Calibration, Config, EarlyStop, ModelPlan, Run, load_config
from olift_fast.train.fitting import fit
from olift_fast.train.label_free import LabelFree, Verdict
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
from olift_fast.train.uncertainty import coverage, error_of_the_surest

__all__ = [
    "AdaptPlan",
    "Adaptation",
    "Batch",
    "Body",
    "Calibration",
    "Config",
    "EarlyStop",
    "LabelFree",
    "Mean",
    "Mixture",
    "ModelPlan",
    "Outlook",
    "Report",
    "Run",
    "Schedule",
    "Scores",
    "Verdict",
    "acceleration_error",
    "adapt",
    "bone_length_drift",
    "bone_ratio_error",
    "calibrated",
    "collate",
    "coverage",
    "depth_ratio",
    "error_of_the_surest",
    "fa_mpjpe",
    "fit",
    "lifting_loss",
    "load_config",
    "n_mpjpe",
    "pck",
    "sa_mpjpe",
    "sa_mpve",
]
