"""The command `olift`, which is `python -m olift_fast`, too."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits; who interrupts it while it still loads gets one line, too."""
    try:
        from olift_fast.cli import main as run

        run()
    except KeyboardInterrupt:
        print("olift: interrupted", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
