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


class JarsMissing(RuntimeError):  # noqa: N818
    """Delta's jars are not kept here and could not be resolved; the message holds Ivy's last lines."""


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
        JarsMissing: the repository could not be reached or does not have them.
    """
    if paths := kept():
        return paths
    with tempfile.TemporaryDirectory(prefix="tracesieve-ivy-") as name:
        scratch = Path(name)
        said = _fetch(scratch / "first", "")
        found = [scratch / "first" / "jars" / jar for jar in NEEDED]
        # Java has certificates of its own: behind a proxy that opens TLS it lacks the one that Python's tools
        # are told of.
        if not all(path.is_file() for path in found) and (options := trust(scratch)):
            said = _fetch(scratch / "second", options)
            found = [scratch / "second" / "jars" / jar for jar in NEEDED]
        if not all(path.is_file() for path in found):
            raise JarsMissing(f"Delta's jars ({_PACKAGES}) could not be resolved:\n{said}")
        folder().mkdir(parents=True, exist_ok=True)
        for path in found:
            fresh = folder() / f"{path.name}.{os.getpid()}"
            shutil.copy2(path, fresh)
            fresh.replace(folder() / path.name)
    return [folder() / jar for jar in NEEDED]


def _fetch(ivy: Path, options: str) -> str:
    """Have Spark's Ivy resolve the jars into a folder of our own; its last lines.

    Of our own: a ~/.m2 or ~/.ivy2 that holds a POM without its jar makes Ivy fail.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", _RESOLVE, _PACKAGES, ",".join(_EXCLUDED), str(ivy), options],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "JAVA_HOME": str(java_home()), "PYSPARK_PYTHON": sys.executable},
    )
    return "\n".join(done.stderr.strip().splitlines()[-15:])


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
    """Resolve, say what was done, and return the exit code."""
    had = kept() is not None
    try:
        paths = resolve()
    except (JarsMissing, RuntimeError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 3
    size = sum(path.stat().st_size for path in paths) / 1e6
    print(f"{'already kept' if had else 'resolved'}: {len(paths)} jars, {size:.1f} MB, in {folder()}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
