"""What waits of a source: nothing is lost or reordered, but frames that a newer one of their track replaces."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from olift_fast.streaming.inbox import FreshInbox, Inbox
from olift_fast.streaming.messages import End, FrameMessage
from olift_fast.streaming.outbox import BYTES, LINES, Outbox

POINTS, CONFIDENCE = np.zeros((1, 2), np.float32), np.ones(1, np.float32)


def frame(track: str, number: int, end: bool = False) -> FrameMessage:
    return FrameMessage(track, POINTS, CONFIDENCE, float(number), end)


def test_messages_come_out_as_they_went_in_and_a_full_inbox_says_so() -> None:
    inbox = Inbox(2)
    sent = [frame("dog", 0), End("dog")]
    assert inbox.put(sent[0], 1.0) is None and not inbox.full
    assert inbox.put(sent[1], 2.0) is None and inbox.full and inbox.next is sent[0]
    taken = [inbox.take() for _ in sent]
    assert [waiting.message for waiting in taken] == sent and [waiting.came for waiting in taken] == [1.0, 2.0]
    assert not inbox and not inbox.full


def test_only_the_newest_frame_of_a_track_waits_and_keeps_its_place() -> None:
    inbox = FreshInbox(8)
    for number, name in enumerate(("dog", "cat", "dog", "dog")):
        assert inbox.put(frame(name, number), number) is None
    taken = [inbox.take() for _ in range(len(inbox))]
    messages = [waiting.message for waiting in taken]
    assert [(message.track, waiting.came) for message, waiting in zip(messages, taken, strict=True)] == [
        ("dog", 3), ("cat", 1),
    ]  # fmt: skip
    assert [(message.t, message.dropped) for message in messages if isinstance(message, FrameMessage)] == [
        (3, 2), (1, 0),
    ]  # fmt: skip
    assert inbox.dropped == 2


def test_track_that_has_waited_longest_makes_room() -> None:
    inbox = FreshInbox(2)
    for message in frame("dog", 0), frame("dog", 1), End("cat"):
        assert inbox.put(message, 0.0) is None
    out = inbox.put(frame("cow", 2), 0.0)
    assert isinstance(out, FrameMessage) and (out.track, out.t, out.dropped, inbox.dropped) == ("dog", 1, 1, 2)
    assert inbox.put(frame("hen", 3), 0.0) == End("cat") and inbox.dropped == 2


def test_end_goes_with_the_frame_before_it_and_not_with_the_next_track_of_the_name() -> None:
    inbox = FreshInbox(8)
    for message in frame("dog", 0), End("dog"), frame("dog", 1), frame("dog", 2, end=True), End("cat"):
        inbox.put(message, 0.0)
    first, second, third = (inbox.take().message for _ in range(3))
    assert isinstance(first, FrameMessage) and isinstance(second, FrameMessage)
    assert (first.t, first.end, second.t, second.end, third) == (0, True, 2, True, End("cat"))
    assert not inbox


names = st.sampled_from(["dog", "cat", "cow", "hen", "pig"])
actions = st.lists(st.tuples(st.sampled_from(["frame", "last frame", "end", "take"]), names), max_size=60)


@given(actions, st.integers(1, 4))
def test_no_end_is_lost_and_no_track_reordered(actions: list[tuple[str, str]], room: int) -> None:
    inbox = FreshInbox(room)
    sent: dict[str, list[str]] = {}
    dealt: dict[str, list[str]] = {}

    def deal(message: FrameMessage | End) -> None:
        own = dealt.setdefault(message.track, [])
        if isinstance(message, FrameMessage):
            own += ["dropped"] * message.dropped + [str(message.t)]
        if isinstance(message, End) or message.end:
            own.append("end")

    for number, (action, name) in enumerate(actions):
        if action == "take":
            if inbox:
                deal(inbox.take().message)
            continue
        own = sent.setdefault(name, [])
        if "frame" in action:
            own.append(str(float(number)))
        if action != "frame":
            own.append("end")
        message = End(name) if action == "end" else frame(name, number, end=action == "last frame")
        unlifted = inbox.put(message, 0.0)
        if unlifted is not None:
            deal(unlifted)
        assert len(inbox) <= room
    while inbox:
        deal(inbox.take().message)
    assert dealt.keys() == sent.keys()
    for name, own in sent.items():
        assert len(dealt[name]) == len(own)
        assert all(got in ("dropped", wanted) for got, wanted in zip(dealt[name], own, strict=True))


@pytest.mark.slow
def test_a_message_costs_the_same_however_many_wait() -> None:
    seconds = []
    for room in (10, 20_000):
        inbox = FreshInbox(room)
        for number in range(room):
            inbox.put(End(f"track {number}"), 0.0)
        start = time.perf_counter()
        for number in range(2000):
            inbox.put(End(f"more {number}"), 0.0)
        seconds.append(time.perf_counter() - start)
    # A search through all that wait would take a thousand times as long.
    assert seconds[1] < 50 * seconds[0]


def test_outbox_is_full_by_lines_and_by_bytes() -> None:
    outbox = Outbox()
    outbox.add(b"x" * (BYTES - 1))
    assert not outbox.full
    outbox.add(b"y")
    assert outbox.full and outbox.bytes == BYTES
    outbox.remove(outbox.peek(1))
    assert not outbox.full and outbox.peek(0) == [b"y"]
    for _ in range(LINES - 1):
        outbox.add(b"z")
    assert outbox.full
    outbox.clear()
    assert not outbox and not outbox.full and outbox.bytes == 0


def test_a_frame_is_answered_when_the_lines_before_are_removed() -> None:
    outbox = Outbox()
    for came in 1.0, 2.0:
        for line in b"one", b"two":
            outbox.add(line)
        outbox.answered(came)
    assert list(outbox.times()) == []
    outbox.remove(outbox.peek(6))
    assert list(outbox.times()) == [1.0] and list(outbox.times()) == []
    outbox.remove(outbox.peek(3))
    assert list(outbox.times()) == []
    outbox.remove(outbox.peek(3))
    assert list(outbox.times()) == [2.0] and not outbox
