"""Cases in worker processes: a case that hangs or takes its process down costs only itself."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from tests.conformance.outcome import FAILED, Outcome

_CASES_PER_WORKER = 150
_START_S = 60.0


@dataclass
class _Worker:
    """A process and the case it works on; case_id None: idle or still starting."""

    process: BaseProcess
    pipe: Connection
    cases: int = 0
    case_id: str | None = None
    deadline: float = 0.0


def run_all(
    cases: Iterable[tuple[str, str]], *, jobs: int, limit_s: float, strict: bool
) -> Iterator[Outcome]:
    """Run (id, line) cases and give their outcomes as they come.

    jobs     processes
    limit_s  seconds a case may take
    """
    left = iter(cases)
    workers: list[_Worker] = []

    def assign(worker: _Worker) -> bool:
        """Give a worker its next case, in a new process after many; False if there are no more."""
        found = next(left, None)
        if found is None:
            _end(worker)
            workers.remove(worker)
            return False
        if worker.cases >= _CASES_PER_WORKER:
            _end(worker)
            worker.process, worker.pipe, worker.cases = *_start(strict), 0
        _send(worker, found, limit_s)
        return True

    try:
        for _ in range(jobs):
            worker = _Worker(*_start(strict))
            workers.append(worker)
            assign(worker)
        while workers:
            ready = wait([w.pipe for w in workers], timeout=0.5)
            for worker in list(workers):
                assert worker.case_id is not None
                if worker.pipe in ready:
                    try:
                        yield worker.pipe.recv()
                    except (EOFError, ConnectionResetError):
                        worker.process.join()
                        yield _lost(worker.case_id, f"error: the process died ({worker.process.exitcode})")
                        worker.process, worker.pipe, worker.cases = *_start(strict), 0
                elif time.monotonic() > worker.deadline:
                    worker.process.kill()
                    worker.process.join()
                    yield _lost(worker.case_id, "timeout")
                    worker.process, worker.pipe, worker.cases = *_start(strict), 0
                else:
                    continue
                assign(worker)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()


def _send(worker: _Worker, case: tuple[str, str], limit_s: float) -> None:
    worker.case_id, line = case
    # The first case of a process also waits for its imports.
    worker.deadline = time.monotonic() + limit_s + (0 if worker.cases else _START_S)
    worker.cases += 1
    worker.pipe.send(line)


def _start(strict: bool) -> tuple[BaseProcess, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, strict), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.join()


def _work(pipe: Connection, strict: bool) -> None:
    from tests.conformance.cases import run_case

    while True:
        try:
            line = pipe.recv()
        except EOFError:
            return
        pipe.send(run_case(line, strict=strict))


def _lost(case_id: str, reason: str) -> Outcome:
    """The outcome of a case whose process is gone."""
    return Outcome(case_id, case_id.split("/")[0], FAILED, reason)
