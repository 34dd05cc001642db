"""The version of the distribution `sagakit`."""

__version__ = "0.1.0"
