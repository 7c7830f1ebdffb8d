"""The version of promptmill."""

__version__ = "0.1.0"
