"""Old names: the same objects as under the new names, with one warning each."""

from __future__ import annotations

import importlib
import warnings

import pytest

from olift_fast import tracks
from olift_fast.renamed import old_names

OF_MODULE = {
    "olift_fast.data.skeleton": ("Skeleton", "infer_sides", "load_skeleton"),
    "olift_fast.data.rigs": ("find_rig", "rig", "rig_names"),
    "olift_fast.data.tracks": ("KeypointTracks", "LiftedTracks"),
}
OLD = [(module, name) for module, names in OF_MODULE.items() for name in names]
OLD += [("olift_fast.data", name) for _, name in OLD]


@pytest.mark.parametrize(("module", "name"), OLD)
def test_old_name_is_the_new_object_with_one_warning(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning) as caught:
        found = getattr(importlib.import_module(module), name)
    assert found is getattr(tracks, name)
    assert [str(warning.message) for warning in caught] == [
        f"{module}.{name} is now olift_fast.tracks.{name}; the old name goes with the next release"
    ]
    assert caught[0].filename == __file__


def test_import_of_an_old_name_warns_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        from olift_fast.data import Skeleton
    assert Skeleton is tracks.Skeleton and len(caught) == 1


def test_new_names_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(getattr(tracks, name) is not None for name in tracks.__all__)


@pytest.mark.parametrize("module", ["olift_fast.data", "olift_fast.data.skeleton"])
def test_unknown_names_are_attribute_errors(module: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nonsense'"):
        _ = importlib.import_module(module).nonsense


def test_a_name_may_have_changed_as_well() -> None:
    find = old_names("olift_fast.old", {"SkeletonOfOld": "olift_fast.tracks:Skeleton"})
    with pytest.warns(DeprecationWarning, match=r"olift_fast\.old\.SkeletonOfOld is now olift_fast\.tracks\.Skeleton;"):
        assert find("SkeletonOfOld") is tracks.Skeleton
