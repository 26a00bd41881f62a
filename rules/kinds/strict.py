"""The base of every mapping in a rule file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A mapping in a rule file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
