"""The old place of some names of `olift_fast.tracks`. They still work here for one release, with a warning."""

from __future__ import annotations

from olift_fast.renamed import old_names

__getattr__ = old_names(__name__, dict.fromkeys(("Skeleton", "infer_sides", "load_skeleton"), "olift_fast.tracks"))
