"""Turns to compute, and the threads that calls run on."""

import threading
from collections.abc import Callable

import pytest

from paravec_model.errors import StoppedError
from paravec_server.pool import Threads
from paravec_server.turns import Turns

from ..servers import until

PATIENCE = 30.0


def forever(_: Callable[[], None]) -> bool:
    """A caller who stays."""
    return True


def test_turns_come_in_order_and_no_more_at_once_than_there_are() -> None:
    """Who came first computes first."""
    turns, entered, done, holding = Turns(1), list[int](), list[int](), set[int]()

    def work(number: int) -> None:
        def joined(_: Callable[[], None]) -> bool:
            entered.append(number)
            return True

        with turns.turn(joined):
            holding.add(number)
            assert len(holding) == 1
            done.append(number)
            holding.remove(number)

    with turns.turn(forever):
        threads = []
        for number in range(20):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            until(lambda: len(entered) == len(threads), PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert done == list(range(20))


def test_who_is_stopped_leaves_the_line() -> None:
    """At once, and the turn goes to the next; who is stopped already does not even wait."""
    turns, leave = Turns(1), list[Callable[[], None]]()
    stopped = threading.Event()

    def work() -> None:
        with pytest.raises(StoppedError), turns.turn(lambda end: leave.append(end) or True):  # type: ignore[func-returns-value]
            raise AssertionError
        stopped.set()

    with turns.turn(forever):
        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: bool(leave), PATIENCE)
        leave[0]()
        assert stopped.wait(PATIENCE)
        with pytest.raises(StoppedError), turns.turn(lambda _: False):
            raise AssertionError
    leave[0]()
    with turns.turn(forever):
        pass


def test_turns_that_do_not_get_on_are_told() -> None:
    """While one is free, or something moves, nothing is stuck."""
    turns = Turns(1)
    assert turns.stuck == 0
    with turns.turn(forever):
        until(lambda: turns.stuck > 0.5, PATIENCE)
        turns.moved()
        assert turns.stuck < 0.5
    assert turns.stuck == 0


def test_threads_that_are_held_up_get_help() -> None:
    """However many block, up to the most there may be, the next is run; beyond that it waits."""
    threads, gate, begun = Threads(40, "test"), threading.Event(), threading.Semaphore(0)

    def block() -> None:
        begun.release()
        gate.wait(PATIENCE)

    for _ in range(40):
        threads.submit(block)
    for _ in range(40):
        assert begun.acquire(timeout=PATIENCE)
    threads.submit(begun.release)
    assert not begun.acquire(timeout=0.1)
    gate.set()
    assert begun.acquire(timeout=PATIENCE)


def test_work_that_fails_ends_no_thread() -> None:
    """More such work than there are threads does not keep the next from being run."""
    threads, done = Threads(2, "test"), threading.Event()
    for _ in range(50):
        threads.submit(int, "x")
    threads.submit(done.set)
    assert done.wait(PATIENCE)


def test_nothing_is_lost_when_many_submit() -> None:
    """Every piece of work is run once."""
    threads, count, lock = Threads(16, "test"), list[int](), threading.Lock()

    def work(number: int) -> None:
        with lock:
            count.append(number)

    def submit(first: int) -> None:
        for number in range(first, first + 500):
            threads.submit(work, number)

    submitters = [threading.Thread(target=submit, args=(1000 * i,)) for i in range(8)]
    for thread in submitters:
        thread.start()
    for thread in submitters:
        thread.join()
    until(lambda: len(count) == 4000, PATIENCE)
    assert len(set(count)) == 4000
