"""Training and evaluation: data mixture, loss, `fit`, scores on held-out motion.

``olift train`` trains a checkpoint, ``python -m olift_fast.train.evaluate`` scores one.
"""

from olift_fast.train.batches import Batch, collate
from olift_fast.train.config import Config, EarlyStop, ModelPlan, Run, load_config
from olift_fast.train.fitting import fit
from olift_fast.train.log import Report
from olift_fast.train.loss import lifting_loss
from olift_fast.train.mixture import Mixture
from olift_fast.train.schedule import Schedule

__all__ = [
    "Batch",
    "Config",
    "EarlyStop",
    "Mixture",
    "ModelPlan",
    "Report",
    "Run",
    "Schedule",
    "collate",
    "fit",
    "lifting_loss",
    "load_config",
]
