from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.config import Config, EmbeddingConfig, parse_config, read_config, render_config, write_config
from curation.errors import ConfigError, WorkspaceError
from curation.workspace import create_workspace, open_workspace


def test_config__the_written_file_gives_the_same_configuration(tmp_path: Path) -> None:
    config = Config(embedding=EmbeddingConfig(encoder='timm/x@"quoted" näme\\.safetensors'))
    write_config(config, tmp_path / "curate.toml")
    assert read_config(tmp_path / "curate.toml") == config


def test_config__every_key_is_explained() -> None:
    lines = render_config(Config()).splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            assert lines[number - 1].startswith("# ") and lines[number - 1] != "# None", line


def test_config__an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'similarity.lerning_rate'.*'similarity.learning_rate'"):
        parse_config({"similarity": {"lerning_rate": 0.1}}, "curate.toml")
    with pytest.raises(ConfigError, match=r"unknown key 'similarty'.*'similarity'"):
        parse_config({"similarty": {}}, "curate.toml")


def test_config__an_impossible_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"curate.toml: similarity.held_out = 2"):
        parse_config({"similarity": {"held_out": 2}}, "curate.toml")


def test_config__a_broken_file_says_where(tmp_path: Path) -> None:
    (tmp_path / "curate.toml").write_text("[images\n")
    with pytest.raises(ConfigError, match="line 1"):
        read_config(tmp_path / "curate.toml")


@given(st.text(max_size=30))
def test_config__any_encoder_name_survives_the_file(name: str) -> None:
    import tomllib

    config = Config(embedding=EmbeddingConfig(encoder=name))
    assert parse_config(tomllib.loads(render_config(config)), "here") == config


def test_workspace__is_made_once(tmp_path: Path) -> None:
    made = create_workspace(tmp_path / "ws", Config())
    assert open_workspace(tmp_path / "ws") == made
    with pytest.raises(WorkspaceError, match="a workspace already"):
        create_workspace(tmp_path / "ws", Config())


def test_workspace__refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(WorkspaceError, match="not an empty folder"):
        create_workspace(tmp_path / "mine", Config())
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep me"


def test_workspace__another_folder_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="curate init"):
        open_workspace(tmp_path)
