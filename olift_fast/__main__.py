"""`python -m olift_fast` is the command `olift`."""

from __future__ import annotations

from olift_fast.cli import main

if __name__ == "__main__":
    main()
