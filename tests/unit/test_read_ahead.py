"""Requests of a stream that are read ahead."""

from paravec_server.rpc.read_ahead import read_ahead


def test_bytes_are_counted_until_they_are_worked_on() -> None:
    """A long stream counts by what it has read ahead, not by all that it ever sent."""
    counts: list[int] = []
    sent = [b"x" * size for size in range(1, 200)]
    with read_ahead(iter(sent), counts.append) as batches:
        assert [request for batch in batches for request in batch] == sent
    assert sum(count for count in counts if count > 0) == sum(map(len, sent))
    assert sum(counts) == 0
