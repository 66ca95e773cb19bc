"""The warm-up compiles every family and says so, a line each."""

from __future__ import annotations

from crossmargin.apps import warmup


def test_warmup_says_a_line_for_every_family(capsys) -> None:
    assert warmup.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "kernels options", "kernels scan", "kernels cross", "kernels portfolio",
        "kernels questions",
    ]  # fmt: skip
    assert all("compiled in" in line or "found in the cache" in line for line in lines)


def test_a_second_warmup_compiles_nothing(capsys) -> None:
    warmup.main()
    capsys.readouterr()
    warmup.main()
    assert capsys.readouterr().out.count("found in the cache") == 5
