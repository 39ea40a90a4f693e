"""A page that shows a live stream: 3D skeletons that can be turned, beside the 2D keypoints (extra `stream`)."""

from __future__ import annotations

import importlib.util
import io
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.view.bones import DASHES, dashes, edge_side, inferred_edges, rgb, shades_of
from olift_fast.view.live_panel import LiveTrack, Panel, told
from olift_fast.view.own_pages import check_request

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_EYE = np.array([1.2, -1.0, -3.5])
"""The first view, in sizes of the animal: from in front of it, from the side and from above."""
_FLOOR = 1.7
_CORNER = np.array([-1.6, _FLOOR, -1.2])
"""The origin of the drawn axes, on the grid."""
_AXES = {"x": (1, 0, 0), "up": (0, -1, 0), "depth": (0, 0, 1)}
_REMEMBERED = 30
"""The page shows the median latency of so many drawings."""


class LiveView:
    """Shows the latest frame of each track. Frames may come faster than they are drawn.

    Browsers get the page and its data only under a name of this machine or under `host` (`olift_fast.view.own_pages`).
    So pages of other sites can't read the stream.

    Args:
        skeleton: of every track.
        host, port: where the page is served; if the port is taken, at the next free one.
        title: heading of the page.
        axes: the axes of the joints, in words, for the legend (`LiftedTracks.axes`).

    Raises:
        MissingExtraError: viser is not installed.
        OSError: there is no free port.
        InputError: `host` is no address of this machine, or requests to the installed viser can't be checked.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        host: str = "127.0.0.1",
        port: int = 8080,
        title: str = "olift",
        axes: str | None = None,
    ) -> None:
        require_viser()
        import viser

        _check_host(host)
        self._skeleton, self._panel = skeleton, Panel(skeleton, title)
        self._sides = [edge_side(skeleton, a, b) for a, b in skeleton.edges]
        self._inferred = np.array(inferred_edges(skeleton), dtype=np.bool_)
        self._tracks: dict[Hashable, LiveTrack] = {}
        self._colors: set[int] = set()
        self._changed = False
        self._unit: float | None = None
        self._came: float | None = None
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)
        with _nothing_printed(), _requests_checked(host) as checked:
            self._server = viser.ViserServer(host=host, port=port, verbose=False)
        if not checked():
            self.close()
            raise InputError(f"the live page can't check who connects to viser {viser.__version__}: it needs viser 1.1")
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._server.get_port()}"
        # The share button would send the page through somebody else's server.
        self._server.gui.configure_theme(
            control_layout="fixed", control_width="large", show_logo=False, show_share_button=False
        )
        self._server.scene.set_up_direction("-y")
        self._server.scene.add_grid("/floor", width=8, height=8, plane="xz", position=(0, _FLOOR, 0), cell_size=0.5)
        self._add_axes()
        self._picture = self._server.gui.add_html("")
        self._follow = self._server.gui.add_checkbox("Follow", True, hint="Keep the animals in the middle")
        self._names = self._server.gui.add_checkbox("Joint names", False, hint="Also: the mouse over a joint in 2D")
        self._bars: Any = None
        self._note = self._server.gui.add_markdown("Nothing yet.")
        self._legend = self._server.gui.add_markdown(self._panel.legend(axes))
        self._server.on_client_connect(_look)

    def show(
        self,
        key: Hashable,
        name: str,
        frame: int,
        joints: Array,
        keypoints: Array,
        visible: Mask,
        uncertainty: Array | None = None,
        came: float | None = None,
    ) -> None:
        """Set the latest frame of a track; `draw` shows it.

        Args:
            key: identifies the track.
            name: of the track, on the page.
            frame: number of the frame.
            joints: ``(J, 3)``, y down, z away. A track with NaN stays as it is in the 3D view.
            keypoints: ``(J, 2)`` pixels of the same frame.
            visible: ``(J,)``; hidden joints are drawn pale.
            uncertainty: ``(J, 2)``, the standard deviation of x and y, and that of z, in the joints' unit. A checkbox
                shows that of z as a bar through each joint.
            came: when the frame arrived, by `time.perf_counter`; the page shows the latency from then on.
        """
        if uncertainty is not None and self._bars is None:
            hint = "Bars of ± one standard deviation of the depth"
            self._bars = self._server.gui.add_checkbox("Uncertainty", False, hint=hint)
        if key not in self._tracks:
            color = next(number for number in range(len(self._colors) + 1) if number not in self._colors)
            self._colors.add(color)
            self._tracks[key] = LiveTrack(name, color, shades_of(color, "light"))
        track = self._tracks[key]
        track.frame, track.joints, track.keypoints, track.visible = frame, joints, keypoints, visible
        track.uncertainty = uncertainty
        self._came = came
        self._changed = True

    def remove(self, key: Hashable) -> None:
        """Remove a track that has ended from the page."""
        track = self._tracks.pop(key, None)
        if track is not None:
            self._colors.discard(track.color)
            for handle in track.handles.values():
                handle.remove()
            self._changed = True

    def draw(self) -> None:
        """Send the latest frames to the open pages, if anything is new."""
        if not self._changed:
            return
        self._changed = False
        shown = [track for track in self._tracks.values() if np.isfinite(track.joints).all()]
        if shown:
            middle = np.mean([track.joints.mean(axis=0) for track in shown], axis=0)
            if self._unit is None:
                self._unit = _size(shown[0].joints)
                self._middle = middle
            if self._follow.value:
                self._middle = middle
            with self._server.atomic():
                for track in shown:
                    joints = (track.joints - self._middle) / self._unit
                    self._draw_bones(track, joints)
                    self._draw_names(track, joints)
                    if track.uncertainty is not None:
                        self._draw_bars(track, joints, track.uncertainty[:, 1] / self._unit)
        if self._came is not None:
            self._latencies.append(time.perf_counter() - self._came)
            self._came = None
        self._picture.content = self._panel.svg(self._tracks.values())
        self._note.content = told(self._tracks.values(), float(np.median(self._latencies)) if self._latencies else None)

    def close(self) -> None:
        """Stop serving the page."""
        with _nothing_printed():
            self._server.stop()

    def _draw_bones(self, track: LiveTrack, joints: Array) -> None:
        shades = [rgb(shade) for shade in track.shades]
        dots = np.array([shades[1 - side] for side in self._skeleton.sides], np.uint8)
        dots[~track.visible] = (dots[~track.visible] * 0.35 + 255 * 0.65).astype(np.uint8)
        edges = np.array(self._skeleton.edges, dtype=np.int64).reshape(-1, 2)
        bones = np.concatenate([joints[edges[~self._inferred]], dashes(joints[edges[self._inferred]])])
        if not track.handles:
            scene, name = self._server.scene, f"/tracks/{track.color}"
            if len(edges):
                sides = np.array(self._sides)
                sides = np.concatenate([sides[~self._inferred], np.repeat(sides[self._inferred], DASHES)])
                colors = np.array([[shades[1 - side]] * 2 for side in sides], np.uint8)
                track.handles["bones"] = scene.add_line_segments(f"{name}/bones", bones, colors, thickness=0.035)
            track.handles["joints"] = scene.add_point_cloud(
                f"{name}/joints", joints, dots, point_size=0.06, point_shape="circle", precision="float32"
            )
            return
        if len(edges):
            track.handles["bones"].points = bones
        track.handles["joints"].points = joints
        track.handles["joints"].colors = dots

    def _draw_bars(self, track: LiveTrack, joints: Array, depth: Array) -> None:
        ends = np.array([[0, 0, -1], [0, 0, 1]], np.float32) * depth[:, None, None]
        bars = joints[:, None] + np.where(np.isfinite(ends), ends, 0)
        if "bars" not in track.handles:
            colors = np.full((*bars.shape[:2], 3), rgb(track.shades[1]), np.uint8)
            name = f"/tracks/{track.color}/bars"
            track.handles["bars"] = self._server.scene.add_line_segments(name, bars, colors, thickness=0.015)
        track.handles["bars"].points = bars
        track.handles["bars"].visible = self._bars.value

    def _draw_names(self, track: LiveTrack, joints: Array) -> None:
        """Move the labels of joints. They are made when first shown, because there may be hundreds."""
        if "name 0" not in track.handles:
            if not self._names.value:
                return
            for number, name in enumerate(self._skeleton.names):
                path = f"/tracks/{track.color}/names/{number}"
                track.handles[f"name {number}"] = self._server.scene.add_label(path, name, position=joints[number])
        for number, place in enumerate(joints):
            label = track.handles[f"name {number}"]
            if label.visible != self._names.value:
                label.visible = self._names.value
            if self._names.value:
                label.position = place

    def _add_axes(self) -> None:
        ends = np.stack([np.tile(_CORNER, (3, 1)), _CORNER + np.array(list(_AXES.values()))], axis=1).astype(np.float32)
        colors = np.full((3, 2, 3), 90, np.uint8)
        self._server.scene.add_line_segments("/axes", ends, colors, thickness=0.02)
        for name, (_, end) in zip(_AXES, ends, strict=True):
            self._server.scene.add_label(f"/axes/{name}", name, position=end)


def require_viser() -> None:
    """Raise MissingExtraError unless viser is installed."""
    if importlib.util.find_spec("viser") is None:
        raise MissingExtraError(what="the live view", extra="stream")


def _check_host(host: str) -> None:
    """Raise InputError unless a port can listen at `host`; viser would wait forever."""
    try:
        *others, last = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
        for address in others:
            with suppress(OSError):
                _try(address)
                return
        _try(last)
    except OSError as error:
        wanted = "host must be an address of this machine, or a name of one"
        raise InputError(f"{wanted}, got {host!r}: {error.strerror}") from error


def _try(address: Any) -> None:
    family, kind, _, _, place = address
    with socket.socket(family, kind) as trial:
        trial.bind(place)


_opening = threading.Lock()


@contextmanager
def _requests_checked(host: str) -> Iterator[Callable[[], bool]]:
    """A port that viser opens within the block answers only requests that `check_request` allows.

    Gives a function that tells whether such a port was opened. viser serves its page and its WebSocket by one call of
    `websockets.asyncio.server.serve`, and has no argument for who may connect. So this adds a check to that call, which
    comes before viser's own answer.
    """
    from websockets.asyncio import server

    ports: list[Any] = []

    def serve(handler: Any, *args: Any, process_request: Any = None, **options: Any) -> Any:
        if not handler.__module__.startswith("viser."):
            return plain(handler, *args, process_request=process_request, **options)

        def check(connection: Any, request: Any) -> Any:
            refused = check_request(connection, request, host)
            if refused is not None or process_request is None:
                return refused
            return process_request(connection, request)

        ports.append(plain(handler, *args, process_request=check, **options))
        return ports[-1]

    with _opening:
        plain: Any = server.serve
        server.serve = serve  # type: ignore[assignment, misc]
        try:
            yield lambda: bool(ports)
        finally:
            server.serve = plain  # type: ignore[misc]


def _nothing_printed() -> redirect_stdout[io.StringIO]:
    """Drops what viser prints when a server starts and stops, because stdout may be the stream's output."""
    return redirect_stdout(io.StringIO())


def _look(client: Any) -> None:
    """Set the first view of a page that has just opened."""
    client.camera.up_direction = (0.0, -1.0, 0.0)
    client.camera.position = tuple(_EYE)
    client.camera.look_at = (0.0, 0.0, 0.0)


def _size(joints: Array) -> float:
    size = float(np.sqrt(np.square(joints - joints.mean(axis=0)).sum(axis=-1).mean()))
    return size if size > 0 else 1.0
