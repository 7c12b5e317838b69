"""Do other engines read what we export? Starts a server, writes points of every type, exports them
as Parquet and as CSV, and compares what pyarrow, DuckDB, Polars and pandas (those installed) read.

    pip install pyarrow duckdb polars pandas
    python query/tests/parquet_readers.py target/release/firndb

Exits 1 when a reader differs, 2 when no reader is installed.
"""
from __future__ import annotations

import csv
import io
import math
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

START_NS = 1_700_000_000_000_000_000
ROWS = 3000
COLUMNS = ["time", "host", "zone", "count", "note", "big", "up", "usage"]
TAGS = ("host", "zone")


def lines(step_ns: int) -> str:
    """Three hosts, one of them without a zone; every type; gaps; text that needs quoting."""
    out = []
    for row in range(ROWS):
        host = row % 3
        tags = f"host=h{host}" + (",zone=a\\ b" if host else "")
        fields = [f"usage={row / 8}"]
        if row % 2:
            fields.append(f"count={row - 1500}i")
        if row % 5 == 0:
            fields.append(f"big={2**63 + row}u")
        if row % 7 == 0:
            fields.append(f"up={'true' if row % 2 else 'false'}")
        if row % 11 == 0:
            fields.append(f'note="say \\"{row}\\", ok"')
        out.append(f"cpu,{tags} {','.join(fields)} {START_NS + row * step_ns}")
    return "\n".join(out) + "\n"


class Server:
    """A server of its own on a free port, its data in a folder that goes with it."""

    def __init__(self, binary: str):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [binary, "serve", "--data-dir", self.folder.name, "--http-addr", f"127.0.0.1:{port}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(100):
            try:
                urllib.request.urlopen(self.url + "/ping")
                return self
            except OSError:
                time.sleep(0.1)
        raise SystemExit("the server does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def post(self, path: str, body: bytes = b"", **parameters):
        query = urllib.parse.urlencode(parameters)
        urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}?{query}", body)).read()

    def get(self, path: str, **parameters) -> bytes:
        return urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}").read()


def time_ns(text: str) -> int:
    """Nanoseconds of RFC 3339 with up to nine digits."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 10**9 + int((fraction or "0").ljust(9, "0"))


def expected(text: str) -> list[tuple]:
    """The rows of the CSV export, typed."""
    types = {"usage": float, "count": int, "big": int, "up": lambda v: v == "true"}
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        cells = [time_ns(row["time"])]
        cells += [types.get(c, str)(row[c]) if row[c] else None for c in COLUMNS[1:]]
        rows.append(tuple(cells))
    return sorted(rows, key=lambda row: (row[0], row[1]))


def plain(cell):
    """A cell without the reader's wrapping."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return cell.item() if hasattr(cell, "item") else cell


def rows_of(columns: dict) -> list[tuple]:
    """Rows of a dict of lists, in the order of `expected`."""
    rows = zip(*([plain(cell) for cell in columns[name]] for name in COLUMNS))
    return sorted(rows, key=lambda row: (row[0], row[1]))


def by_pyarrow(path: Path) -> list[tuple]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    table = pq.read_table(path)
    for tag in TAGS:
        assert pa.types.is_dictionary(table.schema.field(tag).type), table.schema
    want = {"usage": pa.float64(), "count": pa.int64(), "big": pa.uint64(), "up": pa.bool_(), "note": pa.string()}
    for name, kind in want.items():
        assert table.schema.field(name).type == kind, table.schema
    assert table.schema.field("time").type.tz == "UTC", table.schema
    columns = {name: table[name].to_pylist() for name in COLUMNS[1:]}
    columns["time"] = table["time"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist()
    return rows_of(columns)


def by_duckdb(path: Path) -> list[tuple]:
    import duckdb
    types = dict(duckdb.sql(f"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '{path}')").fetchall())
    want = {"usage": "DOUBLE", "count": "BIGINT", "big": "UBIGINT", "up": "BOOLEAN", "note": "VARCHAR", "host": "VARCHAR"}
    assert want.items() <= types.items(), types
    assert types["time"].startswith("TIMESTAMP"), types
    names = ", ".join(f'"{c}"' for c in COLUMNS[1:])
    rows = duckdb.sql(f"SELECT epoch_ns(time), {names} FROM '{path}'").fetchall()
    return sorted(rows, key=lambda row: (row[0], row[1]))


def by_polars(path: Path) -> list[tuple]:
    import polars as pl
    frame = pl.read_parquet(path)
    want = {"usage": pl.Float64, "count": pl.Int64, "big": pl.UInt64, "up": pl.Boolean, "note": pl.String}
    for name, kind in want.items():
        assert frame.schema[name] == kind, frame.schema
    frame = frame.with_columns(pl.col("time").dt.timestamp("ns"), *(pl.col(t).cast(pl.String) for t in TAGS))
    return rows_of({name: frame[name].to_list() for name in COLUMNS})


def by_pandas(path: Path) -> list[tuple]:
    import pandas as pd
    frame = pd.read_parquet(path, dtype_backend="pyarrow")
    frame["time"] = frame["time"].astype("datetime64[ns, UTC]").astype("int64")
    cells = {name: [None if pd.isna(cell) else cell for cell in frame[name]] for name in COLUMNS}
    return rows_of(cells)


READERS = {"pyarrow": by_pyarrow, "duckdb": by_duckdb, "polars": by_polars, "pandas": by_pandas}


def main() -> int:
    binary = sys.argv[1] if len(sys.argv) > 1 else "target/release/firndb"
    failed, ran = [], 0
    with Server(binary) as server, tempfile.TemporaryDirectory() as folder:
        for database, step_ns in (("us", 10_000_000), ("ns", 10_000_001)):
            server.post("/query", q=f"CREATE DATABASE {database}")
            server.post("/write", lines(step_ns).encode(), db=database)
            want = expected(server.get("/api/v1/export", db=database, measurement="cpu", format="csv").decode())
            assert len(want) == ROWS, len(want)
            path = Path(folder) / f"{database}.parquet"
            path.write_bytes(server.get("/api/v1/export", db=database, measurement="cpu"))
            for name, read in READERS.items():
                try:
                    got = read(path)
                except ImportError:
                    print(f"{name}: not installed")
                    continue
                ran += 1
                differ = [pair for pair in zip(got, want) if pair[0] != pair[1]]
                ok = not differ and len(got) == len(want)
                print(f"{name}, {database}: {len(got)} rows, {'equal' if ok else f'differ: {differ[:1]}'}")
                if not ok:
                    failed.append(name)
    return 1 if failed else 0 if ran else 2


if __name__ == "__main__":
    sys.exit(main())
