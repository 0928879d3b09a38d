"""The model card beside a classifier: what it is, what it was learned from, how good it is, how to use it."""

from __future__ import annotations

from pipelines.classification.category_vectors import FROM_TEXT
from pipelines.classification.config import ClassificationConfig
from pipelines.classification.report import ClassifierReport, Judgement
from pipelines.classification.usage import Usage
from pipelines.training.metrics import Interval

_MOST_NAMED = 60  # categories in the text; the file itself has all


def model_card(report: ClassifierReport) -> str:
    """The card as Markdown. Names from outside stand in code spans, so that no markup of theirs is drawn."""
    parts = [_what(report), _learned_from(report), _how_good(report), _limits(report), _use(report)]
    return "\n\n".join(parts) + "\n"


def _what(report: ClassifierReport) -> str:
    facts = report.facts
    names = ", ".join(_code(name) for name in facts.categories[:_MOST_NAMED])
    more = len(facts.categories) - _MOST_NAMED
    return f"""# Classifier {_code(report.name)}

Tells {len(facts.categories):,} categories apart in photographs: {names}{f" and {more:,} more" if more > 0 else ""}.

| | |
|---|---|
| backbone | {_code(facts.encoder_identity)}, {"fine-tuned" if facts.config.finetune else "frozen"} |
| head | {facts.config.resolved_head}{f", {facts.config.hidden} wide" if facts.config.resolved_hidden else ""} |
| input | upright RGB squares of {facts.input_px} px, {facts.crop_share:.3g} of the shorter side |
| temperature | {facts.temperature:.3f} |
| made | {report.made_at:%Y-%m-%d} by webnoise-curation {facts.tool_version} |"""


def _learned_from(report: ClassifierReport) -> str:
    facts, usage = report.facts, report.usage
    another = (
        f" {usage.under_another:,} of the former count under another category than the export gives."
        if usage.under_another
        else ""
    )
    return f"""## What it was learned from

The cleaned set `{facts.cleaned_set_hash}`, exported to {_code(report.export)}: {usage.samples:,} samples, of which
{_learned(usage)} were learned from by the method `{facts.config.method}` ({report.method}) and {usage.held_out:,} were
held out to select the state.{another} {_believed(facts.config, usage)}{_category_vectors(facts.config)}"""


def _learned(usage: Usage) -> str:
    if not usage.base:
        return f"{usage.used:,}"
    return f"{usage.base:,} base samples" + (f" and {usage.used:,} from the web" if usage.used else "")


def _believed(config: ClassificationConfig, usage: Usage) -> str:
    """How much of it is wrong, as far as the noise model has spoken."""
    if usage.noise is None:
        return "No noise model has spoken of these samples."
    of_all = f"Of all web images in the export {usage.noise:.1%} are believed to be under a wrong category"
    if usage.noise_used is None:
        return f"{of_all}; none of them was learned from."
    alike = config.method == "hybrid" and config.hybrid_weights != "samples"
    counted = "all counting alike" if alike else "by its weights"
    return f"{of_all}, of what was learned from, {counted}, {usage.noise_used:.1%}."


def _category_vectors(config: ClassificationConfig) -> str:
    """What the hybrid learned beside the web, or instead of it."""
    if config.method != "hybrid" or config.hybrid_parts == "h" or config.category_vectors is None:
        return ""
    from_names = config.category_vectors == FROM_TEXT
    source = "the names of the categories, read by the backbone" if from_names else _code(config.category_vectors)
    zero_shot = ""
    if config.hybrid_parts == "v":
        mean = " the mean of their embeddings counted in training, and" if config.eta else ""
        zero_shot = f" Of the web images{mean} those held out counted in selecting the state; nothing else of them did."
    return f"\n\nCategory vectors: {source}.{zero_shot}"


def _how_good(report: ClassifierReport) -> str:
    if report.test is None:
        return "## How good it is\n\nNot measured: no test source was given."
    test, found = report.test, report.test.evaluation
    rows = [
        ("accuracy", _interval(found.accuracy)),
        ("mean accuracy of categories", _interval(found.balanced_accuracy)),
    ]
    rows += [(f"accuracy on {role} categories", _interval(value)) for role, value in found.by_role.items()]
    if found.top_accuracy is not None:
        rows.append((f"among the first {found.top}", f"{found.top_accuracy:.1%}"))
    rows += [
        ("expected calibration error", f"{found.calibration_error:.1%}"),
        ("negative log-likelihood", f"{found.negative_log_likelihood:.3f} (guessing {found.guessing_likelihood:.3f})"),
    ]
    worst = "; ".join(
        f"{_code(item.category)} {item.accuracy.value:.0%} of {item.images:,}" for item in found.categories[:5]
    )
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"""## How good it is

On {found.images:,} test images of {_code(test.source)}, looked at once, after training{_left_out(test)}:

| figure | value, 95% interval |
|---|---|
{table}

Least accurate categories: {worst}. `report.html` shows all of them, and the worst errors."""


def _left_out(test: Judgement) -> str:
    reasons = (
        (test.seen, "had been trained on"),
        (sum(test.unknown.values()), "were of categories it does not know"),
        (len(test.unreadable), "were unreadable"),
    )
    told = ", ".join(f"{count:,} {reason}" for count, reason in reasons if count)
    return f" (left out: {told})" if told else ""


def _limits(report: ClassifierReport) -> str:
    facts = report.facts
    lines = [
        "It always answers with one of its categories, also for a picture that shows none of them.",
        "Its probabilities are calibrated on held-out web images, whose categories may be wrong themselves.",
    ]
    if not report.usage.held_out:
        lines[1] = "Its probabilities are not calibrated: no samples were held out."
    if facts.config.method == "hybrid" and facts.config.hybrid_parts == "v":
        lines.append(
            "None of its categories was learned from images: it tells them apart by their category vectors, as far as "
            "the base categories show what these mean."
        )
    elif facts.novel:
        novel = len(set(facts.novel) & set(facts.categories))
        lines.append(
            f"{novel:,} of its categories were gathered from the web by name: what the web shows under a name is not "
            "what occurs in nature or in use, and biases of the search stay in the classifier."
        )
    if report.test is not None and report.test.evaluation.absent:
        lines.append(f"{len(report.test.evaluation.absent):,} categories had no test image: nothing is known of them.")
    lines.append("The licences of the images are those of their sources; the card of the cleaned set counts them.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _use(report: ClassifierReport) -> str:
    needs = (
        "`model.safetensors` holds backbone and head; nothing else is needed."
        if report.facts.config.finetune
        else "The frozen backbone is loaded by its name; `model.safetensors` holds the head alone."
    )
    onnx, side = "", report.facts.input_px
    if report.onnx is not None:
        onnx = f"""

`{report.onnx.path.name}` takes uint8 squares (batch, {side}, {side}, 3) and gives the same probabilities (largest
difference {report.onnx.difference:.1e}); its metadata has the category names."""
    return f"""## How to use it

```sh
curate predict . photographs --out predictions.csv
```

```python
from pathlib import Path
from curation.sources import list_source
from pipelines.classification.checkpoint import load_classifier
from pipelines.classification.prediction import predict_images

classifier = load_classifier(Path("model.safetensors"))
predictions = predict_images(classifier, list_source(Path("photographs"), labelled=False).entries)
print(classifier.facts.categories, predictions.probabilities)
```

{needs}{onnx}"""


def _interval(found: Interval) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _code(text: str) -> str:
    """A code span that no back quote, line break or table bar in the text can leave."""
    inside = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{inside}`" if inside else "``"
