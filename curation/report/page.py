"""The facts of a report as one self-contained HTML page: jinja2's door, also for the pages of pipelines.

Everything from outside (names of categories, files, sites, queries, annotators) is escaped by the templates' engine;
the page also forbids itself scripts and anything that is not in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from curation.history.night import NewImages, NightFacts
from curation.report import charts, night_charts
from curation.report.facts import ReportFacts
from curation.report.pictures import Picture
from curation.report.thumbnails import Thumbnail

Drawing = Callable[..., Markup]

_PACKAGE = "curation.report"
_PARTS = re.compile(r"(?<=[_/-])(?=[^_/-])")
_DRAWINGS = (
    charts.rate_bar,
    charts.calibration_chart,
    charts.budget_chart,
    night_charts.noise_course,
    night_charts.bars,
    night_charts.promise_row,
    night_charts.small_course,
)
UNDRAWN = Thumbnail("", 0, 0, "its file could not be read")


def render_page(facts: ReportFacts, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The whole page; `thumbnails` by SHA-256, a picture without one is shown as a blank with the reason."""

    def thumbnail(picture: Picture) -> Thumbnail:
        return thumbnails.get(picture.sha256 or "", UNDRAWN)

    return render_template(_PACKAGE, "page.html", _DRAWINGS, facts=facts, thumbnail=thumbnail)


def render_template(package: str, template: str, drawings: tuple[Drawing, ...], **values: object) -> str:
    """A page that extends `frame.html`, in the look of the report, from a template of `package`.

    Templates may use those of the report, its filters, and `drawings` by the names of the functions. `style` is the
    report's style sheet.
    """
    style = files(_PACKAGE).joinpath("templates/style.css").read_text(encoding="utf-8")
    return _environment(package, drawings).get_template(template).render(style=style, **values)


@cache
def _environment(package: str, drawings: tuple[Drawing, ...]) -> Environment:
    """The templates, compiled once; a name that is not there stops the page."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in dict.fromkeys((package, _PACKAGE))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (percent, chance, number, moment, breakable, coded, words, images_of_new, excess_of_shift)
    environment.filters |= {function.__name__: function for function in filters}
    environment.globals |= {function.__name__: function for function in drawings}
    return environment


def percent(share: float | None, digits: int = 1) -> str:
    """A share, [0, 1], as text; a dash where it is unknown."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def chance(probability: float | None) -> str:
    """A probability in whole per cent, never as certain as 0 or 100."""
    if probability is None:
        return "–"
    return "< 1%" if probability < 0.01 else "> 99%" if probability > 0.99 else f"{100 * probability:.0f}%"


def number(value: int) -> str:
    """With thousands apart."""
    return f"{value:,}"


def moment(value: datetime) -> str:
    """To the minute; the page says once that times are UTC."""
    return f"{value:%Y-%m-%d %H:%M}"


def breakable(text: str) -> Markup:
    """Text that may be broken after "_", "/" and "-", where names of categories and files have no spaces."""
    return Markup("<wbr>").join(_PARTS.split(text))


def coded(sentence: str) -> Markup:
    """A sentence of ours with what stands between back quotes as code."""
    parts = sentence.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def words(name: str) -> str:
    """A name of ours ("label_flip") as words."""
    return name.replace("_", " ")


def images_of_new(new: NewImages | None) -> int | None:
    """How many images were new, `None` where that is not known."""
    return None if new is None else new.images


def excess_of_shift(night: NightFacts) -> float | None:
    """How far a night's new images lie from earlier ones, `None` where they were not compared."""
    return None if night.shift is None else night.shift.mmd.excess
