"""The outbox: messages that followers append and sinks acknowledge."""

from store.outbox.last import last_messages
from store.outbox.outbox import (
    EVIDENCE_CURSOR,
    Ack,
    Outbox,
    OutboxMessage,
    PendingMessage,
    messages_cursor,
)
from store.schemas import FINAL, SETTLED

__all__ = [
    "EVIDENCE_CURSOR",
    "FINAL",
    "SETTLED",
    "Ack",
    "Outbox",
    "OutboxMessage",
    "PendingMessage",
    "last_messages",
    "messages_cursor",
]
