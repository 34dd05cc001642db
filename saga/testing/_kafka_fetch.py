"""How the Kafka broker is fetched: its jars, by Maven."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from saga.testing._places import AbsentError
from saga.testing._temporal_cache import tell
from saga.testing._temporal_fetch import required
from saga.testing._temporal_program import guarded

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ("KAFKA_VERSION", "copy_jars")

KAFKA_VERSION = "4.1.0"
SCALA_VERSION = "2.13"
SLF4J_VERSION = "1.7.36"  # the one that this Kafka is built with
FETCH_SECONDS = 900
TELL_SECONDS = 15

PROJECT = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>sagakit</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_{SCALA_VERSION}</artifactId><version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>{SLF4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def copy_jars(folder: Path) -> None:
    """Have Maven copy the broker's jars into the folder."""
    maven, project = required("mvn"), folder / "pom.xml"
    project.write_text(PROJECT)
    tell("fetching the Kafka broker once: mvn dependency:copy-dependencies")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    began = time.monotonic()
    with guarded([maven, "--batch-mode", "--quiet", "--file", project, *goal], os.environ) as program:
        while not program.ended(TELL_SECONDS):
            seconds = round(time.monotonic() - began)
            if seconds > FETCH_SECONDS:
                raise AbsentError(f"mvn did not end within {FETCH_SECONDS} seconds")
            tell(f"mvn has been at work for {seconds} seconds")
        if program.status != 0:
            raise AbsentError(f"mvn failed: {program.told()}")
