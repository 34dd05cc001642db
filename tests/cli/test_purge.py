"""`purge`: what ended long ago goes, everything else stays."""

import json
from pathlib import Path

from tests.cli.conftest import Command, filled


def test_only_ended_instances_of_the_named_sagas_go(saga: Command, tmp_path: Path) -> None:
    """Age and saga decide; what is open stays, whatever its age."""
    url = filled(tmp_path)
    none = {"instances": 0, "facts": 0, "requests": 0}
    assert json.loads(saga("purge", "--older-than", "1h", "--json", database=url).out) == none
    assert json.loads(saga("purge", "--older-than", "0s", "--saga", "Nothing", "--json", database=url).out) == none
    ended = saga("purge", "--older-than", "0s", "--saga", "Nothing", "--saga", "MoneyTransfer", database=url)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("removed 2 instances, ")
    left = json.loads(saga("list", "--json", database=url).out)["instances"]
    assert {one["state"] for one in left} == {"RUNNING", "STUCK"}
    assert saga("show", "done-1", database=url).code == 4
