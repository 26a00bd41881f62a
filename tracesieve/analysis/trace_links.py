"""Links to a trace's own page on an MLflow server, as its web interface has them (checked in 3.17.2)."""

from __future__ import annotations

from urllib.parse import quote, urlsplit, urlunsplit


def trace_url(server: str | None, experiment_id: str | None, trace_id: str) -> str | None:
    """The page of a trace; None where there is no server on the web or the experiment is not known.

    A name and password in the server's address are left out.
    """
    if server is None or not experiment_id:
        return None
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    host = parts.netloc.rpartition("@")[2]
    place = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + "/", "", ""))
    ids = (quote(one.encode("utf-8", "replace"), safe="") for one in (experiment_id, trace_id))
    return f"{place}#/experiments/{'/traces/'.join(ids)}"
