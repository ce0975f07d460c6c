"""The threads that calls run on."""

import threading

from paravec_server.rpc.thread_pool import ElasticThreadPool

from ..servers import until

PATIENCE = 30.0


def test_threads_that_are_held_up_get_help() -> None:
    """However many block, up to the most there may be, the next is run; beyond that it waits."""
    threads, gate, begun = ElasticThreadPool(40, "test"), threading.Event(), threading.Semaphore(0)

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
    threads, done = ElasticThreadPool(2, "test"), threading.Event()
    for _ in range(50):
        threads.submit(int, "x")
    threads.submit(done.set)
    assert done.wait(PATIENCE)


def test_nothing_is_lost_when_many_submit() -> None:
    """Every piece of work is run once."""
    threads, count, lock = ElasticThreadPool(16, "test"), list[int](), threading.Lock()

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
