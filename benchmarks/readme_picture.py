"""The moving picture of the README: a real rat, its 2D keypoints beside the skeleton that is lifted from them.

    python -m benchmarks.readme_picture DATA      # writes docs/img/rat.gif; DATA: the folder of real recordings

The rat was measured in 3D (`motion3d/rat_dannce23.npz`, of `talmolab/stac-mjx`, BSD-3-Clause). What is lifted is the
view of a level camera beside it. The frames are of the last fifth of the recording, which no shipped model has seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from olift_fast import Lifter, lift_tracks
from olift_fast.tracks import KeypointTracks, Skeleton, infer_sides
from olift_fast.view.render import Rendered, render

FRAMES = slice(920, 1000)
AZIMUTH, PITCH = np.deg2rad([112.0, 12.0])
SECONDS = 5.0
"""Of the movie, half as fast as the rat; in this time the 3D view turns once, so that it loops."""


def main(data: Path, path: Path) -> Rendered:
    """Lifts the rat and writes the movie."""
    recording = np.load(data / "motion3d" / "rat_dannce23.npz")
    names = tuple(str(name) for name in recording["joint_names"])
    edges = tuple((int(a), int(b)) for a, b in recording["edges"])
    skeleton = Skeleton(names, edges, sides=infer_sides(names))
    keypoints = seen_from_beside(recording["positions"][FRAMES])
    confidence = np.ones(keypoints.shape[:2], np.float32)
    rate = len(keypoints) / SECONDS
    tracks = KeypointTracks(keypoints[None], confidence[None], skeleton, ("rat",), fps=rate, source="2D in, 3D out")
    lifted = lift_tracks(Lifter.from_pretrained("small"), tracks)
    return render(lifted, path, fps=rate, size=(640, 330), views=1, turn=360 / SECONDS, trail=0)


def seen_from_beside(positions: np.ndarray) -> np.ndarray:
    """(T, J, 2) pixels of (T, J, 3) millimeters, z up: a camera far away that looks down a little."""
    x, y, z = np.moveaxis(positions - positions.mean(axis=(0, 1)), -1, 0)
    across, away = np.cos(AZIMUTH) * x + np.sin(AZIMUTH) * y, np.cos(AZIMUTH) * y - np.sin(AZIMUTH) * x
    return 4.0 * np.stack([across, -np.cos(PITCH) * z - np.sin(PITCH) * away], axis=-1)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(main(Path(sys.argv[1]), Path(__file__).resolve().parent.parent / "docs" / "img" / "rat.gif"))
