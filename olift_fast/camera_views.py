"""Where a camera stands, roughly, for those who don't know its pitch."""

PITCHES = {"top": 90.0, "level": 15.0, "below": -90.0}
"""Degrees by which the camera looks down."""
