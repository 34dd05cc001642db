"""The commands of a page, run as a reader types them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRINTED_ADDRESS = "127.0.0.1:7233"
PATIENCE = 30.0


@dataclass(frozen=True)
class Typed:
    """A command of a page, and what the page says that it prints; `...` stands for anything."""

    command: str
    printed: str

    def check(self, output: str) -> None:
        """Fails unless that was printed."""
        assert self.fits(output), f"$ {self.command}\n{output}\n-- but the page says:\n{self.printed}"

    def fits(self, output: str) -> bool:
        """Whether that was printed; a page that says nothing of it leaves it open."""
        if not self.printed:
            return True
        pattern = ".*".join(re.escape(part) for part in self.printed.split("..."))
        return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def commands_of(page: str) -> Iterator[Typed]:
    """Yields the commands in the console blocks of a page."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = typed.partition("\n")
            yield Typed(command, printed.strip())


@dataclass
class Terminal:
    """Where commands are typed.

    Attributes:
        folder: Where they run.
        environment: What they find in their environment, beside this process' own.
        address: Where the Temporal server is that the page expects at its usual address.
    """

    folder: Path
    environment: dict[str, str]
    address: str = PRINTED_ADDRESS

    def run(self, typed: Typed) -> None:
        """Runs a command, and fails unless it ends well and prints what the page says."""
        if typed.command.startswith("export "):
            name, _, value = typed.command.removeprefix("export ").partition("=")
            self.environment[name] = self._adapted(value)
            return
        latest = time.monotonic() + PATIENCE
        output = self._output(typed)
        # A reader looks a moment later than a program does, and looking changes nothing.
        while " query " in typed.command and not typed.fits(output) and time.monotonic() < latest:
            time.sleep(0.2)
            output = self._output(typed)
        typed.check(output)

    def serve(self, typed: Typed) -> subprocess.Popen[str]:
        """Starts a command that runs until it is interrupted, and waits for what the page says that it prints."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {self._adapted(typed.command)}"],
            cwd=self.folder,
            env=self._known(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        said = process.stdout.readline().replace(self.address, PRINTED_ADDRESS)
        if not typed.fits(said):
            process.kill()
        typed.check(said)
        return process

    def _output(self, typed: Typed) -> str:
        done = subprocess.run(
            ["bash", "-c", self._adapted(typed.command)],
            cwd=self.folder,
            env=self._known(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == 0, f"$ {typed.command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _adapted(self, text: str) -> str:
        return text.replace(PRINTED_ADDRESS, self.address)

    def _known(self) -> Mapping[str, str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), self.environment.get("PATH", os.environ["PATH"])])
        return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **self.environment, "PATH": path}
