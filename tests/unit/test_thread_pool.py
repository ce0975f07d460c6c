"""The elastic pool of threads that calls run on."""

import threading

from paravec_server.rpc.thread_pool import ElasticThreadPool

from ..servers import until

PATIENCE = 30.0


def test_the_pool_grows_while_threads_are_blocked() -> None:
    """While threads block, new ones run the next work up to the maximum; beyond it, work waits."""
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


def test_failing_work_does_not_end_its_thread() -> None:
    """After more failures than there are threads, work still runs."""
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
