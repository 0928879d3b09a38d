"""Who may import whom, that nobody imports in a circle, and that each library has one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("indexes", "curation", "pipelines", "app")

# A room may import itself and the rooms named here: app -> pipelines -> curation -> indexes.
MAY_IMPORT = {
    "indexes": set(),
    "curation": {"indexes"},
    "pipelines": {"curation", "indexes"},
    "app": {"curation", "pipelines"},
}

# Library -> the only modules that may import it.
DOORS = {
    "duckdb": {"curation.store.connection", "curation.store.schema"},
    "sqlite3": {"curation.store.journal"},
    "faiss": {"indexes.faiss_index"},
    "open_clip": {"curation.encoders.open_clip"},
    "timm": {"curation.encoders.timm"},
    "streamlit": {"app.review"},
    "numba": {"curation.similarity.concat2_kernel"},
    "typer": {"app.cli", "app.verbs"},
    "rich": {"app.terminal"},
    "torchvision": {"pipelines.classification.images"},
    "jinja2": {"curation.report.page"},
    "onnx": {"pipelines.classification.onnx_model"},
    "onnxruntime": {"pipelines.classification.onnx_model"},
    "onnxscript": {"pipelines.classification.onnx_model"},
    "ray": {"curation.engine"},
}


def modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def imports(path: Path, *, at_start_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_start_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = modules()


@pytest.mark.parametrize("name", MODULES)
def test_imports__go_one_way(name: str) -> None:
    room = name.partition(".")[0]
    foreign = {imported.partition(".")[0] for imported in imports(MODULES[name])} & {*ROOMS, "tests"} - {room}
    assert foreign <= MAY_IMPORT[room], f"{name} imports {foreign - MAY_IMPORT[room]}"


@pytest.mark.parametrize("library", DOORS)
def test_imports__one_door_per_library(library: str) -> None:
    users = {name for name, path in MODULES.items() if any(_is_part(found, library) for found in imports(path))}
    strangers = {user for user in users if not any(_is_part(user, door) for door in DOORS[library])}
    assert not strangers, f"{library} is imported by {strangers}; its door is {DOORS[library]}"


def _is_part(name: str, whole: str) -> bool:
    return name == whole or name.startswith(f"{whole}.")


def test_imports__no_cycles() -> None:
    graph = {
        name: {found for found in imports(path, at_start_only=True) if found in MODULES and found != name}
        for name, path in MODULES.items()
    }
    finished: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join((*trail[trail.index(name) :], name))}"
        if name not in finished:
            for found in sorted(graph[name]):
                visit(found, (*trail, name))
            finished.add(name)

    for name in graph:
        visit(name, ())


def test_stages__do_not_import_each_other() -> None:
    stages = {name for name in MODULES if name.startswith("curation.stages.") and name != "curation.stages.stage"}
    for name in stages:
        others = set(imports(MODULES[name])) & (stages - {name})
        assert not others, f"{name} imports the stage {others}"


def test_sql__stays_in_one_room() -> None:
    words = ("SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE")
    for name, path in MODULES.items():
        if name.startswith("curation.store"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.lstrip().startswith(words), f"{name}:{node.lineno} holds SQL"


def test_files__stay_short() -> None:
    long = {str(path): count for path in MODULES.values() if (count := len(path.read_text().splitlines())) > 320}
    assert not long, "a file that grows past one sentence is split"
