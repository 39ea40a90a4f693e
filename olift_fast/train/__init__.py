"""Training and evaluation: data mixture, loss, loop, scores on held-out motion.

``python -m olift_fast.train`` trains a checkpoint, ``python -m olift_fast.train.evaluate`` scores one.
"""

from olift_fast.train.batches import Batch, collate
from olift_fast.train.loop import Schedule, train
from olift_fast.train.loss import lifting_loss
from olift_fast.train.mixture import Mixture

__all__ = ["Batch", "Mixture", "Schedule", "collate", "lifting_loss", "train"]
