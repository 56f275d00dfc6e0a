"""What can be wrong with a model, in one line with the mend."""

from __future__ import annotations


class ModelError(RuntimeError):
    """A model that cannot be used or fetched; the message names the file and the mend."""


class UnknownModel(ValueError):
    """A name that is not in the catalogue."""
