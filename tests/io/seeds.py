"""One small valid file, at least, of every format that is read: what `fuzz.py` damages, and what `test_fuzz.py` reads.

To add a seed, write a function that takes an empty folder, writes the file or the folder there, and returns its path;
`@seed("name of the format")` lists it. The same bytes must come out each time: no dates, no random identifiers.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from olift_fast.io import formats
from olift_fast.tracks.rigs import rig

Content = bytes | dict[str, bytes]
"""A file's bytes, or the files of a folder by name."""


class Seed(NamedTuple):
    """A valid small file of a format.

    Args:
        format: the format's name in `formats()`.
        name: the name of the function that writes it.
        file: the file's name.
        content: what it holds.
        pickled: it is read with `allow_pickle` alone.
    """

    format: str
    name: str
    file: str
    content: Content
    pickled: bool


_WRITERS: list[tuple[str, bool, Callable[[Path], Path]]] = []


def seed(format: str, pickled: bool = False) -> Callable[[Callable[[Path], Path]], Callable[[Path], Path]]:
    """Lists a function that writes a file of a format."""

    def listed(write: Callable[[Path], Path]) -> Callable[[Path], Path]:
        _WRITERS.append((format, pickled, write))
        return write

    return listed


def write_seeds(folder: Path) -> dict[str, list[Seed]]:
    """The seeds of each format of `formats()`, in that order; `folder` is empty, and holds them afterwards."""
    found: dict[str, list[Seed]] = {known.name: [] for known in formats()}
    for format, pickled, write in _WRITERS:
        own = folder / format / write.__name__
        own.mkdir(parents=True)
        path = write(own)
        found.setdefault(format, []).append(Seed(format, write.__name__, path.name, content_of(path), pickled))
    return found


def content_of(path: Path) -> Content:
    """A file's bytes, or those of the files in a folder."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    return path.read_bytes()


def _json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _csv(path: Path, *lines: str) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


def _flat(joints: int, at: float = 1.0) -> list[float]:
    """x, y, confidence of each joint in one list."""
    return [value for joint in range(joints) for value in (at + 7 * joint, at + 3.5 * joint, 0.75)]


def _points(*shape: int) -> Any:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(shape)


@seed("deeplabcut")
def single_animal(folder: Path) -> Path:
    return _csv(
        folder / "table.csv",
        "scorer,s,s,s,s,s,s",
        "bodyparts,nose,nose,nose,tail,tail,tail",
        "coords,x,y,likelihood,x,y,likelihood",
        *("0,1.5,2.5,0.9,3,4,0.2", "1,,,,5,6,0.8", "4,7,8,0,9,10,1"),
    )


@seed("deeplabcut")
def labels_with_unique_body_parts(folder: Path) -> Path:
    return _csv(
        folder / "labels.csv",
        "scorer,,,s,s,s,s,s,s",
        "individuals,,,a,a,b,b,single,single",
        "bodyparts,,,nose,nose,nose,nose,corner,corner",
        "coords,,,x,y,x,y,x,y",
        *("labeled-data,clip,img0007.png,1,2,3,4,5,6", "labeled-data,clip,img0042.png,7,8,,,9,10"),
    )


@seed("deeplabcut")
def spreadsheet(folder: Path) -> Path:
    return _csv(folder / "table.csv", 'scorer;"s, t";s', "bodyparts;nose;nose", "coords;x;y", "0;1.5;2.5", "1;3.25;4")


@seed("sleap-csv")
def analysis_table(folder: Path) -> Path:
    return _csv(
        folder / "clip.analysis.csv",
        "track,frame_idx,instance.score,A.x,A.y,A.score,B.x,B.y,B.score",
        *("f,2,0.9,1,2,0.5,3,4,", "m,2,0.9,5,6,0.5,,,", "f,4,0.9,7,8,0.5,9,10,0.25", ",4,0.9,17,18,0.5,19,20,0.25"),
    )


@seed("sleap-json")
def project_in_json(folder: Path) -> Path:
    points = {"0": {"x": 1, "y": 2, "visible": True}, "1": {"x": 3, "y": 4, "visible": False}}
    body = {"py/reduce": [{"py/type": "EdgeType"}, {"py/tuple": [1]}]}
    content = {
        "skeletons": [{"nodes": [{"id": 1}, {"id": 0}], "links": [{"source": 1, "target": 0, "type": body}]}],
        "nodes": [{"name": "tail"}, {"name": "nose"}],
        "tracks": [[0, "mia"]],
        "labels": [
            {"frame_idx": 4, "_instances": [{"track": 0, "_points": points}]},
            {"frame_idx": 6, "_instances": [{"track": None, "_points": points}, {"points": points}]},
        ],
    }
    return _json(folder / "labels.json", content)


def _instance(at: float, **more: Any) -> dict[str, Any]:
    return {"keypoints": [[at, 1.0], [at, 31.0]], "keypoint_scores": [0.9, 0.4], "bbox": [[0, 0, 9, 9]]} | more


@seed("mmpose")
def predictions(folder: Path) -> Path:
    content = {
        "meta_info": {"keypoint_id2name": {"0": "hip", "1": "knee"}, "skeleton_links": [[0, 1]]},
        "instance_info": [
            {"frame_id": 1, "instances": [_instance(10), _instance(300)]},
            {"frame_id": 2, "instances": []},
            {"frame_id": 4, "instances": [_instance(301, track_id=3), _instance(10.5)]},
        ],
    }
    return _json(folder / "results.json", content)


@seed("mmpose")
def instances_of_a_picture(folder: Path) -> Path:
    return _json(folder / "picture.json", [_instance(10), _instance(300, instance_id=1)])


@seed("coco")
def annotations(folder: Path) -> Path:
    content = {
        "images": [
            {"id": 70, "file_name": "frame_011.png", "width": 640, "height": 480},
            {"id": 90, "file_name": "frame_013.png", "width": 640, "height": 480},
        ],
        "annotations": [
            {"id": 1, "image_id": 90, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 1, 0, 0, 0], "track_id": 4},
            {"id": 2, "image_id": 70, "category_id": 3, "keypoints": [2, 2, 2, 4, 4, 2, 6, 6, 2], "track_id": 5},
        ],
        "categories": [
            {"id": 3, "name": "owl", "keypoints": ["beak", "wing_l", "wing_r"], "skeleton": [[1, 2], [1, 3]]}
        ],
    }
    return _json(folder / "annotations.json", content)


@seed("coco-results")
def results(folder: Path) -> Path:
    items = [{"image_id": image, "category_id": 1, "keypoints": _flat(17, image), "score": 0.9} for image in (4, 5, 7)]
    return _json(folder / "results.json", items)


@seed("openpose")
def folder_of_frames(folder: Path) -> Path:
    (folder / "frames").mkdir()
    for frame in (0, 1, 3):
        person = {"person_id": [-1], "pose_keypoints_2d": _flat(25, frame), "face_keypoints_2d": []}
        _json(folder / f"frames/clip_{frame:012}_keypoints.json", {"version": 1.3, "people": [person]})
    return folder / "frames"


@seed("openpose")
def one_frame(folder: Path) -> Path:
    people = [{"person_id": [number], "pose_keypoints_2d": _flat(18, 50 * number)} for number in (0, 3)]
    return _json(folder / "clip_000000000001_keypoints.json", {"version": 1.3, "people": people})


@seed("alphapose")
def tracked_results(folder: Path) -> Path:
    items = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": _flat(26, frame), "score": 2.9, "idx": idx}
        for frame, idx in [(10, 2), (10, [[1.0]]), (12, 2)]
    ]
    return _json(folder / "alphapose-results.json", items)


@seed("animalsyn3d")
def animation(folder: Path) -> Path:
    content = {
        "model": "foxZED",
        "animation": "walk",
        "connections": [[0, 1], [1, 0], [1, 2]],
        "camera": {"width": 1080, "height": 1070, "extrinsic": [[0.6, 0, 0.8, 1], [0, 1, 0, 2], [-0.8, 0, 0.6, 9]]},
        "points": {"2d": _points(2, rig("foxZED").num_joints, 2).tolist()},
    }
    return _json(folder / "walk.json", content)


@seed("badja")
def annotated_video(folder: Path) -> Path:
    frame = {
        "joints": [[100 + joint, joint] for joint in range(37)],
        "visibility": [joint != 33 for joint in range(37)],
    }
    return _json(folder / "cat.json", [frame | {"image_path": f"cat/{number:05}.jpg"} for number in (0, 5)])


@seed("alphatracker")
def boxes(folder: Path) -> Path:
    box, point = {"class": "Face", "x": 0, "y": 0, "width": 3, "height": 3}, {"class": "point"}
    content = [
        {"filename": "img2.png", "annotations": [box, point | {"x": 1, "y": 2}, box, point | {"x": 3, "y": 4}]},
        {"filename": "img4.png", "annotations": [box, point | {"x": 5, "y": 6}]},
    ]
    return _json(folder / "labels.json", content)


@seed("npz")
def own_keys(folder: Path) -> Path:
    np.savez_compressed(
        folder / "clip.npz",
        keypoints=_points(2, 5, 3, 2).astype(np.float32),
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
    np.savez(folder / "clip.npz", keypoints=_points(4, 3, 2))
    return folder / "clip.npz"


@seed("npy")
def bare_array(folder: Path) -> Path:
    np.save(folder / "clip.npy", _points(2, 4, 3, 2))
    return folder / "clip.npy"


@seed("human36m", pickled=True)
def dictionaries(folder: Path) -> Path:
    def sequence(frames: int) -> Any:
        return _points(frames, 17, 2).astype(np.float32)

    positions = {"S1": {"Walk": [sequence(3), sequence(5)]}, "S5": {"Sit 1": [sequence(4)]}}
    metadata = {"layout_name": "h36m", "num_joints": 17, "video_metadata": {"clip.mp4": {"w": 1920, "h": 1080}}}
    path = folder / "data_2d_h36m_gt.npz"
    np.savez(path, positions_2d=np.array(positions, dtype=object), metadata=np.array(metadata, dtype=object))
    return path


@seed("sleap-analysis")
def analysis_of_matlab_order(folder: Path) -> Path:
    with h5py.File(folder / "clip.analysis.h5", "w") as file:
        file["tracks"] = _points(2, 2, 3, 4)
        file["point_scores"] = np.linspace(0.2, 1.1, 24).reshape(2, 3, 4)
        file["node_names"] = np.array(["head", "thorax", "wing"], dtype="S")
        file["track_names"] = np.array(["a", "b"], dtype="S")
        file["edge_inds"] = np.array([[1, 0], [1, 2]])
    return folder / "clip.analysis.h5"


@seed("sleap-analysis")
def analysis_with_dimensions(folder: Path) -> Path:
    with h5py.File(folder / "clip.analysis.h5", "w") as file:
        tracks = file.create_dataset("tracks", data=_points(4, 2, 3, 2), compression="gzip", chunks=(2, 2, 3, 2))
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
        file["positions"] = _points(4, 2, 3)
        skeleton = file.create_group("skeleton")
        names = [file.create_dataset(f"#refs#/{name}", data=[[ord(letter)] for letter in name]) for name in "abc"]
        skeleton.create_dataset("nodes", data=[[name.ref for name in names]], dtype=h5py.ref_dtype)
        skeleton["edges"] = [[1.0, 2.0], [2.0, 3.0]]
    return folder / "labels.mat"


@seed("leap")
def matlab_5(folder: Path) -> Path:
    from scipy.io import savemat

    nodes = np.array(["a", "b", "c"], dtype=object)
    content = {"positions": _points(3, 2, 4), "skeleton": {"nodes": nodes, "edges": np.array([[1.0, 2], [2, 3]])}}
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
    rows["index"], rows["values_block_0"] = (0, 1, 4), _points(3, 6) / 20
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
        arrays["block0_values"] = _points(3, 6) / 20, {}
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
            file[name] = _points(*shape) / (1 if name == "position" else 20)
            for place, dimension in enumerate(dimensions):
                file[name].dims[place].attach_scale(file[dimension])
    return folder / "poses.nc"


@seed("netcdf")
def movement_in_classic_netcdf(folder: Path) -> Path:
    from scipy.io import netcdf_file

    with netcdf_file(folder / "poses.nc", "w") as file:
        file.fps, file.ds_type = 30.0, b"poses"
        for name, length in (("time", 4), ("space", 2), ("keypoints", 3), ("individuals", 1)):
            file.createDimension(name, length)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(4) / 30
        file.createVariable("space", "S1", ("space",))[:] = np.array([b"x", b"y"])
        file.createVariable("position", "f8", ("time", "space", "keypoints", "individuals"))[:] = _points(4, 2, 3, 1)
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
            series["data"], series["confidence"] = _points(4, 2), np.full(4, 0.75)
            series["data"].attrs.update({"unit": "pixels", "conversion": 1.0, "resolution": -1.0})
            series["reference_frame"] = "top left"
            series["timestamps"] = np.arange(4) / 30
            series["timestamps"].attrs.update({"unit": "seconds", "interval": 1})
    return path


@seed("deeplabcut")
def packed_table(folder: Path) -> Path:
    path = single_animal(folder)
    packed = path.with_name("table.csv.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return packed
