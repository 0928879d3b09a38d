"""Every error this library raises on purpose.

    CurationError                 one sentence what was wrong, one hint what to do; exit code 1
    ├── ConfigError               curate.toml has an unknown key or an impossible value
    ├── WorkspaceError            the folder is not a workspace, or is one already
    │   └── WorkspaceBusyError    another command is changing the workspace
    ├── SourceError               a source of images cannot be ingested as asked
    ├── EncoderError              an encoder cannot be loaded, or its weights cannot be had
    ├── EmbeddingError            embeddings are missing, or were made by another encoder
    ├── SimilarityError           the similarity network cannot be trained, loaded or applied
    ├── NoiseModelError           the noise model cannot be learned, loaded or applied
    ├── SearchError               a search cannot be made as asked
    ├── StoreError                the catalogue or the journal of decisions cannot be used
    │   └── StoreBusyError        another process holds the catalogue
    ├── ExportError               a cleaned set cannot be written, or fails its check
    │   └── PromiseError          what an export was to promise cannot be promised
    ├── AuditError                an audit cannot be drawn or reported as asked
    ├── HistoryError              what a night left behind cannot be written
    ├── BackupError               a backup cannot be written, or is not one that can be restored
    ├── ReportError               a report cannot be written where asked
    ├── NightlyError              a step of a night cannot be done: no space, a command that fails, a webhook
    ├── TrainingError             what learns from an export cannot be trained, loaded or applied as asked
    ├── UnitsError                what starts a night by itself (systemd, cron, ...) cannot be written
    └── ReviewError               a page of the review cannot be shown, or a verdict not be taken, as asked

A bad *image* is never an exception beyond the room that decodes it: it is a row with a `reason`.
"""

from __future__ import annotations


class CurationError(Exception):
    """What was expected, what came and where (`message`), and what to do next (`hint`)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ConfigError(CurationError):
    """The configuration has an unknown key or a value outside its range."""


class WorkspaceError(CurationError):
    """The folder is not a workspace, or cannot become one."""


class WorkspaceBusyError(WorkspaceError):
    """Another command is changing the workspace; one does at a time."""


class SourceError(CurationError):
    """A source cannot be ingested as asked; nothing was written."""


class EncoderError(CurationError):
    """An encoder is unknown, or its weights cannot be had."""


class EmbeddingError(CurationError):
    """Embeddings are missing, damaged, or of another encoder."""


class SimilarityError(CurationError):
    """The similarity network cannot be trained, loaded or applied."""


class NoiseModelError(CurationError):
    """The noise model cannot be learned, loaded or applied."""


class SearchError(CurationError):
    """The query of a search is no usable image or text, or nothing can match its filters."""


class StoreError(CurationError):
    """The catalogue or the journal of decisions cannot be read or written."""


class StoreBusyError(StoreError):
    """Another process held the catalogue for longer than the time-out."""


class ExportError(CurationError):
    """A cleaned set cannot be written where asked, or what was written fails its check."""


class PromiseError(ExportError):
    """The noise probabilities do not allow what an export was to promise; nothing was written."""


class AuditError(CurationError):
    """An audit cannot be drawn or reported as asked."""


class HistoryError(CurationError):
    """What a night left behind cannot be written."""


class BackupError(CurationError):
    """A backup cannot be written where asked, or a file is not a whole backup of this tool."""


class ReportError(CurationError):
    """A report cannot be written where asked."""


class NightlyError(CurationError):
    """A step of a night cannot be done; what was done before it stays."""


class TrainingError(CurationError):
    """A model cannot be trained, resumed, loaded or applied as asked."""


class UnitsError(CurationError):
    """Units cannot be written where asked, or cannot hold the path of the workspace; no file was overwritten."""


class ReviewError(CurationError):
    """A page of the review cannot be shown, or a verdict cannot be taken, as asked."""
