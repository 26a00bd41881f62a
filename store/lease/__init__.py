"""One run a store: a kernel lock on a local folder, a row that expires elsewhere (SEMANTICS 25)."""

from store.lease.lease import Lease, holder

__all__ = ["Lease", "holder"]
