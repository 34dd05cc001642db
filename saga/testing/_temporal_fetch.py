"""How the programs of the Temporal servers are fetched: the SDK's download, `go install`, Maven."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from saga.testing._places import AbsentError
from saga.testing._temporal_cache import tell
from saga.testing._temporal_program import guarded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from saga.testing._temporal_program import Program

__all__ = ("CLI_VERSION", "JAVA_VERSION", "build", "copy_jars", "download", "required")

CLI_VERSION = "1.5.1"  # the last that `go install` accepts: the go.mod of later ones replaces modules
JAVA_VERSION = "1.35.0"
SLF4J_VERSION = "1.7.36"
FIRST_BYTE_SECONDS = 8  # after that the download site counts as out of reach
NEXT_BYTE_SECONDS = 60
BUILD_SECONDS = 1500  # four and a half minutes on two idle processors
TELL_SECONDS = 15
LOOK_SECONDS = 0.2

SOURCE = """\
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.temporal.internal.testservice.GRPCServerHelper;
import io.temporal.internal.testservice.TestServicesStarter;
import java.net.InetSocketAddress;

/** What io.temporal.testserver.TestServer starts, which itself listens on every interface. */
class LoopbackServer {
    public static void main(String[] arguments) throws Exception {
        var services = new TestServicesStarter(false, 0);  // time skips from the start; it begins now
        var address = new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0]));
        var builder = NettyServerBuilder.forAddress(address);
        GRPCServerHelper.registerServicesAndHealthChecks(services.getServices(), builder);
        builder.build().start().awaitTermination();
    }
}
"""
PROJECT = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sagakit</groupId>
  <artifactId>temporal-test-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>{JAVA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>{SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def required(program: str) -> str:
    """Return where the program is on the `PATH`."""
    path = shutil.which(program)
    if path is None:
        raise AbsentError(f"{program} is not there")
    return path


def download(folder: Path) -> None:
    """Have the SDK download `temporal` into the folder; give up soon where the site is out of reach."""
    script = Path(__file__).with_name("_temporal_download.py")
    with guarded([sys.executable, "-P", str(script), str(folder), f"v{CLI_VERSION}"], os.environ) as program:
        _watch(program, folder)
        _expect_success(program, "the download")


def build(folder: Path) -> None:
    """Have Go build `temporal` into the folder."""
    module = f"github.com/temporalio/cli/cmd/temporal@v{CLI_VERSION}"
    go = required("go")
    tell(f"building the Temporal dev server once, which takes minutes: go install {module}")
    _carry_out([go, "install", module], os.environ | {"GOBIN": str(folder)})


def copy_jars(folder: Path) -> None:
    """Have Maven copy the time skipping server into the folder, and compile what starts it there."""
    maven, compiler = required("mvn"), required("javac")
    project, source = folder / "pom.xml", folder / "LoopbackServer.java"
    project.write_text(PROJECT)
    source.write_text(SOURCE)
    tell("fetching the Temporal test server once: mvn dependency:copy-dependencies")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    _carry_out([maven, "--batch-mode", "--quiet", "--file", project, *goal], os.environ)
    _carry_out([compiler, "-cp", folder / "*", "-d", folder, source], os.environ)


def _watch(program: Program, folder: Path) -> None:
    """Wait for the end of a download, as long as it goes on."""
    size, latest = 0, time.monotonic() + FIRST_BYTE_SECONDS
    while not program.ended(LOOK_SECONDS):
        now = _size(folder)
        if now > size:
            if size == 0:
                tell(f"downloading the Temporal dev server {CLI_VERSION} once")
            size, latest = now, time.monotonic() + NEXT_BYTE_SECONDS
        elif time.monotonic() > latest:
            raise AbsentError("nothing arrives from the download site")


def _size(folder: Path) -> int:
    try:
        return sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # renamed meanwhile
        return 0


def _carry_out(command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
    name, began = Path(command[0]).name, time.monotonic()
    with guarded(command, environment) as program:
        while not program.ended(TELL_SECONDS):
            seconds = round(time.monotonic() - began)
            if seconds > BUILD_SECONDS:
                raise AbsentError(f"{name} did not end within {BUILD_SECONDS} seconds")
            tell(f"{name} has been at work for {seconds} seconds")
        _expect_success(program, name)


def _expect_success(program: Program, name: str) -> None:
    if program.status != 0:
        raise AbsentError(f"{name} failed: {program.told()}")
