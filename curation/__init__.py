"""Web-noise image curation: which images gathered under a name do not show what the name says?"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("webnoise-curation")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
