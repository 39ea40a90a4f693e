"""The table at the end of ``pytest benchmarks``: its head, its columns, and what each number is."""

from __future__ import annotations

from benchmarks.ways_table import table_lines

WAYS = {
    "olift_fast": {"p20_ms": 0.9, "p50_ms": 1.0, "p80_ms": 1.25, "first_ms": 2.0},
    "the peer, compiled": {"p20_ms": 11.0, "p50_ms": 12.5, "p80_ms": 14.0, "first_ms": 30.0},
}


def test_each_column_has_a_head_and_ends_where_its_numbers_do() -> None:
    title, head, ours, peer = table_lines("test_it[48]", {"ways": WAYS, "device": "cpu", "threads": 2})
    assert title == "test_it[48]: cpu, 2 threads"
    assert head.split() == ["way", "median", "20th", "80th", "×", "ours", "first", "call", "×", "ours"]
    assert ours.split() == ["olift_fast", "1.000", "0.900", "1.250", "1.00", "2.000", "1.00"]
    assert peer.split()[-6:] == ["12.500", "11.000", "14.000", "12.50", "30.000", "15.00"]
    assert len(head) == len(ours) == len(peer)
    for name, number in (("median", "12.500"), ("20th", "11.000"), ("first call", "30.000")):
        assert head.index(name) + len(name) == peer.index(number) + len(number)


def test_a_share_of_the_copy_is_in_the_title() -> None:
    title, *_ = table_lines("test_it", {"ways": WAYS, "device": "cpu", "threads": 1, "share_of_copy": 0.384})
    assert title == "test_it: cpu, 1 thread, ours at 38% of a copy's bandwidth"
