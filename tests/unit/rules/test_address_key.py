"""Addresses of servers: what lacks its ``http://`` is answered with what to write."""

from __future__ import annotations

import pytest

from rules.address_key import tracking_address, web_address


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:9093", "https://am.example.com/path", "http://[::1]:9093", "http://am"]
)
def test_a_whole_address_is_taken_as_it_is(text: str) -> None:
    assert web_address(text) == tracking_address(text) == text


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("127.0.0.1:9093", "http://127.0.0.1:9093"),
        ("localhost:9093", "http://localhost:9093"),
        ("alertmanager:9093/am", "http://alertmanager:9093/am"),
        ("am.example.com", "http://am.example.com"),
        ("alertmanager", "http://alertmanager"),
        ("[::1]:9093", "http://[::1]:9093"),
        ("//am:9093", "http://am:9093"),
        ("http:/am:9093", "http://am:9093"),
        ("https:am:9093", "https://am:9093"),
        ("ftp://am:9093", "http://am:9093"),
        ("http-gateway:80", "http://http-gateway:80"),
        ("ftp://user:hunter2@am", "such as http://127.0.0.1:9093"),
        ("a b", "such as http://127.0.0.1:9093"),
        ("http://", "such as http://127.0.0.1:9093"),
        ("", "such as http://127.0.0.1:9093"),
    ],
)
def test_one_without_http_is_answered_with_what_to_write(text: str, instead: str) -> None:
    with pytest.raises(ValueError, match="an address with http:// or https:// is expected") as found:
        web_address(text)
    assert instead in str(found.value)


@pytest.mark.parametrize(
    "text",
    ["databricks", "databricks://profile", "sqlite:///mlflow.db", "file:///srv/mlruns", "./mlruns", "mlruns"],
)
def test_what_else_mlflow_takes_is_taken(text: str) -> None:
    assert tracking_address(text) == text


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("127.0.0.1", "http://127.0.0.1"),
        ("localhost", "http://localhost"),
        ("mlflow:5000", "http://mlflow:5000"),
        ("mlflow.example.com", "https://mlflow.example.com"),
        ("https:/mlflow.example.com", "https://mlflow.example.com"),
        (" ", "such as http://127.0.0.1:9093"),
    ],
)
def test_a_tracking_uri_that_is_a_bare_host_is_answered_too(text: str, instead: str) -> None:
    with pytest.raises(ValueError, match="is expected") as found:
        tracking_address(text)
    assert instead in str(found.value)
