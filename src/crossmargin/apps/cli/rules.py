"""Commands about rulebooks: lint, diff, show.

In     names of shipped rulebooks, or TOML files.
Out    findings, differences, values; an exit code.
Owns   how a rulebook is flattened into dotted keys.
Never  changes a rulebook.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from crossmargin.apps.cli.outcome import Exit, to_json

if TYPE_CHECKING:
    from crossmargin.api import Rulebook

AsJson = Annotated[bool, Parameter(name="--json", negative="")]
ABSENT = "-"


def lint(rulebook: str = "prime-24h", *, as_json: AsJson = False) -> int:
    """Check a rulebook for what no single value shows; exits 1 where a law of the method breaks.

    Parameters
    ----------
    rulebook
        A shipped rulebook (prime-24h, exchange-4h) or a TOML file.
    as_json
        Print the findings as JSON.
    """
    from crossmargin import api

    rules = api.load_rulebook(rulebook)
    found = api.lint(rules)
    errors = sum(one.severity == "error" for one in found)
    if as_json:
        rows = [
            {"severity": str(one.severity), "key": one.key, "value": one.value,
             "problem": one.problem, "remedy": one.remedy}
            for one in found
        ]  # fmt: skip
        print(to_json({**name_of(rules), "errors": errors, "findings": rows}))
        return Exit.FOUND if errors else Exit.OK
    from crossmargin.apps.cli import show

    listed = [
        (str(one.severity), one.key, str(one.value), one.problem, one.remedy) for one in found
    ]
    if listed:
        columns = ("severity", "key", "note: found", "note: problem", "note: remedy")
        show.put(show.table(title_of(rules), columns, listed, 2))
    words = f"{errors} errors, {len(found) - errors} warnings" if found else "clean"
    show.put(f"{title_of(rules)}: {words}")
    return Exit.FOUND if errors else Exit.OK


def diff(old: str, new: str, *, as_json: AsJson = False) -> int:
    """Show what differs between two rulebooks; exits 1 where something does.

    Parameters
    ----------
    old
        A shipped rulebook or a TOML file.
    new
        The one it is compared with.
    as_json
        Print the differences as JSON.
    """
    from crossmargin import api

    first, second = api.load_rulebook(old), api.load_rulebook(new)
    a, b = flat(first), flat(second)
    keys = [*a, *(key for key in b if key not in a)]
    differ = [
        (key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in keys if a.get(key) != b.get(key)
    ]
    if as_json:
        rows = [{"key": key, "old": x, "new": y} for key, x, y in differ]
        print(to_json({"old": name_of(first), "new": name_of(second), "differences": rows}))
    else:
        from crossmargin.apps.cli import show

        columns = ("key", title_of(first), title_of(second))
        lines = [(key, str(x), str(y)) for key, x, y in differ]
        show.put(show.table(f"{len(differ)} of {len(keys)} values differ", columns, lines))
    return Exit.FOUND if differ else Exit.OK


def show(rulebook: str = "prime-24h", key: str = "", *, as_json: AsJson = False) -> int:
    """Show a rulebook's values by dotted key.

    Parameters
    ----------
    rulebook
        A shipped rulebook or a TOML file.
    key
        Only keys that begin with this, such as classes.BTC or margin.
    as_json
        Print the values as JSON.
    """
    from crossmargin import api

    rules = api.load_rulebook(rulebook)
    values = {name: value for name, value in flat(rules).items() if name.startswith(key)}
    if not values:
        sections = ", ".join(dict.fromkeys(name.partition(".")[0] for name in flat(rules)))
        raise api.InputInvalid("key", key, f"begin with one of {sections}")
    if as_json:
        print(to_json({**name_of(rules), "values": values}))
        return Exit.OK
    from crossmargin.apps.cli import show as screen

    lines = [(name, str(value)) for name, value in values.items()]
    screen.put(screen.table(title_of(rules), ("key", "value"), lines))
    screen.put(f"[bright_black]digest {rules.digest}[/]")
    return Exit.OK


def title_of(rules: Rulebook) -> str:
    """Return name and version."""
    return f"{rules.name} {rules.version}"


def name_of(rules: Rulebook) -> dict[str, object]:
    """Return what identifies a rulebook."""
    return {"rulebook": rules.name, "version": rules.version, "digest": rules.digest}


def flat(rules: Rulebook) -> dict[str, object]:
    """Return dotted key -> value; list entries go by their name, else by their place."""
    import msgspec

    answer: dict[str, object] = {}

    def walk(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for key, entry in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), entry)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], dict):
            for place, entry in enumerate(value):
                walk(f"{prefix}[{entry.get('name', place)}]", entry)
        else:
            answer[prefix] = value

    walk("", msgspec.to_builtins(rules))
    return answer
