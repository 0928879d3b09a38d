"""The page itself: safe whatever names the web brings, whole by itself, and never broken by a bad picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.report.charts import budget_chart, calibration_chart, rate_bar
from curation.report.facts import report_facts
from curation.report.headline import Transfer
from curation.report.inputs import ReportInputs
from curation.report.page import breakable, chance, coded, percent, render_page
from curation.report.record import ReportRecord
from curation.report.thumbnails import Thumbnail
from curation.values import CrawlFacts, Decision, DecisionAction, FlagName, Sample
from tests.report_factory import CALIBRATION, NOW, estimate, flag, made_inputs, novel

VOID = {"meta", "img", "br", "wbr", "col", "rect", "path", "circle"}
EVIL = """"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;{{ 7 * 7 }}"""


class _Page(HTMLParser):
    """Tags that are open and were seen, addresses, ids, and what a reader reads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value or "" for _, attribute, value in self.attributes if attribute == name]


def page_of(inputs: ReportInputs, thumbnails: dict[str, Thumbnail] | None = None) -> _Page:
    page = _Page(render_page(report_facts(inputs), thumbnails or {}))
    assert page.open == []
    return page


def hostile_inputs(text: str) -> ReportInputs:
    """Every name that comes from outside is `text`."""

    def hostile(number: int) -> Sample:
        crawl = CrawlFacts(source_url=f"https://{text}.org/", query=text, title=text)
        return replace(novel(number, text), image_id=text, uri=text, crawl=crawl)

    samples = [hostile(n) for n in range(8)]
    flags = {
        item.sample_id: [replace(flag(item, name, samples[0]), reason=text)]
        for item, name in zip(samples[1:], FlagName, strict=True)
    }
    estimates = {item.sample_id: replace(estimate(item, 0.6, 0.2, text), explanation=text) for item in samples}
    judged = samples[7]
    annotator = text if text.strip() else "anna"
    return made_inputs(
        samples,
        [0.6] * 8,
        workspace=text,
        flags=flags,
        estimates=estimates,
        unreadable={judged.sample_id: text},
        decisions={judged.sample_id: Decision(judged.sample_id, DecisionAction.RELABEL, annotator, text)},
        before=ReportRecord(text, NOW, 0.5, {text: 0.9}, frozenset(), {text: frozenset(["a" * 16])}),
        damaged=(text,),
    )


def test_page__names_from_the_web_are_text() -> None:
    page = page_of(hostile_inputs(EVIL))
    assert page.seen["script"] == 0 and page.seen["img"] == 0
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in page.text.replace("\u200b", "") and "{{ 7 * 7 }}" in page.text


@settings(max_examples=25)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_page__any_name_adds_no_element_and_is_there_to_read(text: str) -> None:
    plain, page = page_of(hostile_inputs("plain")), page_of(hostile_inputs(text))
    assert set(page.seen) <= set(plain.seen) | {"wbr"} and text in page.text
    assert {name for _, name, _ in page.attributes} <= {name for _, name, _ in plain.attributes}


def test_page__loads_nothing_and_forbids_it() -> None:
    samples = [novel(n, source_url="https://a.org/x.jpg") for n in range(8)]
    drawn = {str(item.sha256): Thumbnail("data:image/jpeg;base64,AAAA", 152, 100) for item in samples}
    page = page_of(made_inputs(samples, [0.5] * 8), drawn)
    assert page.seen["img"] == 8 and page.seen["link"] == page.seen["script"] == page.seen["iframe"] == 0
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.values("src"))
    assert any("default-src 'none'" in value for value in page.values("content"))
    links = page.values("href")
    assert links and all(link.startswith("#") for link in links)
    ids = page.values("id")
    assert {link[1:] for link in links} <= set(ids) and len(ids) == len(set(ids))


def test_page__pictures_have_a_text_alternative_and_their_explanation() -> None:
    sample = novel(1)
    drawn = {str(sample.sha256): Thumbnail("data:image/jpeg;base64,AAAA", 10, 10)}
    page = page_of(made_inputs([sample], [0.97]), drawn)
    assert page.values("alt") == ["novel image wren/1.jpg listed under wren"]
    assert "Probably so: it looks like it." in page.values("title") and "97%" in page.text
    assert "looks like none of the categories" in page.text


def test_page__a_bad_picture_is_a_blank_with_the_reason() -> None:
    samples = [novel(1), novel(2)]
    reasons = {str(samples[0].sha256): Thumbnail("", 0, 0, "truncated <file>")}
    page = page_of(made_inputs(samples, [0.9, 0.1]), reasons)
    assert page.seen["img"] == 0
    assert "No picture: truncated <file>" in page.text and "No picture: its file could not be read" in page.text


def test_page__of_an_empty_workspace_says_what_is_missing() -> None:
    page = page_of(ReportInputs(workspace="new", made_at=NOW))
    for sentence in ("nothing has been run yet", "no base images yet", "no novel images yet", "nothing to compare"):
        assert sentence in page.text.replace("no report of an earlier run to compare", "nothing to compare")


def test_page__warns_where_the_transfer_is_not_trusted() -> None:
    facts = report_facts(made_inputs([novel(1)], [0.5]))
    assert 'class="warning"' not in render_page(facts, {})
    doubtful = replace(facts.headline, transfer=Transfer(0.2, False, "Do not trust them: another kind."))
    page = render_page(replace(facts, headline=doubtful), {})
    assert 'class="warning"' in page and "Do not trust them: another kind." in page


def test_page__says_what_it_leaves_out() -> None:
    samples = [novel(10 * n + k, f"c{n}") for n in range(100) for k in range(6)]
    page = page_of(made_inputs(samples, [0.5] * 600))
    assert "20 less noisy categories are left out" in page.text and "60 more" in page.text
    assert page.seen["figure"] == 480


@pytest.mark.parametrize(
    ("probability", "text"), [(None, "–"), (0.0, "< 1%"), (0.01, "1%"), (0.5, "50%"), (0.99, "99%"), (1.0, "> 99%")]
)
def test_chance__is_never_certain(probability: float | None, text: str) -> None:
    assert chance(probability) == text


def test_texts__by_hand() -> None:
    assert (percent(0.1234), percent(0.5, 0), percent(None)) == ("12.3%", "50%", "–")
    assert breakable("A_b/c-d__<e>") == "A_<wbr>b/<wbr>c-<wbr>d__<wbr>&lt;e&gt;"
    assert coded("Run `curate <b>` now, `again`") == "Run <code>curate &lt;b&gt;</code> now, <code>again</code>"


def test_charts__are_well_formed_and_lie_within_their_frame() -> None:
    from xml.etree import ElementTree

    inputs = made_inputs([novel(n) for n in range(30)], [n / 30 for n in range(30)])
    budget = report_facts(inputs).budget
    assert budget is not None
    for chart in (calibration_chart(CALIBRATION.bins), budget_chart(budget), rate_bar(0.3, 0.1, 0.6)):
        root = ElementTree.fromstring(chart)  # noqa: S314
        width, height = map(float, root.attrib["viewBox"].split()[2:])
        for dot in root.iter("circle"):
            assert 0 < float(dot.attrib["cx"]) < width and 0 < float(dot.attrib["cy"]) < height
    assert len(list(ElementTree.fromstring(calibration_chart(CALIBRATION.bins)).iter("circle"))) == 2  # noqa: S314
    assert list(ElementTree.fromstring(calibration_chart(())).iter("circle")) == []  # noqa: S314
