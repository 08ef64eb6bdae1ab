"""DeepLabCut: CollectedData_<scorer>.csv of each folder of labelled frames, and config.yaml.

Form: deeplabcut.github.io, "Using data labeled in other software": header rows scorer, bodyparts,
coords, with several animals scorer, individuals, bodyparts, coords; then a row a frame, its path in
one column or, since DeepLabCut 2.2, in three.
"""

import csv
import posixpath

from stages.openpose.coco.findings import Findings
from stages.openpose.convert.fields import as_text, as_yaml, number
from stages.openpose.convert.labelled import Body, Export, Keypoint, LabelledImage, Person, Wanted
from stages.openpose.errors import InputError

UNIQUE = "single"  # DeepLabCut's name for points that belong to no animal
Column = tuple[str, str, str]  # individual, body part, coordinate


def is_collected(name: str) -> bool:
    """Whether a file is called like DeepLabCut's labels."""
    base = posixpath.basename(name)
    return base.startswith("CollectedData") and base.endswith(".csv")


def read(
    data: bytes, where: str, config: bytes | None, wanted: Wanted, findings: Findings
) -> Export:
    """The frames of one CSV; every labelled point counts as visible.

    Args:
        config: the project's config.yaml, whose `skeleton` has the edges.

    Raises:
        InputError: no such CSV, or one of predictions.
    """
    try:
        rows = list(csv.reader(as_text(data, where).splitlines()))
    except csv.Error as problem:
        raise InputError(f"{where}: not CSV ({problem}); export it again") from None
    columns, first, body_row = _header(rows, where)
    parts = _body_parts(columns, findings)
    edges = _edges(config, parts, findings) if config else ()
    category = wanted.category_for(findings)
    images = []
    for line, row in enumerate(rows[body_row:], body_row + 1):
        if not any(row):
            continue
        name = "/".join(cell for cell in row[:first] if cell).replace("\\", "/")
        owner = f"{where}: line {line}"
        if len(row) != first + len(columns):
            findings.refuse(
                f"{owner}: expected {first + len(columns)} columns as in the header, found "
                f"{len(row)}; export it again"
            )
            continue
        people = _people(row[first:], columns, parts, owner, category, findings)
        if people:
            images.append(LabelledImage(name, people))
        else:
            findings.derived["frames without a labelled point, left out"] += 1
    return Export([Body(category, parts, edges)], images)


def _header(rows: list[list[str]], where: str) -> tuple[list[Column], int, int]:
    """The columns of points, the index of the first of them, the row of the first frame."""
    names = [row[0].strip().casefold() if row else "" for row in rows[:4]]
    several = names[:4] == ["scorer", "individuals", "bodyparts", "coords"]
    if not several and names[:3] != ["scorer", "bodyparts", "coords"]:
        raise InputError(
            f"{where}: expected header rows scorer, (individuals,) bodyparts, coords, found "
            f"{', '.join(names[:3]) or 'nothing'}; it is no CollectedData file of DeepLabCut"
        )
    depth = 4 if several else 3
    coords = rows[depth - 1]
    first = next((i for i, cell in enumerate(coords) if i and cell), len(coords))
    if "likelihood" in coords:
        raise InputError(
            f"{where}: coords: expected x and y, found likelihood: predictions, not labels"
        )
    individuals = rows[1][first:] if several else [""] * (len(coords) - first)
    columns = list(zip(individuals, rows[depth - 2][first:], coords[first:], strict=False))
    if not columns or {c for *_, c in columns} != {"x", "y"} or len(set(columns)) < len(columns):
        raise InputError(f"{where}: coords: expected x and y of every body part, once")
    return columns, first, depth


def _body_parts(columns: list[Column], findings: Findings) -> tuple[str, ...]:
    """The body parts of the animals; those of no animal are left out."""
    own = [column for column in columns if column[0] != UNIQUE] or columns
    parts = tuple(dict.fromkeys(part for _, part, _ in own))
    for part in dict.fromkeys(part for _, part, _ in columns if part not in parts):
        findings.derived[f"points that belong to no animal, left out: {part}"] += 1
    return parts


def _people(
    cells: list[str],
    columns: list[Column],
    parts: tuple[str, ...],
    owner: str,
    category: str,
    findings: Findings,
) -> list[Person]:
    people: dict[str, Person] = {}
    values: dict[tuple[str, str], dict[str, str]] = {}
    for (individual, part, coord), cell in zip(columns, cells, strict=True):
        if part in parts and cell.strip() and cell.strip().casefold() != "nan":
            values.setdefault((individual, part), {})[coord] = cell
    for (individual, part), xy in values.items():
        title = f"{owner}, {individual}" if individual else owner
        x = number(xy.get("x"), findings, title, f"{part} x")
        y = number(xy.get("y"), findings, title, f"{part} y")
        if x is not None and y is not None:
            person = people.setdefault(individual, Person(title, [], category))
            person.keypoints.append(Keypoint(part, x, y))
    return list(people.values())


def _edges(
    config: bytes, parts: tuple[str, ...], findings: Findings
) -> tuple[tuple[int, int], ...]:
    """Edges of config.yaml between parts that are labelled."""
    listed = as_yaml(config, "config.yaml").get("skeleton")
    if not isinstance(listed, list) or not listed:
        findings.derived["no `skeleton` in config.yaml: no edges"] += 1
        return ()
    edges = []
    for edge in listed:
        if isinstance(edge, list) and len(edge) == 2 and all(end in parts for end in edge):
            edges.append((parts.index(edge[0]), parts.index(edge[1])))
        else:
            findings.derived["edges of config.yaml to points that are not labelled, left out"] += 1
    return tuple(edges)
