"""Builds and runs the container files for CPUs where there is no Docker daemon and no image registry.

    apt-get install buildah mmdebstrap
    python packaging/try_containers.py --python PREFIX [--mount PATH]… mykeypoints.csv

It needs root, Debian's mirror and the package index. The image that both files begin with is made here, under its own
name: Debian 13 with the Python 3.12 of PREFIX, such as one of pyenv, in /usr/local. `buildah` then builds
packaging/Dockerfile, and runs %post, %test and %runscript of packaging/apptainer.def as Apptainer would. Each result
has to answer `olift doctor`, and to lift the file that is given by its compiled kernels, for each instruction set.

With STORAGE_DRIVER=overlay, which needs a file system that can be overlaid, nothing is copied from layer to layer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BASE = "docker.io/library/python:3.12-slim-trixie"
VERSION = "3.12"
LIBRARIES = (
    "ca-certificates", "netbase", "tzdata", "libbz2-1.0", "libffi8", "liblzma5", "libncursesw6", "libreadline8t64",
    "libsqlite3-0", "libssl3t64", "libuuid1", "zlib1g",
)  # fmt: skip
"""What the official image has for its Python, beside the smallest Debian."""
LEVELS = ("avx512", "avx2", "baseline")
"""For OLIFT_SIMD, which takes the best of the processor's own up to it."""
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class Buildah:
    """Debian's `buildah` with its storage in a folder of its own.

    Args:
        folder: for images and containers; some 30 GB are used.
        mounts: files and folders that builds may read where they are, such as pip's settings.
    """

    def __init__(self, folder: Path, mounts: Sequence[Path] = ()) -> None:
        self._program = ("buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run"))
        self._volumes = [part for mount in mounts for part in ("--volume", f"{mount}:{mount}:ro")]

    def __call__(self, *arguments: str | Path) -> str:
        """Runs a command; what it prints goes to stderr, but for its last line, which is returned."""
        command = [*self._program, *map(str, arguments)]
        environment = {"STORAGE_DRIVER": "vfs", **os.environ}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            last = ""
            for line in process.stdout:
                print(line, end="", file=sys.stderr, flush=True)
                last = line.strip() or last
        if process.returncode:
            raise SystemExit(f"buildah {' '.join(map(str, arguments))[:120]}: ended with {process.returncode}")
        return last

    def container(self, image: str) -> str:
        """A new container of an image, by its name."""
        return self("from", "--isolation", "chroot", "--pull-never", image)

    def run(self, container: str, *command: str, keypoints: Path | None = None) -> str:
        """Runs a command in a container; the keypoints' folder is /data there, and where it runs."""
        data = [] if keypoints is None else ["--volume", f"{keypoints.parent}:/data", "--workingdir", "/data"]
        return self("run", "--isolation", "chroot", *self._volumes, *data, container, "--", *command)

    def build(self, file: Path, image: str, context: Path) -> None:
        """Builds a Dockerfile."""
        self(
            "bud", "--isolation", "chroot", "--pull-never", "--build-arg", "VARIANT=cpu", *self._volumes,
            "--tag", image, "--file", file, context,
        )  # fmt: skip


def sections(definition: str) -> dict[str, str]:
    """The parts of an Apptainer definition by their names: "post", "files", …"""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in definition.splitlines():
        if line.startswith("%"):
            lines = found.setdefault(line.removeprefix("%").strip(), [])
        else:
            lines.append(line)
    return {name: "\n".join(part).strip("\n") for name, part in found.items()}


def copied(files: str) -> list[tuple[str, str]]:
    """What a %files part copies: each source, and its place in the image."""
    pairs = [line.split() for line in files.splitlines() if line.strip()]
    return [(pair[0], pair[-1]) for pair in pairs]


def make_base(buildah: Buildah, prefix: Path, work: Path) -> None:
    """The image that both files begin with."""
    debian, python = work / "debian.tar", work / "python.tar"
    packages = f"--include={','.join(LIBRARIES)}"
    subprocess.run(["mmdebstrap", "--variant=minbase", packages, "trixie", debian], check=True)
    with tarfile.open(python, "w") as archive:
        for part in ("bin", "lib", "include"):
            archive.add(prefix / part, part, filter=_needed)
    container = buildah.container("scratch")
    buildah("add", container, debian, "/")
    buildah("add", container, python, "/usr/local")
    buildah("config", "--env", f"PATH={PATH}", container)
    # Programs of the prefix begin with its path, so pip is made anew.
    buildah.run(
        container, "sh", "-e", "-c",
        f"ldconfig; mkdir -p /usr/local/lib/python{VERSION}/site-packages; cd /usr/local/bin; "
        f"find . -type f ! -name 'python{VERSION}*' -delete; ln -sf python{VERSION} python3; ln -sf python3 python; "
        "python3 -m ensurepip; ln -sf pip3 pip; rm -rf /tmp/*",
    )  # fmt: skip
    buildah("commit", "--quiet", "--rm", container, BASE)


def _needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leaves out what the official image has not: others' packages, Python's tests, compiled files."""
    left_out = {"site-packages", "__pycache__", "test"}
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return None if left_out & set(Path(member.name).parts) or member.name.endswith(".a") else member


def try_dockerfile(buildah: Buildah, keypoints: Path) -> None:
    """Builds packaging/Dockerfile, and lifts by what it begins with."""
    buildah.build(ROOT / "packaging/Dockerfile", "olift", ROOT)
    container = buildah.container("localhost/olift")
    try_olift(buildah, container, ("olift",), keypoints)


def try_apptainer(buildah: Buildah, keypoints: Path, work: Path) -> None:
    """Runs the parts of packaging/apptainer.def, as root and with /bin/sh, as Apptainer does."""
    parts = sections((ROOT / "packaging/apptainer.def").read_text(encoding="utf-8"))
    subprocess.run(
        ["git", "archive", "--prefix", "olift-fast/", "-o", work / "olift-fast.tar.gz", "HEAD"], cwd=ROOT, check=True
    )
    container = buildah.container(BASE)
    for source, place in copied(parts["files"]):
        buildah("copy", container, work / source, place)
    buildah.run(container, "/bin/sh", "-ex", "-c", parts["post"])
    buildah.run(container, "/bin/sh", "-ex", "-c", parts["test"])
    try_olift(buildah, container, ("/bin/sh", "-c", parts["runscript"], "runscript"), keypoints)


def try_olift(buildah: Buildah, container: str, entry: Sequence[str], keypoints: Path) -> None:
    """Asks `olift` in a container what can run, and has it lift a copy of the file by each kind of kernels."""
    with tempfile.TemporaryDirectory(prefix="olift-data-") as folder:
        given = Path(shutil.copy(keypoints, folder))
        buildah.run(container, *entry, "doctor")
        for level in LEVELS:
            lifted, page = f"{level}.lifted.npz", f"{level}.html"
            command = ("lift", given.name, "--backend", "native", "-o", lifted, "--html", page)
            buildah.run(container, "env", f"OLIFT_SIMD={level}", *entry, *command, keypoints=given)
            for name in (lifted, page):
                if not (given.parent / name).is_file():
                    raise SystemExit(f"{name} was not written by {' '.join(entry)[:80]}")


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("keypoints", type=Path, help="a keypoint file to lift in the containers")
    parser.add_argument("--python", type=Path, required=True, metavar="PREFIX", help=f"where a Python {VERSION} is")
    parser.add_argument("--mount", type=Path, action="append", default=[], help="what the builds may read, as pip.conf")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/containers", help="for images; some 30 GB")
    parser.add_argument("--only", choices=("dockerfile", "apptainer"), help="one of the two")
    asked = parser.parse_args()
    for program in ("buildah", "mmdebstrap"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is missing: apt-get install buildah mmdebstrap")
    prefix = asked.python.resolve()
    if prefix == Path("/usr") or not (prefix / "bin" / f"python{VERSION}").is_file():
        raise SystemExit(f"--python must be a folder of its own with bin/python{VERSION}, got {asked.python}")
    if not asked.keypoints.is_file():
        raise SystemExit(f"{asked.keypoints}: no such file")
    asked.folder.mkdir(parents=True, exist_ok=True)
    buildah = Buildah(asked.folder.resolve(), [mount.absolute() for mount in asked.mount])
    with tempfile.TemporaryDirectory(prefix="olift-containers-") as work:
        make_base(buildah, prefix, Path(work))
        if asked.only != "apptainer":
            try_dockerfile(buildah, asked.keypoints)
        if asked.only != "dockerfile":
            try_apptainer(buildah, asked.keypoints, Path(work))
    print("built, asked by `olift doctor`, and lifted: all is well")


if __name__ == "__main__":
    main()
