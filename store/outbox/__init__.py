"""The outbox: messages that followers append and sinks acknowledge."""

from store.outbox.outbox import FINAL, SETTLED, Ack, Outbox, OutboxMessage, PendingMessage

__all__ = ["FINAL", "SETTLED", "Ack", "Outbox", "OutboxMessage", "PendingMessage"]
