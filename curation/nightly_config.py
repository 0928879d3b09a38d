"""The section `[nightly]` of `curate.toml`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from curation.config_section import Section
from curation.errors import ExportError
from curation.export.splits import parse_split
from curation.priority import BEHIND_PEOPLE
from curation.values import Role


class NightlySource(Section):
    """One source of a night."""

    path: str = Field(description="as for `curate ingest`; a relative one begins at the workspace")
    role: Role = Field(description="base, novel or test")


class NotifyConfig(Section):
    """Who is told when a night failed, met a problem or departs from its history. What is told is one JSON document."""

    command: tuple[str, ...] = Field((), description="a command and its arguments; gets the document on its input")
    webhook: str = Field(
        "",
        description="the http or https address it is posted to; $NAME in it stands for an environment variable",
    )
    token_env: str = Field(
        "", description="the environment variable with the webhook's bearer token; secrets are never in this file"
    )


class NightlyConfig(Section):
    """What `curate nightly` does."""

    sources: tuple[NightlySource, ...] = Field(
        (), description='what is ingested, in this order, as in [{path = "/data/web", role = "novel"}]'
    )
    remove_gone: bool = Field(
        False, description="images that are gone from their source are no samples any more; decisions on them stay"
    )
    most_gone: float = Field(
        0.2, ge=0, le=1, description="a source that has lost a larger share of its images counts as vanished: a problem"
    )
    least_free_gb: float = Field(2.0, ge=0, description="free space, 10^9 bytes, without which a night does not begin")
    export_format: Literal["", "imagefolder", "csv", "parquet", "webdataset", "hf"] = Field(
        "", description="imagefolder, csv, parquet, webdataset or hf; empty = no export"
    )
    export_name: str = Field(
        "nightly",
        pattern=r"^[0-9A-Za-z][0-9A-Za-z_-]{0,31}$",
        description="exports are exports/NAME-NIGHT; the link exports/NAME-latest leads to the newest",
    )
    promise: float = Field(
        0.0, ge=0, lt=1, description="at most this share of the export is wrong, else there is none; 0 = no promise"
    )
    with_base: bool = Field(False, description="the clean base samples are exported too, at weight 1")
    everything: bool = Field(
        False, description="what the cleaned set leaves out is exported too, marked: most training methods want it"
    )
    split: str = Field(
        "", description="parts of the export that share no picture, as in train=0.9,val=0.1; empty = none"
    )
    train: tuple[str, ...] = Field(
        (), description="a command that runs on each new export; {export} in it stands for the export's folder"
    )
    niceness: int = Field(
        BEHIND_PEOPLE, ge=0, le=19, description="how far a night lowers its own priority: people come first; 0 = not"
    )
    report: bool = Field(True, description="write runs/NIGHT/report.html")
    keep_runs: int = Field(30, ge=0, description="folders of runs that are kept, the newest; 0 = all")
    keep_exports: int = Field(7, ge=0, description="nightly exports that are kept, the newest; 0 = all")
    notify: NotifyConfig = NotifyConfig()

    @field_validator("split")
    @classmethod
    def _is_split(cls, text: str) -> str:
        try:
            return text and ",".join(f"{name}={share:g}" for name, share in parse_split(text).items())
        except ExportError as error:
            raise ValueError(error.message) from error

    def shares(self) -> dict[str, float] | None:
        """The shares of the parts of an export by name; `None` where it is whole."""
        return parse_split(self.split) if self.split else None
