"""What can go wrong between the source and the store's tables.

::

    StreamsError              exit 3
    ├── SourceError           the source cannot be read as it is
    │   ├── UnknownExperiment   no experiment of the config is on the server
    │   └── SourceDown          the server does not answer, or answers with a failure of its own
    │       ├── NoAccess        it wants a login that it was not given
    │       ├── SourceRefuses   it answers with an error: no such call, no such trace, a failure while reading
    │       └── PartlyLanded    some parts of it cannot be read; what the others had has landed
    ├── InitRefused           exit 2: an option of `init` names what the source does not have
    ├── SparkUnavailable      Spark cannot be started
    │   ├── JavaMissing         there is no Java that it runs on
    │   └── JarsMissing         Delta's jars are neither kept here nor to be had
    ├── StreamMismatch        the checkpoint and the store do not belong together
    ├── QueryFailed           the streaming query ended with an error
    ├── NoRuleSet             the store holds no rules to match with
    ├── RuleSetChanged        no failure: other rules are in force, the query starts anew with them
    └── Stopped               no failure: landing was asked to end in the middle of a pass
"""

from __future__ import annotations


class StreamsError(Exception):
    """Reading, matching or counting cannot go on; the message says why and what mends it."""

    exit_code = 3


class SourceError(StreamsError):
    """The source cannot be read as it is; the message names what is wrong and what mends it.

    ``brief`` is the failure in a few words for ``doctor``, which adds ``hint``; empty: the message's first
    line will do.
    """

    hint = "correct `source:` in the config, or the table"

    def __init__(self, message: str, brief: str = "") -> None:
        super().__init__(message)
        self.brief = brief


class UnknownExperiment(SourceError):  # noqa: N818
    """No experiment that the config names is on the server; the message lists those there are."""


class SourceDown(SourceError):  # noqa: N818
    """The server cannot be reached or failed; trying again later may help."""

    hint = "start the server, or correct its address under `source:` or the login"


class NoAccess(SourceDown):
    """The server wants a login; the message names the environment variables that MLflow reads."""


class SourceRefuses(SourceDown):
    """The server answered, with an error: what was asked for cannot be had, though other things may."""


class PartlyLanded(SourceDown):
    """Some parts of the source, such as an experiment, cannot be read; what the others had has landed."""


class InitRefused(StreamsError):  # noqa: N818
    """An option of ``tracesieve init`` names what the source does not have; the message lists what it has."""

    exit_code = 2


class SparkUnavailable(StreamsError):  # noqa: N818
    """Spark cannot be started on this machine, or its master cannot be reached."""


class JavaMissing(SparkUnavailable):
    """No Java 17 or 21 was found, or none can be made ready; the message says where it was looked for."""


class JarsMissing(SparkUnavailable):
    """Delta's jars are not kept here and could not be resolved; the message holds Ivy's last lines."""


class StreamMismatch(StreamsError):  # noqa: N818
    """The checkpoint and the store do not belong together; reading on would lose or repeat traces."""


class QueryFailed(StreamsError):  # noqa: N818
    """The query ended with an error; what it had committed stays, and the next run goes on from there."""


class NoRuleSet(StreamsError):  # noqa: N818
    """The store's table of rules is empty; a run fills it before it starts the stream."""


class RuleSetChanged(StreamsError):  # noqa: N818
    """Other rules are in force than those that the query matches with; no facts of the batch were written."""


class Stopped(StreamsError):  # noqa: N818
    """Landing was asked to end in the middle of a pass; what had landed stays, and the next pass goes on."""
