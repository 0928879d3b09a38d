"""Nights and exports give way to people."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os
os.nice({before})
from curation.priority import give_way
give_way({niceness})
print(os.getpriority(os.PRIO_PROCESS, 0))
"""


@pytest.mark.parametrize(("before", "niceness", "expected"), [(0, 0, 0), (0, 10, 10), (3, 10, 10), (15, 10, 15)])
def test_give_way__never_takes_back_what_was_given(before: int, niceness: int, expected: int) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    if own:
        pytest.skip("these tests themselves have been started with another niceness")
    program = _PROGRAM.format(before=before, niceness=niceness)
    found = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(found.stdout) == expected
