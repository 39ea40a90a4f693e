"""Writes a SLEAP project by sleap-io: the 2D keypoints, and beside each animal its joints in 3D."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import printable
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import provenance
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks


def write_slp(result: LiftedTracks, path: Path) -> None:
    """Writes a session of one camera: a labeled frame for each frame with an animal, and its joints in 3D beside it.

    Raises:
        MissingExtraError: the extra `io` is not installed.
    """
    sleap = require("sleap_io", "writing SLEAP projects")
    camera_model = require("sleap_io.model.camera", "writing SLEAP projects")
    source = "video" if result.source is None else printable(result.source)
    video = sleap.Video(filename=source, open_backend=False)
    skeleton = sleap.Skeleton(
        nodes=list(result.skeleton.names),
        edges=[(result.skeleton.names[a], result.skeleton.names[b]) for a, b in result.skeleton.edges],
        name=result.skeleton.name,
    )
    tracks = [sleap.Track(name) for name in result.tracks]
    camera = sleap.Camera(name="camera")
    session = sleap.RecordingSession(camera_group=sleap.CameraGroup(cameras=[camera]))
    session.add_video(video, camera)
    labeled = []
    finite = np.asarray(np.isfinite(result.joints).all(axis=-1))
    seen = np.asarray(finite | np.isfinite(result.keypoints).all(axis=-1))
    for index, number in enumerate(frame_numbers(result).tolist()):
        here = [track for track in range(result.num_tracks) if seen[track, index].any()]
        if not here:
            continue
        instances = [_in_2d(sleap, result, track, index, skeleton, tracks[track]) for track in here]
        frame = sleap.LabeledFrame(video=video, frame_idx=number, instances=instances)
        groups = [
            camera_model.InstanceGroup(
                instance_by_camera={camera: instance},
                instance_3d=_in_3d(sleap, result, track, index, skeleton) if finite[track, index].any() else None,
            )
            for track, instance in zip(here, instances, strict=True)
        ]
        session.frame_groups[number] = camera_model.FrameGroup(
            frame_idx=number, instance_groups=groups, labeled_frame_by_camera={camera: frame}
        )
        labeled.append(frame)
    facts = {name: str(value) for name, value in provenance(result).items()}
    labels = sleap.Labels(
        labeled, videos=[video], tracks=tracks, skeletons=[skeleton], sessions=[session], provenance=facts
    )
    reserve_space(result, path)
    with quiet():
        labels.save(str(path), format="slp", embed=False, verbose=False)


def _in_2d(sleap: Any, result: LiftedTracks, track: int, index: int, skeleton: Any, label: Any) -> Any:
    confidence = result.confidence[track, index]
    return sleap.PredictedInstance.from_numpy(
        points_data=result.keypoints[track, index].astype(np.float64),
        point_scores=confidence.astype(np.float64),
        score=float(confidence.mean()),
        skeleton=skeleton,
        track=label,
    )


def _in_3d(sleap: Any, result: LiftedTracks, track: int, index: int, skeleton: Any) -> Any:
    return sleap.PredictedInstance3D(
        points=result.joints[track, index],
        point_scores=result.confidence[track, index],
        skeleton=skeleton,
    )


OUTPUT = OutputFormat(
    name="slp",
    suffix=".slp",
    extra="io",
    description="a SLEAP project of one camera: instances in 2D with their 3D beside them (`instance_3d`)",
    holds="joints and 2D keypoints, exactly; confidence, names, edges, tracks, frame numbers; the rest as provenance",
    drops="uncertainty, contacts, `visible`",
    write=write_slp,
    module="sleap_io",
    title="SLEAP",
)
