"""What `apply` means for alerts: how far back a rule's history reaches by it, and whom it pages: nobody.

SEMANTICS 32.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rules.alerting.contract import AlertRule
from store import Store
from store.apply_log import ApplyLog, ApplyPiece

Begins = Mapping[str, int | None]


class Applied:
    """Reads the requests of one store and their pieces, for the follower's thread."""

    def __init__(self, store: Store) -> None:
        self._log = ApplyLog(store)

    def reached(
        self,
        begins: Begins,
        rules: Mapping[str, AlertRule],
        rule_sets_with: Mapping[str, set[str]],
        batch_ids: Collection[int] | None = None,
    ) -> dict[str, int]:
        """For rules (hashes) whose history begins earlier than ``begins`` by what was applied: the minute.

        ``batch_ids``: only by requests that were done with these batches; None: by all.  A range that ends
        before the history of a rule begins is not joined to it, and moves nothing.
        """
        pieces = [one for one in self._log.whole() if one.done]
        if batch_ids is not None:
            pieces = [one for one in pieces if one.batch_id in batch_ids]
        found: dict[str, int | None] = dict(begins)
        for rule_hash, piece in ((rule, piece) for rule in begins for piece in pieces):
            rule, reach = rules.get(rule_hash), self._reach(piece)
            if rule is None or reach is None or piece.rule_set_hash not in rule_sets_with.get(rule_hash, ()):
                continue
            (ids, from_us, to_us, asked_us), began = reach, found[rule_hash]
            joined = to_us >= (asked_us if began is None else began)
            if joined and (not ids or rule.id in ids) and (began is None or from_us < began):
                found[rule_hash] = from_us
        return {rule: at for rule, at in found.items() if at is not None and at != begins[rule]}

    def quiet_us(self, rule: AlertRule, added: bool, now_us: int) -> int:
        """An alert of this rule that began up to here may come of what was applied, and pages nobody; 0:
        nothing was.

        ``added``: the history of the rule begins later than the store's, so that what is applied may move
        it.
        """
        through = 0
        open_ = {one.request_id for one in self._log.open()}
        for request in self._log.requests():
            if not request.reaches(rule.id):
                continue
            pieces = self._log.whole(request.request_id)
            if added or _changes(pieces, rule.id):
                last_us = max((one.at_us for one in pieces), default=0)
                through = max(through, now_us if request.request_id in open_ else last_us)
        return through

    def _reach(self, piece: ApplyPiece) -> tuple[tuple[str, ...], int, int, int] | None:
        """The rules of the piece's request, its range, and when it was asked."""
        for request in self._log.requests():
            if request.request_id == piece.request_id:
                return request.rules, request.from_us, request.to_us, request.asked_us
        return None


def _changes(pieces: Sequence[ApplyPiece], rule_id: str) -> bool:
    """Whether pieces changed what a rule counts."""
    nothing = {"gained": 0, "lost": 0}
    counts = [one.rules.get(rule_id, nothing) for one in pieces]
    return any(one.regrouped for one in pieces) or any(one["gained"] + one["lost"] for one in counts)
