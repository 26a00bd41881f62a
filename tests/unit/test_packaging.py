"""What is shipped: the wheel's top level and data files, and the image and compose files that name them."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGES = {"tracesieve", "streams", "sinks", "store", "rules"}


def files_of_wheel(source, folder):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return files_of_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_has_our_five_packages_and_nothing_else_at_its_top(shipped):
    assert {name.split("/")[0] for name in shipped if ".dist-info/" not in name} == PACKAGES


def test_the_wheel_has_every_file_that_a_package_needs(shipped):
    for package in PACKAGES:
        needed = [
            path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
        assert {str(path.relative_to(ROOT)) for path in needed} <= shipped


def test_locked_dependencies_are_those_that_pyproject_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {
        line.split("==")[0].split("[")[0].lower()
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    for wanted in [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]:
        name = wanted.split(";")[0].split("[")[0]
        for sign in "<>=!~ ":
            name = name.split(sign)[0]
        assert name.lower() in locked, wanted


def test_the_lock_has_a_hash_for_everything_and_names_no_index():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    lines = text.splitlines()
    pinned = [i for i, line in enumerate(lines) if "==" in line and not line.startswith((" ", "#"))]
    assert pinned
    assert all("--hash=sha256:" in lines[i + 1] for i in pinned)


def test_the_compose_file_and_the_image_name_files_that_are_there():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = [
        m.split(":")[0]
        for s in compose["services"].values()
        for m in s.get("volumes", [])
        if m.startswith("./")
    ]
    assert mounts
    for path in [*mounts, compose["services"]["tracesieve"]["build"]["dockerfile"]]:
        assert (ROOT / path).is_file(), path


def test_the_image_builds_the_same_wheel_from_what_it_copies(shipped, tmp_path):
    steps = [line.split() for line in (ROOT / "deploy/Dockerfile").read_text().splitlines()]
    copied = {name for step in steps if step[:1] == ["COPY"] for name in step[1:-1]}
    assert copied >= PACKAGES
    left_out = shutil.ignore_patterns("__pycache__")
    for name in copied:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / "source" / name, ignore=left_out)
        else:
            (tmp_path / "source").mkdir(exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / "source" / name)
    (tmp_path / "wheel").mkdir()
    assert files_of_wheel(tmp_path / "source", tmp_path / "wheel") == shipped
    program = next(step[1:] for step in steps if step[:1] == ["ENTRYPOINT"])
    assert program == ['["tracesieve"]']
