"""Runs pytest with the package of one checkout: ``python in_tree.py TREE ARGUMENTS…``, in that checkout.

An editable install adds an import finder that comes before the search path, and would import its own checkout's package
in any folder. This removes the finder from the process, and checks where the package really comes from.
"""

from __future__ import annotations

import sys
from pathlib import Path

WRONG_PACKAGE = 9


def main(tree: Path, arguments: list[str]) -> int:
    """Returns pytest's exit code, or `WRONG_PACKAGE` where another checkout's package would be measured."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable_")]
    sys.path[:] = [str(tree), *(entry for entry in sys.path if entry != str(Path(__file__).resolve().parent))]
    import olift_fast

    found = Path(olift_fast.__file__).resolve()
    if not found.is_relative_to(tree):
        print(f"olift_fast must come from {tree}, got {found}", file=sys.stderr)
        return WRONG_PACKAGE
    import pytest

    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
