"""Delta's jars for Spark: resolved once by Spark's own Ivy, kept in the user's cache, never looked up at a
start.

``delta-spark`` names 33 jars, most of which Spark ships already or which only Unity Catalog needs; two are
used. ``python -m streams.session.jars`` resolves them ahead of time (an image build, a machine that will lose
its network). Mirrors, proxies and credentials are Ivy's: ``SPARK_CONF_DIR`` with ``spark.jars.ivySettings``
is honoured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from streams.errors import JarsMissing, StreamsError
from streams.session.java import cache_dir, java_home

VERSION = "4.4.0"
NEEDED = (f"io.delta_delta-spark_4.2_2.13-{VERSION}.jar", f"io.delta_delta-storage-{VERSION}.jar")
_PACKAGES = f"io.delta:delta-spark_4.2_2.13:{VERSION},io.delta:delta-storage:{VERSION}"
# Groups whose artifacts Spark has in its own folder, or that only tables of a Unity Catalog call for.
_EXCLUDED = (
    "org.apache.hadoop:*",
    "org.apache.parquet:*",
    "org.apache.logging.log4j:*",
    "com.fasterxml.jackson.core:*",
    "com.fasterxml.jackson.datatype:*",
    "org.slf4j:*",
    "com.github.luben:*",
    "io.airlift:*",
    "io.unitycatalog:*",
    "org.locationtech.jts:*",
    "org.roaringbitmap:*",
    "org.xerial.snappy:*",
    "io.delta:delta-kernel-api",
    "io.delta:delta-kernel-defaults",
    "io.delta:delta-kernel-unitycatalog",
    "commons-pool:*",
    "commons-logging:*",
    "javax.annotation:*",
    "com.google.code.findbugs:*",
)
_PATIENCE_S = 600
_BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_RESOLVE = """
import sys
from pyspark.sql import SparkSession
packages, excludes, ivy, options = sys.argv[1:]
builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
for key, value in (("packages", packages), ("excludes", excludes), ("ivy", ivy)):
    builder = builder.config(f"spark.jars.{key}", value)
if options:
    builder = builder.config("spark.driver.extraJavaOptions", options)
builder.getOrCreate().stop()
"""


def folder() -> Path:
    """Where the jars are kept."""
    return cache_dir() / f"jars-{VERSION}"


def kept() -> list[Path] | None:
    """The jars where all of them are kept, else None."""
    paths = [folder() / name for name in NEEDED]
    return paths if all(path.is_file() for path in paths) else None


def resolve() -> list[Path]:
    """The jars' paths, resolved first where they are not kept (5–60 s, 10 MB, needs a Maven repository).

    Raises:
        JarsMissing: the repository cannot be reached or lacks them, or the cache cannot be written.
        JavaMissing: there is no Java to run Spark's Ivy on.
    """
    if paths := kept():
        return paths
    with tempfile.TemporaryDirectory(prefix="tracesieve-ivy-") as name:
        scratch = Path(name)
        found, log = _fetch(scratch / "first", "")
        # Java has certificates of its own: behind a proxy that opens TLS it lacks the one that Python's tools
        # are pointed to.
        if not found and (options := trust(scratch)):
            found, log = _fetch(scratch / "second", options)
        if not found:
            raise JarsMissing(f"Delta's jars ({_PACKAGES}) could not be resolved:\n{log}")
        try:
            _keep(found)
        except OSError as error:
            raise JarsMissing(
                f"{folder()} cannot be written ({error.strerror}): set XDG_CACHE_HOME to a folder that can"
            ) from error
    return [folder() / jar for jar in NEEDED]


def _fetch(ivy: Path, options: str) -> tuple[list[Path], str]:
    """Have Spark's Ivy resolve the jars into a folder of our own: their paths, none where one is missing, and
    its last lines.

    Of our own: a ~/.m2 or ~/.ivy2 that holds a POM without its jar makes Ivy fail.
    """
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", _RESOLVE, _PACKAGES, ",".join(_EXCLUDED), str(ivy), options],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            env={**os.environ, "JAVA_HOME": str(java_home()), "PYSPARK_PYTHON": sys.executable},
        )
    except subprocess.TimeoutExpired:
        return [], f"not done after {_PATIENCE_S} s"
    paths = [ivy / "jars" / jar for jar in NEEDED]
    log = "\n".join(done.stderr.strip().splitlines()[-15:])
    return (paths if all(path.is_file() for path in paths) else []), log


def _keep(found: list[Path]) -> None:
    """Copy the jars into the cache, each whole or not at all."""
    folder().mkdir(parents=True, exist_ok=True)
    for path in found:
        fresh = folder() / f"{path.name}.{os.getpid()}"
        shutil.copy2(path, fresh)
        fresh.replace(folder() / path.name)


def trust(scratch: Path) -> str:
    """Java's options for the certificates that ``SSL_CERT_FILE`` or ``REQUESTS_CA_BUNDLE`` names; empty where
    there are none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
    from cryptography.hazmat.primitives.serialization.pkcs12 import (
        PKCS12Certificate,
        serialize_java_truststore,
    )

    bundle = next((Path(os.environ[name]) for name in _BUNDLES if os.environ.get(name)), None)
    if bundle is None or not bundle.is_file():
        return ""
    with warnings.catch_warnings():  # of old roots that bend a rule; they are only handed on
        warnings.simplefilter("ignore")
        known = x509.load_pem_x509_certificates(bundle.read_bytes())
        found = [PKCS12Certificate(one, str(at).encode()) for at, one in enumerate(known)]
    store, password = scratch / "trust.p12", "changeit"
    store.write_bytes(serialize_java_truststore(found, BestAvailableEncryption(password.encode())))
    return (
        f"-Djavax.net.ssl.trustStore={store} -Djavax.net.ssl.trustStorePassword={password} "
        "-Djavax.net.ssl.trustStoreType=PKCS12"
    )


def main() -> int:
    """Resolve, print what was done, and return the exit code."""
    had = kept() is not None
    try:
        paths = resolve()
    except StreamsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    size = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{'already kept' if had else 'resolved'}: {len(paths)} jars, {size:.1f} MB, in {folder()}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
