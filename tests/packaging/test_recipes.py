"""The container files and the conda recipe ask for what pyproject.toml asks for, and for files that are there."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from olift_fast import __version__

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "packaging/Dockerfile").read_text(encoding="utf-8")
DEFINITION = (ROOT / "packaging/apptainer.def").read_text(encoding="utf-8")
RECIPE = yaml.safe_load((ROOT / "packaging/conda/recipe.yaml").read_text(encoding="utf-8"))
IN_CONDA = {"torch": "pytorch"}
"""What conda-forge calls packages by another name."""


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions: each keyword and the rest of its line, continued lines joined."""
    lines = [line for line in DOCKERFILE.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines()) if word]


def posts() -> str:
    """What the Apptainer definition runs in the image."""
    return DEFINITION.partition("%post")[2].partition("\n\n%")[0]


def of_conda(listed: list[Any]) -> set[str]:
    """Requirements of a list of the recipe, those under a condition too."""
    found: set[str] = set()
    for entry in listed:
        below = entry["then"] if isinstance(entry, dict) else entry
        found |= of_conda(below) if isinstance(below, list) else {below}
    return found


def as_conda(requirements: list[str]) -> set[str]:
    parsed = [Requirement(line) for line in requirements]
    return {f"{IN_CONDA.get(one.name, one.name)} {one.specifier}" for one in parsed}


def test_conda_asks_for_the_dependencies() -> None:
    assert RECIPE["context"] == {"name": PROJECT["project"]["name"], "version": __version__}
    needs = RECIPE["requirements"]
    assert of_conda(needs["run"]) - {"python"} == as_conda(PROJECT["project"]["dependencies"])
    assert of_conda(needs["host"]) - {"python", "pip"} == as_conda(PROJECT["build-system"]["requires"])
    settings = PROJECT["tool"]["scikit-build"]
    programs = {f"cmake {settings['cmake']['version']}", f"ninja {settings['ninja']['version']}"}
    assert programs <= of_conda(needs["build"])


def test_conda_installs_the_command() -> None:
    assert RECIPE["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in PROJECT["project"]["scripts"].items()
    ]
    assert RECIPE["about"]["license"] == PROJECT["project"]["license"]
    assert RECIPE["about"]["summary"] == PROJECT["project"]["description"]
    (script, tried) = RECIPE["tests"]
    assert "olift demo demo-out" in tried["script"]
    assert script["python"]["pip_check"] is True


@pytest.mark.parametrize("text", [DOCKERFILE, DEFINITION], ids=["Dockerfile", "apptainer.def"])
def test_extras_in_containers_exist(text: str) -> None:
    asked = {extra for listed in re.findall(r"\.whl\)\[([\w,]+)\]", text) for extra in listed.split(",")}
    assert {"io", "view", "archive"} <= asked <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("script", [rest for word, rest in steps() if word == "RUN"] + [posts()])
def test_containers_install_the_tested_versions(script: str) -> None:
    installs = re.findall(r"pip install [^;&\n]*", re.sub(r"\s\\\n", " ", script))
    assert all("-c /" in install and "/constraints.txt" in install for install in installs), installs
    assert installs or "pip install" not in script


def test_stages_of_the_dockerfile_are_there_for_each_variant() -> None:
    named, wanted = set(), set()
    for word, rest in steps():
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            wanted |= {image.replace("${VARIANT}", variant) for variant in ("cpu", "cuda") if "${" in image}
            named.add(name)
        elif word == "COPY" and "--from=" in rest:
            wanted.add(re.findall(r"--from=(\S+)", rest)[0])
        elif word == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
    assert {"build-cpu", "build-cuda", "run-cpu", "run-cuda", "build"} <= wanted <= named


@pytest.mark.parametrize("script", [*(rest for word, rest in steps() if word == "RUN"), posts()])
def test_commands_in_containers_are_shell(script: str) -> None:
    done = subprocess.run(["sh", "-n", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shlex.split(script)


def test_context_of_the_image_has_the_sources_and_no_environment() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    needed = ("csrc", "olift_fast", "pyproject.toml", "CMakeLists.txt", "README.md", "LICENSE")
    assert not set(ignored) & set(needed)
    assert {".venv", "build", "dist", ".git"} <= set(ignored)


def test_parts_of_the_apptainer_definition_are_those_that_are_tried() -> None:
    loaded = importlib.util.spec_from_file_location("try_containers", ROOT / "packaging/try_containers.py")
    assert loaded is not None and loaded.loader is not None
    tried = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(tried)
    parts = tried.sections(DEFINITION)
    assert set(parts) == {"files", "post", "runscript", "test"}
    assert parts["post"].strip() == posts().strip()
    assert parts["runscript"].strip() == 'exec olift "$@"'
    assert tried.copied(parts["files"]) == [("olift-fast.tar.gz", "/opt/olift-fast.tar.gz")]
    bases = {rest.partition(" AS ")[0] for word, rest in steps() if word == "FROM" and rest.startswith("python:")}
    assert {f"docker.io/library/{base}" for base in bases} == {tried.BASE}
