"""Rough camera positions by name, for users who don't know the pitch."""

PITCHES = {"top": 90.0, "level": 15.0, "below": -90.0}
"""Degrees by which the camera looks down."""
