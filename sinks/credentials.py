"""Logins: secrets come from environment variables that the config names, certificates from files; both are
checked before anything starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Login(BaseModel):
    """How to log in to a server: by user and password or by token, and the certificate to trust.

    Secrets are named, never written: ``token_env`` and ``password_env`` are environment variables.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    username: str | None = Field(default=None, description="for basic auth, with password_env")
    password_env: str | None = Field(
        default=None, description="the environment variable that holds the password"
    )
    token_env: str | None = Field(
        default=None, description="the environment variable that holds a bearer token"
    )
    ca_file: str | None = Field(
        default=None, description="a CA certificate file, for a server with one of its own"
    )

    @model_validator(mode="after")
    def _one_login(self) -> Self:
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        if self.username is not None and self.token_env is not None:
            raise ValueError("either username and password_env, or token_env")
        return self

    def missing(self) -> dict[str, str]:
        """What the environment does not have, by key."""
        return missing(
            {"password_env": self.password_env, "token_env": self.token_env}, {"ca_file": self.ca_file}
        )

    def as_arguments(self) -> dict[str, Any]:
        """The login and the trusted certificate, as arguments of a function of ``requests``."""
        arguments: dict[str, Any] = {"verify": self.ca_file or True}
        if self.token_env:
            arguments["headers"] = {"Authorization": f"Bearer {secret(self.token_env)}"}
        elif self.username:
            arguments["auth"] = (self.username.encode(), secret(self.password_env).encode())
        return arguments


def secret(variable: str | None) -> str:
    """The value of that environment variable, without the line end that a file brings along; "" where there
    is none.
    """
    return os.environ.get(variable or "", "").strip()


def missing(variables: Mapping[str, str | None], files: Mapping[str, str | None]) -> dict[str, str]:
    """What is wrong, by config key: variables that are unset or empty, and files that cannot be read."""
    found = {
        key: f"the environment variable {name} is not set"
        for key, name in variables.items()
        if name and not secret(name)
    }
    for key, name in files.items():
        if name and not os.access(name, os.R_OK):
            found[key] = f"{name} cannot be read" if Path(name).exists() else f"{name} does not exist"
    return found


def missing_in(path: str, logins: Sequence[Login]) -> dict[str, str]:
    """The same for the list of logins at a path of the config, by whole path: ``alerts.x.0.token_env``."""
    return {
        f"{path}.{number}.{key}": problem
        for number, login in enumerate(logins)
        for key, problem in login.missing().items()
    }
