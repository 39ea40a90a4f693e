"""The old place of some names of `olift_fast.tracks`: they are found there, with a warning, for one release."""

from __future__ import annotations

from olift_fast.renamed import old_names

__getattr__ = old_names(__name__, dict.fromkeys(("find_rig", "rig", "rig_names"), "olift_fast.tracks"))
