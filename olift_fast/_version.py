"""The package's version, in one place: the wheel's metadata and the native module read it from here."""

__version__ = "0.1.0"
