"""Opens a result's .bvh and .glb in Blender without a window, and compares what it shows with the result's .npz.

Blender is a package of the registry, for one version of Python each (5.0: Python 3.11), of about 800 MB, so no test
needs it:

    pip install --target build/bpy --no-deps bpy==5.0.1
    olift convert walk.npz -o walk.bvh
    olift convert walk.npz -o walk.glb
    PYTHONPATH=build/bpy python tests/io/open_in_blender.py walk.npz walk.bvh walk.glb

It prints how far joints (.glb) and directions of bones (.bvh) are off, and fails where that is more than rounding.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

from olift_fast.io import read_lifted
from olift_fast.io.writers.axes import units_in_meter, z_up
from olift_fast.tracks.containers import LiftedTracks

FRAMES = 7
# In degrees, and in shares of the animal's size.
MOST_TURNED, MOST_MOVED = 0.2, 1e-4


def joints_of(result: LiftedTracks) -> np.ndarray:
    """(N, T, J, 3) as both formats have them in Blender, which turns Y up into Z up; in meters, or the model's unit."""
    size = units_in_meter(result)
    if result.frame == "object":
        # Its axes stay as they are in the file, and Blender takes y for up.
        return result.joints[..., [0, 2, 1]] * (1, -1, 1)
    return z_up(result.joints, result.frame) / size


def check_bvh(path: Path, result: LiftedTracks) -> float:
    """The largest angle in degrees between a bone in Blender and in the result."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.import_anim.bvh(filepath=str(path), axis_forward="-Z", axis_up="Y", update_scene_duration=True)
    armature = bpy.context.object
    bones = {bone.name: bone for bone in armature.pose.bones}
    names = [name for name in result.skeleton.names if name in bones]
    wanted = joints_of(result)[0]
    worst = 0.0
    for frame in frames_of(result):
        bpy.context.scene.frame_set(frame + 1)
        heads = {name: np.array(armature.matrix_world @ bones[name].head) for name in names}
        for name in names:
            parent = bones[name].parent
            parent = parent.parent if parent is not None and "_to_" in parent.name else parent
            if parent is None or parent.name not in names:
                continue
            ends = [result.skeleton.names.index(one) for one in (parent.name, name)]
            way, true = heads[name] - heads[parent.name], np.diff(wanted[frame, ends], axis=0)[0]
            if np.isfinite(true).all():
                worst = max(worst, float(np.degrees(Vector(way).angle(Vector(true)))))
    return worst


def check_glb(path: Path, result: LiftedTracks) -> float:
    """The largest distance of a joint in Blender from where the result has it, in shares of the animal's size."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = round(result.fps or 24)
    bpy.context.scene.render.fps_base = round(result.fps or 24) / (result.fps or 24)
    bpy.ops.import_scene.gltf(filepath=str(path))
    wanted = joints_of(result)
    top = {child.name: child for child in bpy.data.objects["olift-fast"].children}
    worst = 0.0
    for track, label in enumerate(result.tracks):
        size = float(np.nanmax(np.nanstd(wanted[track], axis=1)))
        below = {one.name.split(".")[0]: one for one in top[label].children_recursive}
        for frame in frames_of(result):
            bpy.context.scene.frame_set(frame)
            for joint, name in enumerate(result.skeleton.names):
                if np.isfinite(wanted[track, frame, joint]).all():
                    place: Matrix = below[name].matrix_world
                    off = np.array(place.translation) - wanted[track, frame, joint]
                    worst = max(worst, float(np.linalg.norm(off)) / size)
    return worst


def frames_of(result: LiftedTracks) -> list[int]:
    """Some frames from the first to the last."""
    return np.unique(np.linspace(0, result.num_frames - 1, FRAMES).round().astype(int)).tolist()


def main() -> int:
    """Checks the files that the command line names, and returns 0 where all are right."""
    result = read_lifted(sys.argv[1])
    wrong = 0
    for path in map(Path, sys.argv[2:]):
        check, unit, most = (check_bvh, "°", MOST_TURNED) if path.suffix == ".bvh" else (check_glb, "", MOST_MOVED)
        worst = check(path, result)
        wrong += worst > most
        print(f"Blender {bpy.app.version_string}: {path}: off by {worst:.2g}{unit} at most, {most:g}{unit} allowed")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
