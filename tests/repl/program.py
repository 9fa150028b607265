"""The program as its users meet it: a process with arguments, output, and an exit status."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streamsql.repl.app import main

_UNWANTED = ("NO_COLOR", "COLUMNS", "PYTHONDONTWRITEBYTECODE")
# Compiled modules are shared by the processes of a test run, wherever the source tree may be written.
_COMPILED = TemporaryDirectory()
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in _UNWANTED}
ENVIRONMENT |= {"TERM": "xterm", "PYTHONPYCACHEPREFIX": _COMPILED.name}
COMMAND = [sys.executable, "-m", "streamsql.repl"]


class Program:
    """Runs the command line on one data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"

    def run(self, *arguments: str | Path, stdin: str = "") -> Done:
        """In a process of its own, as it is used; a second or so."""
        done = subprocess.run(
            self.line(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env=ENVIRONMENT,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def call(self, *arguments: str | Path, stdin: str = "") -> Done:
        """The same in this process, in some milliseconds."""
        out, err = io.StringIO(), io.StringIO()
        before = sys.stdin
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
        try:
            with redirect_stdout(out), redirect_stderr(err), chdir(self.folder):
                try:
                    code = main(["--data", str(self.data), *map(str, arguments)])
                except SystemExit as ended:
                    code = int(ended.code or 0)
        finally:
            sys.stdin = before
        return Done(code, out.getvalue(), err.getvalue())

    def line(self, *arguments: str | Path) -> list[str]:
        return [*COMMAND, "--data", str(self.data), *map(str, arguments)]

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """A process that goes on, to be communicated with; it ends with the test, however that ends."""
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # So it is for what a shell runs in the background, and for all its children.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(
            self.line(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=ENVIRONMENT,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


class Done:
    """How a run ended; nothing a user should not see is in its output."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err
        for unwanted in ("Traceback", "nanobind", "leaked", "Exception ignored"):
            assert unwanted not in err + out, err + out

    def good(self) -> Done:
        assert self.code == 0, self.err
        return self

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.good().out.splitlines()]
