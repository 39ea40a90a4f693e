"""Seeds that are HDF5, NumPy's files, MATLAB's and classic netCDF."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from seeds import points, seed


@seed("npz")
def own_keys(folder: Path) -> Path:
    np.savez_compressed(
        folder / "clip.npz",
        keypoints=points(2, 5, 3, 2).astype(np.float32),
        confidence=np.linspace(0.1, 1, 30).reshape(2, 5, 3),
        names=["hip", "knee_l", "knee_r"],
        edges=[[0, 1], [0, 2]],
        tracks=["a", "b"],
        fps=25.0,
        frames=np.arange(5) + 100,
        image_size=[640, 480],
    )
    return folder / "clip.npz"


@seed("npz")
def keypoints_alone(folder: Path) -> Path:
    np.savez(folder / "clip.npz", keypoints=points(4, 3, 2))
    return folder / "clip.npz"


@seed("npy")
def bare_array(folder: Path) -> Path:
    np.save(folder / "clip.npy", points(2, 4, 3, 2))
    return folder / "clip.npy"


@seed("human36m", pickled=True)
def dictionaries(folder: Path) -> Path:
    def sequence(frames: int) -> Any:
        return points(frames, 17, 2).astype(np.float32)

    positions = {"S1": {"Walk": [sequence(3), sequence(5)]}, "S5": {"Sit 1": [sequence(4)]}}
    metadata = {"layout_name": "h36m", "num_joints": 17, "video_metadata": {"clip.mp4": {"w": 1920, "h": 1080}}}
    path = folder / "data_2d_h36m_gt.npz"
    np.savez(path, positions_2d=np.array(positions, dtype=object), metadata=np.array(metadata, dtype=object))
    return path


@seed("sleap-analysis")
def analysis_of_matlab_order(folder: Path) -> Path:
    with h5py.File(folder / "clip.analysis.h5", "w") as file:
        file["tracks"] = points(2, 2, 3, 4)
        file["point_scores"] = np.linspace(0.2, 1.1, 24).reshape(2, 3, 4)
        file["node_names"] = np.array(["head", "thorax", "wing"], dtype="S")
        file["track_names"] = np.array(["a", "b"], dtype="S")
        file["edge_inds"] = np.array([[1, 0], [1, 2]])
    return folder / "clip.analysis.h5"


@seed("sleap-analysis")
def analysis_with_dimensions(folder: Path) -> Path:
    with h5py.File(folder / "clip.analysis.h5", "w") as file:
        tracks = file.create_dataset("tracks", data=points(4, 2, 3, 2), compression="gzip", chunks=(2, 2, 3, 2))
        tracks.attrs["dims"] = json.dumps(["frame", "track", "node", "xy"])
        file["node_names"] = ["head", "thorax", "wing"]
    return folder / "clip.analysis.h5"


@seed("sleap-labels")
def project(folder: Path) -> Path:
    """Two animals in frames 3 and 5; in frame 5 animal a is labeled by hand as well."""
    link = {"source": 0, "target": 1, "type": {"py/reduce": [{"py/type": "EdgeType"}, {"py/tuple": [1]}]}}
    nodes = [{"name": "head"}, {"name": "thorax"}]
    skeleton = {"links": [link], "nodes": [{"id": 0}, {"id": 1}]}
    frame_type = [(name, "u8") for name in ("frame_id", "video", "frame_idx", "instance_id_start", "instance_id_end")]
    instance_type = [
        *(("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4")),
        *(("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8")),
    ]
    rows = [
        *((0, 1, 0, 0, 0, -1, 0.5, 0, 2), (1, 1, 0, 0, 1, -1, 0.5, 2, 4)),
        *((2, 0, 1, 0, 0, 3, 0.0, 0, 2), (3, 1, 1, 0, 0, -1, 0.5, 4, 6), (4, 1, 1, 0, 1, -1, 0.5, 6, 8)),
    ]
    point = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
    predicted = np.zeros(8, dtype=[*point, ("score", "f8")])
    predicted["x"], predicted["y"] = np.arange(8) * 20, np.arange(8) + 1
    predicted["visible"], predicted["score"] = True, 0.5
    with h5py.File(folder / "clip.slp", "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs["format_id"] = 1.2
        metadata.attrs["json"] = np.bytes_(json.dumps({"skeletons": [skeleton], "nodes": nodes}))
        file["frames"] = np.array([(0, 0, 3, 0, 2), (1, 0, 5, 2, 5)], dtype=frame_type)
        file["instances"] = np.array(rows, dtype=instance_type)
        file["points"] = np.array([(5, 1, True, True), (np.nan, np.nan, False, False)], dtype=point)
        file["pred_points"] = predicted
        file["tracks_json"] = np.array(['[0, "a"]', '[0, "b"]'], dtype="S")
    return folder / "clip.slp"


@seed("leap")
def matlab_7_3(folder: Path) -> Path:
    with h5py.File(folder / "labels.mat", "w") as file:
        file["positions"] = points(4, 2, 3)
        skeleton = file.create_group("skeleton")
        names = [file.create_dataset(f"#refs#/{name}", data=[[ord(letter)] for letter in name]) for name in "abc"]
        skeleton.create_dataset("nodes", data=[[name.ref for name in names]], dtype=h5py.ref_dtype)
        skeleton["edges"] = [[1.0, 2.0], [2.0, 3.0]]
    return folder / "labels.mat"


@seed("leap")
def matlab_5(folder: Path) -> Path:
    from scipy.io import savemat

    nodes = np.array(["a", "b", "c"], dtype=object)
    content = {"positions": points(3, 2, 4), "skeleton": {"nodes": nodes, "edges": np.array([[1.0, 2], [2, 3]])}}
    savemat(folder / "labels.mat", content)
    # The first line of such a file has the date.
    data = (folder / "labels.mat").read_bytes()
    (folder / "labels.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + data[116:])
    return folder / "labels.mat"


@seed("deeplabcut-h5")
def pandas_table(folder: Path) -> Path:
    """The layout "table" of pandas, without the index of PyTables."""
    columns = [("s", part, axis) for part in ("nose", "tail") for axis in ("x", "y", "likelihood")]
    info = {1: {"names": ["scorer", "bodyparts", "coords"], "type": "MultiIndex"}, "index": {}, "values_block_0": {}}
    rows = np.zeros(3, dtype=[("index", "<i8"), ("values_block_0", "<f8", (6,))])
    rows["index"], rows["values_block_0"] = (0, 1, 4), points(3, 6) / 20
    with h5py.File(folder / "clipDLC.h5", "w") as file:
        _attributes(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")
        group = file.create_group("df_with_missing")
        _attributes(
            group,
            **{"CLASS": "GROUP", "TITLE": "", "VERSION": "1.0", "pandas_type": "frame_table", "encoding": "UTF-8"},
            **{"table_type": "appendable_frame", "errors": "strict", "levels": 1, "data_columns": [], "info": info},
            **{"index_cols": [(0, "index")], "nan_rep": b"nan", "non_index_axes": [(1, columns)]},
            values_cols=["values_block_0"],
        )
        table = group.create_dataset("table", data=rows, chunks=(3,), maxshape=(None,))
        _attributes(
            table,
            **{"CLASS": "TABLE", "TITLE": "", "VERSION": "2.7", "NROWS": 3, "index_kind": "integer"},
            **{"FIELD_0_NAME": "index", "FIELD_0_FILL": 0, "FIELD_1_NAME": "values_block_0", "FIELD_1_FILL": 0.0},
            **{"values_block_0_dtype": "float64", "values_block_0_kind": columns, "values_block_0_meta": None},
        )
    return folder / "clipDLC.h5"


@seed("deeplabcut-h5")
def pandas_arrays(folder: Path) -> Path:
    """The layout "fixed" of pandas."""
    levels = {"scorer": ["s"], "bodyparts": ["nose", "tail"], "coords": ["likelihood", "x", "y"]}
    codes = ([0] * 6, [0, 0, 0, 1, 1, 1], [1, 2, 0, 1, 2, 0])
    with h5py.File(folder / "clipDLC.h5", "w") as file:
        _attributes(file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", TITLE="", VERSION="1.0")
        group = file.create_group("df")
        _attributes(
            group,
            **{"CLASS": "GROUP", "TITLE": "", "VERSION": "1.0", "pandas_type": "frame", "encoding": "UTF-8"},
            **{"errors": "strict", "ndim": 2, "nblocks": 1, "axis0_variety": "multi", "axis0_nlevels": 3},
            **{"axis1_variety": "regular", "block0_items_variety": "multi", "block0_items_nlevels": 3},
        )
        arrays: dict[str, tuple[Any, dict[str, Any]]] = {}
        for axis in ("axis0", "block0_items"):
            for place, (name, values) in enumerate(levels.items()):
                text = {"kind": "string", "name": name, f"{axis}_name{name}": name, "nan_rep": ""}
                arrays[f"{axis}_level{place}"] = np.array(values, dtype="S"), text
                arrays[f"{axis}_label{place}"] = np.array(codes[place], np.int8), {}
        arrays["axis1"] = np.array([0, 1, 4]), {"kind": "integer", "name": None}
        arrays["block0_values"] = points(3, 6) / 20, {}
        for name, (values, more) in arrays.items():
            common = {"CLASS": "ARRAY", "FLAVOR": "numpy", "TITLE": "", "VERSION": "2.4", "transposed": np.uint8(1)}
            _attributes(group.create_dataset(name, data=values), **common, **more)
    return folder / "clipDLC.h5"


def _attributes(place: Any, **values: Any) -> None:
    """Attributes as PyTables writes them: text as bytes of one length, and what is neither text nor number pickled."""
    for name, value in values.items():
        if isinstance(value, str):
            value = np.bytes_(value) if value else h5py.Empty("S1")
        elif not isinstance(value, int | float | np.generic):
            value = np.bytes_(pickle.dumps(value, 0))
        place.attrs[name] = value


@seed("netcdf")
def movement_data_set(folder: Path) -> Path:
    with h5py.File(folder / "poses.nc", "w") as file:
        _attributes(file, source_software="DeepLabCut", ds_type="poses", fps=30.0, time_unit="seconds")
        coordinates = {"time": np.arange(4) / 30, "space": ["x", "y"], "keypoints": list("klm"), "individuals": ["a"]}
        for name, values in coordinates.items():
            file[name] = values
            file[name].make_scale(name)
        for name, dimensions in (("position", list(coordinates)), ("confidence", ["time", "keypoints", "individuals"])):
            shape = [len(coordinates[dimension]) for dimension in dimensions]
            file[name] = points(*shape) / (1 if name == "position" else 20)
            for place, dimension in enumerate(dimensions):
                file[name].dims[place].attach_scale(file[dimension])
    return folder / "poses.nc"


@seed("netcdf")
def movement_in_classic_netcdf(folder: Path) -> Path:
    from scipy.io import netcdf_file

    with netcdf_file(folder / "poses.nc", "w") as file:
        file.fps, file.ds_type = 30.0, b"poses"
        for name, length in (("time", 4), ("space", 2), ("keypoints", 3), ("individuals", 1), ("string1", 1)):
            file.createDimension(name, length)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(4) / 30
        file.createVariable("space", "S1", ("space", "string1"))[:] = np.array([[b"x"], [b"y"]])
        file.createVariable("position", "f8", ("time", "space", "keypoints", "individuals"))[:] = points(4, 2, 3, 1)
    return folder / "poses.nc"


@seed("nwb")
def poses_of_ndx_pose(folder: Path) -> Path:
    path = folder / "poses.nwb"
    with h5py.File(path, "w") as file:

        def group(name: str, kind: str, namespace: str = "ndx-pose", **attributes: str) -> h5py.Group:
            made = file.require_group(name)
            identity = f"00000000-0000-4000-8000-{len(name):012}"
            made.attrs.update({"namespace": namespace, "neurodata_type": kind, "object_id": identity} | attributes)
            return made

        group("/", "NWBFile", "core", nwb_version="2.7.0")
        for name in ("acquisition", "analysis", "general", "stimulus/presentation", "stimulus/templates"):
            file.create_group(name)
        for name in ("session_start_time", "timestamps_reference_time"):
            file[name] = "2020-01-01T00:00:00+00:00"
        file["file_create_date"] = ["2020-01-01T00:00:00+00:00"]
        file["identifier"], file["session_description"] = "clip", "poses"
        group("processing/behavior", "ProcessingModule", "core", description="processed behavioral data")
        group("processing/behavior/Skeletons", "Skeletons")
        skeleton = group("processing/behavior/Skeletons/rat", "Skeleton")
        skeleton["nodes"], skeleton["edges"] = ["nose", "tail"], np.array([[0, 1]], np.uint8)
        poses = group("processing/behavior/PoseEstimation", "PoseEstimation")
        poses["description"], poses["source_software"] = "poses", "DeepLabCut"
        poses["skeleton"] = h5py.SoftLink("/processing/behavior/Skeletons/rat")
        for node in ("nose", "tail"):
            series = group(f"{poses.name}/{node}", "PoseEstimationSeries", comments="", description="")
            series["data"], series["confidence"] = points(4, 2), np.full(4, 0.75)
            series["data"].attrs.update({"unit": "pixels", "conversion": 1.0, "resolution": -1.0})
            series["reference_frame"] = "top left"
            series["timestamps"] = np.arange(4) / 30
            series["timestamps"].attrs.update({"unit": "seconds", "interval": 1})
    return path


@seed("mediapipe-npy")
def array_of_landmarks(folder: Path) -> Path:
    np.save(folder / "pose.npy", points(3, 33, 4) / 400)
    return folder / "pose.npy"


@seed("detectron", pickled=True)
def detections_of_frames(folder: Path) -> Path:
    person, box = points(1, 4, 17).astype(np.float32), np.array([[0, 0, 9, 9, 0.9]], np.float32)
    lists = {"keypoints": [[[], person], [[], []], [[], person]], "boxes": [[[], box], [[], []], [[], box]]}
    arrays = {"metadata": np.array({"w": 640, "h": 480}, dtype=object)}
    for name, frames in lists.items():
        arrays[name] = np.empty((len(frames), 2), dtype=object)
        for frame, classes in enumerate(frames):
            arrays[name][frame, 0], arrays[name][frame, 1] = classes
    np.savez(folder / "clip.mp4.npz", **arrays)
    return folder / "clip.mp4.npz"


@seed("facemap")
def body_parts_of_a_face(folder: Path) -> Path:
    with h5py.File(folder / "cam1_FacemapPose.h5", "w") as file:
        for number, name in enumerate(("eye(back)", "nose(tip)"), start=1):
            for axis in ("x", "y"):
                file[f"Facemap/{name}/{axis}"] = np.arange(4.0) * number + 1
            file[f"Facemap/{name}/likelihood"] = np.full(4, 0.8)
    return folder / "cam1_FacemapPose.h5"


@seed("jabs")
def poses_of_mice(folder: Path) -> Path:
    with h5py.File(folder / "clip_pose_est_v4.h5", "w") as file:
        group = file.create_group("poseest")
        group["points"] = points(4, 2, 12, 2).astype(np.uint16)
        group["confidence"] = np.full((4, 2, 12), 0.7, np.float32)
        group["instance_count"] = np.array([2, 1, 2, 2], np.uint8)
        group["instance_embed_id"] = np.array([[1, 2], [1, 0], [1, 2], [2, 1]], np.uint32)
        group["id_mask"] = np.array([[0, 0], [0, 1], [0, 0], [0, 0]], bool)
        group.attrs["version"] = np.array([4, 0], np.uint16)
    return folder / "clip_pose_est_v4.h5"
