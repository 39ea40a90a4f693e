"""Writes NWB with the extension ndx-pose: a PoseEstimation container for each track."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from olift_fast.errors import InputError
from olift_fast.io.extra import quiet, require
from olift_fast.io.format import OutputFormat
from olift_fast.io.writers.deeplabcut_h5 import reserve_space
from olift_fast.io.writers.provenance import provenance_json
from olift_fast.io.writers.timing import frame_numbers
from olift_fast.tracks.containers import LiftedTracks

_ATTEMPT = "writing NWB files"


def write_nwb(result: LiftedTracks, path: Path) -> None:
    """Writes the poses: the container is "PoseEstimation" for one track, and has the track's name for several.

    Raises:
        InputError: a name that NWB can't hold: an empty one, or one with a slash or a colon.
        MissingExtraError: the extra `io` is not installed.
    """
    reserve_space(result, path)
    with quiet():
        pynwb, pose = require("pynwb", _ATTEMPT), require("ndx_pose", _ATTEMPT)
        try:
            content = _content(pynwb, pose, result)
            with pynwb.NWBHDF5IO(str(path), mode="w") as file:
                file.write(content)
        except ValueError as error:
            cause = " ".join(str(error).split())
            raise InputError(f"NWB can't hold these names of the tracks and their joints: {cause:.200}") from error


def _content(pynwb: Any, pose: Any, result: LiftedTracks) -> Any:
    alone = result.num_tracks == 1
    file = pynwb.NWBFile(
        session_description="3D joints, lifted by olift-fast from 2D keypoints",
        # movement reads the identifier as the animal's name.
        identifier=result.tracks[0] if alone else " ".join(result.tracks),
        session_start_time=datetime.now(UTC),
        source_script=provenance_json(result),
        source_script_file_name="olift-fast",
        subject=pynwb.file.Subject(subject_id=result.tracks[0]) if alone else None,
    )
    behavior = file.create_processing_module(name="behavior", description="processed behavioral data")
    width = np.uint8 if result.skeleton.num_joints <= 256 else np.uint32
    edges = np.array(result.skeleton.edges, width).reshape(-1, 2)
    name = f"skeleton_{result.tracks[0]}" if alone else "skeleton"
    skeleton = pose.Skeleton(name=name, nodes=list(result.skeleton.names), edges=edges, subject=file.subject)
    behavior.add(pose.Skeletons(skeletons=[skeleton]))
    for track, label in enumerate(result.tracks):
        behavior.add(_poses(pose, result, track, "PoseEstimation" if alone else label, skeleton))
    return file


def _poses(pose: Any, result: LiftedTracks, track: int, name: str, skeleton: Any) -> Any:
    # Without a known frame rate, the times are the frame numbers.
    times = frame_numbers(result) / (result.fps or 1.0)
    first: Any = None
    series = []
    for joint, label in enumerate(result.skeleton.names):
        one = pose.PoseEstimationSeries(
            name=label,
            data=result.joints[track, :, joint],
            confidence=result.confidence[track, :, joint],
            confidence_definition="the 2D keypoint's, as the input has it",
            reference_frame=f"{result.frame}: {result.axes}",
            unit=result.units,
            timestamps=times if first is None else first,
        )
        first = first or one
        series.append(one)
    return pose.PoseEstimation(
        name=name,
        pose_estimation_series=series,
        skeleton=skeleton,
        description=f"Joints of {result.tracks[track]} in 3D, lifted from 2D keypoints.",
        scorer=f"olift-fast {result.model} {result.version}",
        source_software="olift-fast",
        source_software_version=result.version,
    )


OUTPUT = OutputFormat(
    name="nwb",
    suffix=".nwb",
    extra="io",
    description="ndx-pose; a container `PoseEstimation`, or one for each of several tracks",
    holds="joints, exactly; confidence, times, units, axes, names, edges; the rest as JSON in `source_script`",
    drops="visibility, uncertainty, contacts, the 2D input",
    write=write_nwb,
    module="ndx_pose",
    title="NWB",
)
