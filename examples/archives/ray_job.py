"""Lifts an archive on a Ray cluster of several nodes.

    ray job submit --address http://HEAD:8265 --working-dir . -- \
      python examples/archives/ray_job.py s3://lab/recordings s3://lab/lifted --workers 400

The nodes have olift-fast installed, with the extras `ray` and `archive`, and see the same files: in a store, or on a
shared file system. With `--device cuda` each worker takes a GPU.
"""

from __future__ import annotations

import argparse
from typing import Any

from olift_fast.archive import LiftSettings, lift_archive


def main(arguments: list[str] | None = None) -> int:
    """Lifts, prints what failed, and returns the exit code of `olift archive`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--address", default="auto", help="of the cluster; auto: the one that the job runs on")
    options = parser.parse_args(arguments)

    def told(event: dict[str, Any]) -> None:
        if event["event"] == "file" and event["status"] == "failed":
            print(f"{event['path']}: {event['error']}")

    summary = lift_archive(
        options.source,
        options.out,
        settings=LiftSettings(device=options.device),
        executor="ray",
        ray_address=options.address,
        workers=options.workers,
        on_event=told,
    )
    print(f"{summary.done:,} files lifted, {summary.failed:,} failed, in {summary.seconds:,.0f} s")
    return 3 if summary.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
