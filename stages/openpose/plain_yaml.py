"""YAML as plain values: what readers of YAML pass over without a word is refused."""

import re
from typing import Any

import yaml

from stages.openpose.errors import InputError

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C takes a tenth


class _Yaml(LOADER):
    """Reads `5e-05` as a number, as YAML 1.2 does: so writes `dvc exp run -S
    train.weight_decay=0.00005`.
    """


_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


LONGEST_CHARACTERS = 1 << 21
DEEPEST = 100  # lists within lists; the reader in C crashes from some ten thousand on
_TOO_DEEP = re.compile(rf"(?:[-?:][ \t]+){{{DEEPEST}}}")


def parse_yaml(text: str, origin: str) -> Any:
    """The values of YAML text; `origin` names it in errors.

    Raises:
        InputError: not YAML; a key twice; a list or section that is used again; a date or number
            that does not exist; more than LONGEST_CHARACTERS, or nested deeper than DEEPEST.
    """
    if len(text) > LONGEST_CHARACTERS:
        raise InputError(f"{origin}: expected settings, found {len(text)} characters")
    if _depth(text) > DEEPEST or _TOO_DEEP.search(text):
        raise InputError(f"{origin}: not valid YAML: brackets within brackets, too deep")
    try:
        loader = _Yaml(text)
    except (yaml.YAMLError, UnicodeError) as problem:
        raise InputError(f"{origin}: not text that can be read ({problem})") from None
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_twice(node, origin, "", set())
        return loader.construct_document(node)
    except (yaml.YAMLError, ValueError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(f"{origin}: not valid YAML: {' '.join(str(problem).split())}") from None
    except RecursionError:
        raise InputError(f"{origin}: not valid YAML: brackets within brackets, too deep") from None
    finally:
        loader.dispose()


def _depth(text: str) -> int:
    """How deep brackets stand in each other, those within texts among them."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse_twice(node: yaml.Node, origin: str, place: str, seen: set[int]) -> None:
    """YAML's readers take the last of two equal keys without a word. A list or section that stands
    in several places (`&name`, `*name`) may hold itself, or be a thousand million long.
    """
    if not isinstance(node, yaml.ScalarNode) and id(node) in seen:
        raise InputError(
            f"{origin}: line {node.start_mark.line + 1}: a list or section that is used again by "
            "*name is not read; write it out"
        )
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item, origin, place, seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for name, value in node.value:
        full, line = f"{place}{name.value}", name.start_mark.line + 1
        if isinstance(name, yaml.ScalarNode) and name.value in lines:
            raise InputError(
                f"{origin}: key `{full}` stands twice, in lines {lines[name.value]} and {line}; "
                "delete one of them"
            )
        if isinstance(name, yaml.ScalarNode):
            lines[name.value] = line
        _refuse_twice(value, origin, f"{full}.", seen)
