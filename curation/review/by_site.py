"""The samples that a source site has given: to look at when a site turns out to be a bad one."""

from __future__ import annotations

from curation.sites import host_of
from curation.store.samples import samples_with_address
from curation.store.snapshot import snapshot
from curation.values import Sample
from curation.workspace import Workspace

_LOOKED_AT = 10_000  # addresses that hold the name of the site, some of them elsewhere than in the host


def samples_of_site(workspace: Workspace, site: str, count: int) -> list[Sample]:
    """The first `count` samples, by id, whose page is of this site or below it; `site` may be a whole address."""
    host = host_of(site if "//" in site else f"//{site}")
    if not host:
        return []
    with snapshot(workspace) as connection:
        samples = samples_with_address(connection, host, _LOOKED_AT)
    hosts = ((sample, host_of(sample.crawl.source_url)) for sample in samples)
    return [sample for sample, found in hosts if found == host or found.endswith(f".{host}")][:count]
