"""Samples that show the same picture have one group, whatever else is known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curation.copy_groups import copy_groups, smallest_connected
from curation.values import Flag, FlagName, Role, Sample

DIGESTS = {name: f"{ord(name):064x}" for name in "abcdefgh"}


def sample(name: str, digest: str | None) -> Sample:
    reason = None if digest else "empty"
    return Sample(name, f"{name}.jpg", Role.NOVEL, "Wren", f"file:///{name}.jpg", "1", digest, reason, "/source")


def test_copy_groups__same_bytes_near_copies_and_flags_of_older_catalogues() -> None:
    samples = [
        sample("one", DIGESTS["a"]),
        sample("the same file", DIGESTS["a"]),
        sample("near copy", DIGESTS["b"]),
        sample("copy of the copy", DIGESTS["c"]),
        sample("alone", DIGESTS["d"]),
        sample("flagged", DIGESTS["f"]),
        sample("named by the flag", DIGESTS["e"]),
        sample("unreadable", None),
    ]
    flags = {"flagged": [Flag("flagged", FlagName.NEAR_DUPLICATE, "Nearly.", ("named by the flag", "gone"))]}
    groups = copy_groups(samples, flags, [(DIGESTS["a"], DIGESTS["b"]), (DIGESTS["b"], DIGESTS["c"])])
    first, second = DIGESTS["a"][:12], DIGESTS["e"][:12]
    assert groups == {
        "one": first,
        "the same file": first,
        "near copy": first,
        "copy of the copy": first,
        "flagged": second,
        "named by the flag": second,
    }


def test_copy_groups__a_copy_that_is_not_exported_still_counts() -> None:
    groups = copy_groups([sample("one", DIGESTS["b"])], {}, [(DIGESTS["a"], DIGESTS["b"])])
    assert groups == {"one": DIGESTS["a"][:12]}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_smallest_connected__as_reached_step_by_step(pairs: list[tuple[int, int]]) -> None:
    expected = {member: member for pair in pairs for member in pair}
    for _ in pairs:
        for first, second in pairs:
            expected[first] = expected[second] = min(expected[first], expected[second])
    assert smallest_connected(pairs) == expected
