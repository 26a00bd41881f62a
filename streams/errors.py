"""What can go wrong with a source.

::

    SourceError             exit 3: the source cannot be read as it is
    ├── UnknownExperiment   an experiment of the config is not on the server
    └── SourceDown          the server does not answer, or answers with a failure of its own
        ├── NoAccess        it wants a login that it was not given
        └── SourceRefuses   it answers with an error: no such call, no such trace, a failure while reading one
    Stopped                 no failure: the run was told to end
"""

from __future__ import annotations


class SourceError(RuntimeError):
    """The source cannot be read as it is; the message names what is wrong and what mends it."""

    exit_code = 3


class UnknownExperiment(SourceError):  # noqa: N818
    """An experiment named in the config is not on the server; the message lists those there are."""


class SourceDown(SourceError):  # noqa: N818
    """The server cannot be reached or failed; trying again later may help."""


class NoAccess(SourceDown):
    """The server wants a login; the message names the environment variables that MLflow reads."""


class SourceRefuses(SourceDown):
    """The server answered, with an error: what was asked for cannot be had, though other things may."""


class Stopped(Exception):  # noqa: N818
    """Landing was told to stop in the middle of a pass; what had landed stays, and the next pass begins where
    this one did.
    """
