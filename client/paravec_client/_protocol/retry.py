"""Which failed calls are retried, and when.

gRPC's own retryPolicy is not used, for two reasons. It makes five attempts at most, too few if one of three servers
rejects every call: one call in 243 fails. And in grpcio 1.85 its throttling takes a token for each failure but returns
none for a success.
"""

import logging
import random
import time
from collections.abc import Iterator
from typing import Any

from ..config import ClientConfig, Retry
from ..errors import ParavecError
from .call_settings import CallSettings
from .calls import Call, Program, RpcMethod, Sleep

_log = logging.getLogger("paravec")

RETRYABLE_CODES = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"})
"""Status codes of calls that may succeed later or on another server. gRPC reports CANCELLED for calls that a server
resets and when a server shuts down. A repeated call has no side effects."""


class RetryBudget:
    """Retries that the calls of a client may share: as many as calls succeed, plus `Retry.budget`.

    So clients at most double the load on servers that are overloaded. Threads update it without a lock: an error of a
    few does not matter, and a lock could be held while the process forks.
    """

    def __init__(self, config: Retry) -> None:
        self._config = config
        self._left = config.budget

    def add_success(self) -> None:
        """Return one retry to the budget."""
        self._left = min(self._left + 1, self._config.budget)

    def backoffs(self, total: float) -> Iterator[float]:
        """Seconds to wait before each retry of one call; the last one may exceed `total` seconds a little."""
        backoff = self._config.initial_backoff
        while total > 0:
            if self._left <= 0:
                return
            self._left -= 1
            yield backoff * random.uniform(0.5, 1.5)  # noqa: S311  not for cryptography
            total -= backoff
            backoff = min(2 * backoff, self._config.max_backoff)


class RetryingCaller:
    """Calls methods, with retries."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._budget = RetryBudget(config.retry)

    def call(
        self,
        method: RpcMethod,
        request: Any,
        settings: CallSettings,
        *,
        total_backoff: float | None = None,
        deadline: float | None = None,
    ) -> Program[Any]:
        """The response of a call, after as many retries as it needs.

        `settings.timeout` is for all attempts together. If there is a `deadline`, a time of the monotonic clock, the
        timeout is for each attempt instead. `total_backoff` replaces that of the configuration.
        """
        timeout = settings.timeout or self._config.timeout
        end = time.monotonic() + timeout if deadline is None else deadline
        backoffs = self._budget.backoffs(self._config.retry.total_backoff if total_backoff is None else total_backoff)
        name, target, attempt = method.path.rpartition("/")[2], self._config.target, 1
        while True:
            left = max(0.0, min(timeout, end - time.monotonic()))
            try:
                response = yield Call(method, request, left, settings.metadata)
            except ParavecError as failure:
                backoff = _backoff_after(failure, backoffs, end)
                _log.info("%s of %s failed, retrying in %.2f s: %s", name, target, backoff, failure)
            else:
                self._budget.add_success()
                level = logging.INFO if attempt > 1 else logging.DEBUG
                _log.log(level, "%s of %s succeeded at attempt %d", name, target, attempt)
                return response
            yield Sleep(backoff)
            attempt += 1


def _backoff_after(failure: ParavecError, backoffs: Iterator[float], end: float) -> float:
    """Seconds to wait before a retry; raises the failure if a retry is useless or would come too late."""
    # RESOURCE_EXHAUSTED without RetryInfo comes from gRPC itself, e.g. for a message that is too large.
    permanent = failure.code == "RESOURCE_EXHAUSTED" and failure.retry_after is None
    backoff = next(backoffs, None) if failure.code in RETRYABLE_CODES and not permanent else None
    if backoff is None:
        raise failure
    backoff += failure.retry_after or 0
    if time.monotonic() + backoff > end:
        raise failure
    return backoff
