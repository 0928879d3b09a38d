"""How what several annotators said of one sample becomes the decision that counts.

A decision *stands* until it is taken back (`undo`). The newest one of each annotator that stands is their vote.

- A second look, if one stands, counts; the newest of several. It was made because the votes did not settle it.
- Else votes that all agree, in action and category, count as they are; one vote alone does.
- Else they conflict: the sample counts as `unsure` until a second look.
"""

from __future__ import annotations

from collections.abc import Sequence

from curation.values import Decision, DecisionAction


def decision_that_counts(standing: Sequence[Decision]) -> Decision | None:
    """The decision that counts, from all that stand on one sample, oldest first; `None` where none does.

    Of a conflict it is `unsure`, by all who voted, with their actions in its context.
    """
    second_looks = [decision for decision in standing if decision.second_look]
    if second_looks:
        return second_looks[-1]
    votes = votes_of(standing)
    if not votes:
        return None
    newest = standing[-1]
    if all(same_verdict(vote, newest) for vote in votes.values()):
        return newest
    return Decision(
        newest.sample_id,
        DecisionAction.UNSURE,
        " and ".join(sorted(votes)),
        context={"conflict": {name: vote.action.value for name, vote in sorted(votes.items())}},
    )


def votes_of(standing: Sequence[Decision]) -> dict[str, Decision]:
    """Annotator -> their vote, from all that stand on one sample, oldest first; second looks are none."""
    return {decision.annotator: decision for decision in standing if not decision.second_look}


def same_verdict(one: Decision, other: Decision) -> bool:
    """Whether two decisions say the same."""
    return (one.action, one.category) == (other.action, other.category)
