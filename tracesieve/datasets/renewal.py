"""Letting every dataset hold what the present config chooses among its candidates.

A follower decides again on the datasets that something new touches, and on no others: a program or a config
that is a newer one changes none by itself.  This is done when a person asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from store import Store
from store.outbox import Outbox, OutboxMessage
from tracesieve.datasets.selections import Contents, Selections
from tracesieve.datasets.sets import DatasetSets


def renew(
    store: Store, outbox: Outbox, sets: DatasetSets, contents: Contents, sinks: Sequence[str], now_us: int
) -> int:
    """Enqueue what the present config changes; the number of new messages. A repeat makes none.

    A follower of the same store must begin anew after it. A trace that enters or leaves a dataset is then in
    those that the config names, and in no other; a dataset that it no longer names stays as it is otherwise.

    Raises:
        StoreUnwritable: the store cannot be written; repeat it.
    """
    chosen = Selections(store, sets, contents, sinks).renewed()
    return outbox.enqueue([OutboxMessage(sink, *one) for one in chosen.items() for sink in sinks], now_us)
