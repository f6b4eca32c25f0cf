"""Property tests on random examples for some minutes: `make fuzz`.

Every core runs all property tests in rounds, each round in another order and from another seed, until something is
found or the time is over. The same file is the script that starts the processes and the plugin that each of them loads.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from hypothesis import core

TESTS = Path(__file__).parent
#: For how long a process runs tests, in seconds, and what its seeds come from.
SECONDS, SEED = "SOTOPIA_PI_FUZZ_SECONDS", "SOTOPIA_PI_FUZZ_SEED"
#: How many seconds more a process may take to load the tests, to end one, and to make small what it found.
GRACE = 300

ADVICE = """
To see it again: {python} -m pytest "{test}" --hypothesis-profile=random --hypothesis-seed={seed}
or write the line with @reproduce_failure from above over the test.
To keep it: write what stands above as @example(...) under the @given of {name} in {file};
a test that draws from data or steps through rules gets a test of its own beside it. Then mend the fault: make test
tries every @example each time."""


class Rounds:
    """Runs the tests of a session again and again."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seconds, self.draw = seconds, random.Random(seed)
        self.count, self.run, self.seed = 0, 0, 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if session.testsfailed or not session.items:
            return None
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and not session.testsfailed:
            self.count += 1
            core.global_force_seed = self.seed = self.draw.getrandbits(64)
            self.draw.shuffle(session.items)
            for item, following in zip(session.items, [*session.items[1:], None], strict=True):
                last = time.monotonic() >= until or session.testsfailed
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None if last else following)
                self.run += 1
                if last:
                    break
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for report in terminalreporter.getreports("failed"):
            file, _, name = report.nodeid.partition("::")
            words = {"test": report.nodeid, "file": file, "name": name, "seed": self.seed, "python": sys.executable}
            terminalreporter.write_line(ADVICE.format(**words))
        terminalreporter.write_line(f"{self.run} tests of {self.count} rounds")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Rounds(float(os.environ[SECONDS]), int(os.environ[SEED])))


def start(seed: int, seconds: float, output: IO[str]) -> subprocess.Popen[str]:
    """A process that runs the property tests for so long."""
    files = [str(path) for path in sorted(TESTS.glob("test_*.py")) if "from hypothesis" in path.read_text("utf-8")]
    options = ["-q", "-p", "fuzz", "-p", "no:xdist", "-p", "no:cacheprovider", "--hypothesis-profile=random"]
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "-m", "hypothesis and not slow", *files],
        env={**os.environ, SECONDS: str(seconds), SEED: str(seed), "PYTHONPATH": _with_tests()},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _with_tests() -> str:
    return os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])


def fuzz(minutes: float, seed: int, processes: int) -> int:
    """The exit status: 0 where nothing was found."""
    latest = time.monotonic() + 60 * minutes + GRACE
    with ExitStack() as stack:
        running = []
        for own in range(seed, seed + processes):
            output = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8"))
            running.append((own, output, start(own, 60 * minutes, output)))
            stack.callback(running[-1][2].kill)
        print(f"all property tests for {minutes:g} minutes, seeds {seed} to {seed + processes - 1}", flush=True)
        states: list[int | None] = [None]
        while None in states and not any(states) and time.monotonic() < latest:
            time.sleep(0.2)
            states = [process.poll() for _, _, process in running]
        shown = [item for item, state in zip(running, states, strict=True) if state]
        late = [] if shown else [item for item, state in zip(running, states, strict=True) if state is None]
        for own, output, _ in (*shown, *late):
            output.seek(0)
            print(f"\nseed {own}{' did not end' if late else ''}:\n{output.read()}")
        if not shown and not late:
            print("nothing was found in", ", ".join(_last_line(output) for _, output, _ in running))
        return int(bool(shown or late))


def _last_line(output: IO[str]) -> str:
    output.seek(0)
    return output.read().rstrip().rpartition("\n")[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    return fuzz(given.minutes, given.seed, given.processes)


if __name__ == "__main__":
    sys.exit(main())
