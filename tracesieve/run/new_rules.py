"""What the log says when other rules come into force: from when on they apply, and how to reach the past."""

from __future__ import annotations

import logging

from rules.rule_set import RuleSet
from store.batches import last_stream
from store.store import Store

log = logging.getLogger("tracesieve.run")
_MOST_NAMED = 8


def log_unread_rules(before: RuleSet | None) -> None:
    """Log which rules of the last run this program cannot read: it has no such kind, or not these keys."""
    if before is not None and before.unread:
        log.warning(
            "the last run had rules that this program does not know (a kind of rule was taken away, or the "
            "program is older than the one before): %s; they match nothing now, and their alerts end",
            ", ".join(before.unread),
        )


def log_new_rules(store: Store, before: RuleSet | None, after: RuleSet, config_file: str = "") -> None:
    """Log which rules apply from now on, where there are traces that were counted without them."""
    log_unread_rules(before)
    if before is None or last_stream(store) is None:
        return
    known = {rule.hash for rule in before.rules}
    new = [rule.id for rule in after.rules if rule.hash not in known]
    gone = sorted({rule.id for rule in before.rules} - {rule.id for rule in after.rules})
    command = "tracesieve apply" + (f" -c {config_file}" if config_file else "")
    if new:
        named = len(new) <= _MOST_NAMED
        options = "".join(f" --rule {one}" for one in new) if named else ""
        log.info(
            "%s from now on apply to traces that come; to apply them to traces already counted: `%s%s`",
            f"the rules {', '.join(new)}" if named else f"{len(new)} new or changed rules",
            command,
            options,
        )
    if gone:
        log.info(
            "the rules %s no longer apply; to take them off traces already counted: `%s`",
            ", ".join(gone),
            command,
        )
