"""The export to files: their content, other tools that read them, and interrupted exports."""

from __future__ import annotations

import asyncio
import csv
import fcntl
import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from poller.core.errors import DatabaseError, OperationError, UsageError
from poller.core.model import COLUMNS, USER_TYPES, Outcome, Snapshot, UserType
from poller.core.series import DaySelection
from poller.export import Exported, ExportFormat, export
from poller.export.folder import RECORD
from poller.store.database import connect
from poller.store.series import days as days_of_store
from poller.store.series.partitions import drop_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from poller.store.database import Database
    from tests.command import Ended

    Poller = Callable[..., Ended]

NAMES = ("acme", 'Ümläut & "Söhne", Ltd', "line\nbreak", "")
FIRST = datetime(2026, 10, 30, tzinfo=UTC)
DAYS = [(FIRST + timedelta(days=n)).date() for n in range(4)]
UNTIL = DAYS[-1]
ALL = DaySelection()


def poll(org_id: int, slot: datetime) -> Snapshot:
    """A snapshot; some polls fail."""
    number = int(slot.timestamp()) // 3_600 + org_id
    at = slot + timedelta(seconds=12, microseconds=345_678)
    counts = {kind: number % 1000 + place for place, kind in enumerate(USER_TYPES)}
    match number % 11:
        case 0:
            return Snapshot(org_id, slot, at, Outcome.UNAVAILABLE, "http_503")
        case 1:
            return Snapshot(org_id, slot, None, Outcome.MISSED, "no_worker")
        case 2:
            hidden = {UserType.ADMIN: "NO_PERMISSION", UserType.ALL: "timeout"}
            known = {kind: count for kind, count in counts.items() if kind not in hidden}
            return Snapshot(org_id, slot, at, Outcome.PARTIAL, "timeout", hidden, counts=known)
        case _:
            return Snapshot(org_id, slot, at, Outcome.OK, counts=counts)


async def write_fleet(database: Database) -> None:
    """Three orgs with names that are hard to quote, polled every six hours around the end of a month."""
    await database.execute("INSERT INTO orgs (name, data_center) SELECT unnest($1::text[]), 'us'", list(NAMES[:3]))
    slots = [FIRST + timedelta(hours=6 * n) for n in range(4 * len(DAYS))]
    await write_snapshots(database, [poll(org_id, slot) for org_id in (1, 2, 3) for slot in slots])


@pytest.fixture
async def fleet(database: Database) -> Database:
    await write_fleet(database)
    return database


async def run(
    database: Database,
    folder: Path,
    output: ExportFormat = ExportFormat.PARQUET,
    selection: DaySelection = ALL,
    *,
    since: date | None = None,
    until: date = UNTIL,
) -> Exported:
    return await export(
        database, folder, output, selection, since=since, until=until, progress=lambda _done, _total: None
    )


async def view(database: Database, where: str = "true") -> list[tuple[Any, ...]]:
    rows = await database.fetch(f"SELECT * FROM user_counts WHERE {where}")
    return sorted((tuple(row) for row in rows), key=by_slot_and_type)


def by_slot_and_type(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (row[0], row[3], row[2])


def files(folder: Path) -> list[Path]:
    """The files of the days, by day."""
    return sorted(folder.glob("user_counts_*"))


def inodes(folder: Path) -> dict[str, int]:
    """The inode of each file; a rewritten file has another one."""
    return {path.name: path.stat().st_ino for path in files(folder)}


def read_parquet(folder: Path) -> list[tuple[Any, ...]]:
    rows = [tuple(row.values()) for path in files(folder) for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=by_slot_and_type)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_parquet_files_hold_the_rows_of_the_view(fleet: Database, tmp_path: Path) -> None:
    done = await run(fleet, tmp_path)
    assert names(tmp_path) == [RECORD, *(f"user_counts_{day}.parquet" for day in DAYS)]
    expected = await view(fleet)
    assert read_parquet(tmp_path) == expected
    assert (done.written, done.kept, done.rows) == (4, 0, len(expected))
    assert len(expected) == 3 * 16 * 10
    assert {row[6] for row in expected} == {"ok", "partial", "unavailable", "missed"}
    assert done.bytes == sum(path.stat().st_size for path in files(tmp_path))


async def test_csv_files_hold_the_rows_of_the_view(fleet: Database, tmp_path: Path) -> None:
    done = await run(fleet, tmp_path, ExportFormat.CSV)
    found = []
    for path in files(tmp_path):
        with path.open(encoding="utf-8", newline="") as file:
            found += list(csv.DictReader(file))
    expected = await view(fleet)
    assert len(found) == len(expected) == done.rows
    for row, (org_id, org, user_type, slot, polled_at, count, outcome, error) in zip(
        sorted(found, key=lambda row: (int(row["org_id"]), row["slot"], row["user_type"])), expected, strict=True
    ):
        assert list(row) == ["org_id", "org", "user_type", "slot", "polled_at", "count", "outcome", "error"]
        texts = (str(org_id), org, user_type, "" if count is None else str(count), outcome, error or "")
        assert tuple(row[name] for name in ("org_id", "org", "user_type", "count", "outcome", "error")) == texts
        assert datetime.fromisoformat(row["slot"]) == slot
        assert (datetime.fromisoformat(row["polled_at"]) if row["polled_at"] else None) == polled_at


async def test_a_file_is_in_the_order_of_org_slot_and_type(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path)
    assert len(files(tmp_path)) == len(DAYS)
    for path in files(tmp_path):
        rows = [(row["org_id"], row["slot"], row["user_type"]) for row in pq.read_table(path).to_pylist()]
        types = [kind.value for kind in USER_TYPES]
        assert rows == sorted(rows, key=lambda row: (row[0], row[1], types.index(row[2])))


def ask_duckdb(query: str) -> list[tuple[Any, ...]]:
    """The rows of a query, run in a separate process because DuckDB reports leaks at the end of a long process."""
    script = "import duckdb, json, sys; print(json.dumps(duckdb.connect().execute(sys.argv[1]).fetchall()))"
    told = subprocess.run([sys.executable, "-c", script, query], capture_output=True, text=True, check=True)
    assert told.stderr == ""
    return [tuple(row) for row in json.loads(told.stdout)]


async def test_duckdb_reads_parquet_with_types_and_time_zones(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path)
    found = ask_duckdb(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{tmp_path}/*.parquet')")
    assert dict(found) == {
        "org_id": "INTEGER",
        "org": "VARCHAR",
        "user_type": "VARCHAR",
        "slot": "TIMESTAMP WITH TIME ZONE",
        "polled_at": "TIMESTAMP WITH TIME ZONE",
        "count": "INTEGER",
        "outcome": "VARCHAR",
        "error": "VARCHAR",
    }
    query = "SELECT count(*), sum(count), count(error), epoch_us(min(slot)), epoch_us(max(polled_at)) FROM "
    (answer,) = ask_duckdb(f"{query} '{tmp_path}/*.parquet'")
    expected = await fleet.fetchrow(
        "SELECT count(*), sum(count), count(error), min(slot) AS since, max(polled_at) AS until FROM user_counts"
    )
    assert expected is not None
    assert answer[:3] == tuple(expected)[:3]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert [epoch + timedelta(microseconds=at) for at in answer[3:]] == [expected["since"], expected["until"]]


async def test_duckdb_reads_the_csv_with_time_zones(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path, ExportFormat.CSV)
    kinds = dict(ask_duckdb(f"SELECT column_name, column_type FROM (DESCRIBE FROM '{tmp_path}/*.csv')"))
    (answer,) = ask_duckdb(f"SELECT count(*), sum(count) FROM '{tmp_path}/*.csv'")
    assert (kinds["slot"], kinds["polled_at"]) == ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE")
    assert (kinds["org_id"], kinds["count"]) == ("BIGINT", "BIGINT")
    assert answer == tuple(await fleet.fetchrow("SELECT count(*), sum(count) FROM user_counts") or ())


async def test_pandas_reads_the_folder_with_types_and_time_zones(fleet: Database, tmp_path: Path) -> None:
    import pandas as pd

    await run(fleet, tmp_path)
    frame = pd.read_parquet(tmp_path, dtype_backend="numpy_nullable")
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "org_id": "Int32",
        "org": "string",
        "user_type": "string",
        "slot": "datetime64[us, UTC]",
        "polled_at": "datetime64[us, UTC]",
        "count": "Int32",
        "outcome": "string",
        "error": "string",
    }
    expected = await view(fleet)
    assert len(frame) == len(expected)
    assert int(frame["count"].isna().sum()) == sum(row[5] is None for row in expected) > 0
    assert frame["slot"].min().to_pydatetime() == FIRST


async def test_an_export_contains_only_the_selected_orgs_and_types(fleet: Database, tmp_path: Path) -> None:
    selection = DaySelection((2,), (UserType.ACTIVE, UserType.ADMIN))
    expected = await view(fleet, "org_id = 2 AND user_type IN ('ActiveUsers', 'AdminUsers')")
    for output in ExportFormat:
        done = await run(fleet, tmp_path / output, output, selection)
        assert done.rows == len(expected) == 32
    assert read_parquet(tmp_path / "parquet") == expected
    with (tmp_path / "csv" / f"user_counts_{DAYS[0]}.csv").open(newline="") as file:
        assert [(row["org"], row["user_type"]) for row in csv.DictReader(file)][:2] == [
            (NAMES[1], "ActiveUsers"),
            (NAMES[1], "AdminUsers"),
        ]


async def test_a_large_day_is_exported_in_blocks(
    fleet: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(days_of_store, "BLOCK", 5)
    await run(fleet, tmp_path)
    assert read_parquet(tmp_path) == await view(fleet)
    assert {pq.ParquetFile(path).num_row_groups for path in files(tmp_path)} == {3}


@pytest.mark.parametrize("output", ExportFormat)
async def test_an_interrupted_export_continues_where_it_stopped(
    fleet: Database, tmp_path: Path, output: ExportFormat
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == total - 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await export(fleet, tmp_path, output, ALL, since=None, until=UNTIL, progress=interrupt)
    first = inodes(tmp_path)
    assert len(first) == 2
    done = await run(fleet, tmp_path, output)
    assert (done.written, done.kept) == (2, 2)
    assert len(inodes(tmp_path)) == 4
    assert inodes(tmp_path).items() > first.items()


async def test_a_day_whose_export_fails_leaves_no_file_and_no_entry(
    fleet: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: Any) -> Any:
        yield (await anext(whole(self)))[:3]
        raise ConnectionResetError(104, "Connection reset by peer")

    whole = days_of_store.DayReader.blocks
    monkeypatch.setattr(days_of_store.DayReader, "blocks", broken)
    with pytest.raises(DatabaseError, match="Connection reset by peer"):
        await run(fleet, tmp_path)
    assert names(tmp_path) == []
    monkeypatch.undo()
    await run(fleet, tmp_path)
    assert read_parquet(tmp_path) == await view(fleet)


@pytest.mark.parametrize("output", ExportFormat)
async def test_a_full_disk_is_not_reported_as_an_unreachable_database(
    fleet: Database, tmp_path: Path, output: ExportFormat
) -> None:
    # A partial file that is a link to a device on which there is never room.
    (tmp_path / f".user_counts_{DAYS[1]}.{output}.partial").symlink_to("/dev/full")
    with pytest.raises(OperationError, match=f"{DAYS[1]}.{output} cannot be written: No space left on device;") as full:
        await run(fleet, tmp_path, output)
    assert not isinstance(full.value, DatabaseError)
    assert names(tmp_path) == [RECORD, f"user_counts_{DAYS[0]}.{output}"]
    assert (await run(fleet, tmp_path, output)).written == 3


async def test_only_days_whose_snapshots_changed_are_exported_again(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path)
    before = inodes(tmp_path)
    again = await run(fleet, tmp_path)
    assert (again.written, again.kept, again.rows) == (0, 4, 0)
    late = FIRST + timedelta(days=1, hours=1)
    await write_snapshots(fleet, [poll(1, late)])
    done = await run(fleet, tmp_path)
    assert (done.written, done.kept, done.rows) == (1, 3, 13 * 10)
    assert read_parquet(tmp_path) == await view(fleet)
    assert {name for name, _ in inodes(tmp_path).items() - before.items()} == {f"user_counts_{DAYS[1]}.parquet"}


async def test_every_change_of_a_snapshot_changes_the_fingerprint_of_its_day(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path, until=DAYS[0])
    columns = {
        "polled_at": "polled_at + interval '1 us'",
        "outcome": "'rejected'",
        "error": "'other'",
        "errors": """'{"AllUsers": "x"}'""",
        **{column: f"coalesce({column}, 0) + 1" for column in COLUMNS.values()},
    }
    for column, value in columns.items():
        await fleet.execute(
            f"UPDATE org_snapshots SET {column} = {value} WHERE org_id = 1 AND slot = $1 AND polled_at IS NOT NULL",
            FIRST,
        )
        assert (await run(fleet, tmp_path, until=DAYS[0])).written == 1, column
        assert (await run(fleet, tmp_path, until=DAYS[0])).kept == 1, column


async def test_a_deleted_file_is_exported_again(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path)
    (tmp_path / f"user_counts_{DAYS[2]}.parquet").unlink()
    done = await run(fleet, tmp_path)
    assert (done.written, done.kept) == (1, 3)


async def test_exported_days_whose_snapshots_were_dropped_are_left_unchanged(fleet: Database, tmp_path: Path) -> None:
    await fleet.execute("UPDATE rollup_state SET rolled_until = $1", DAYS[0])
    await run(fleet, tmp_path)
    before = read_parquet(tmp_path)
    await roll_up(fleet, UNTIL + timedelta(days=40))
    assert await drop_partitions(fleet, datetime(2026, 11, 1, tzinfo=UTC)) == ["org_snapshots_2026_10"]
    await run(fleet, tmp_path)
    assert read_parquet(tmp_path) == before
    # A row that comes for a dropped month makes the month again, with nothing else in it.
    await write_snapshots(fleet, [poll(1, FIRST)])
    done = await run(fleet, tmp_path)
    assert (done.written, done.kept) == (0, 4)
    assert read_parquet(tmp_path) == before


async def test_days_without_a_snapshot_have_no_file(fleet: Database, tmp_path: Path) -> None:
    done = await run(fleet, tmp_path, since=DAYS[3], until=UNTIL + timedelta(days=10))
    assert (done.written, done.kept) == (1, 0)
    assert (await run(fleet, tmp_path / "later", since=UNTIL + timedelta(days=1))).written == 0


async def test_a_folder_holds_one_export(fleet: Database, tmp_path: Path) -> None:
    await run(fleet, tmp_path)
    others = (
        (ExportFormat.CSV, ALL),
        (ExportFormat.PARQUET, DaySelection((1,))),
        (ExportFormat.PARQUET, DaySelection(None, USER_TYPES[:1])),
    )
    for output, selection in others:
        with pytest.raises(UsageError, match="holds an export of something else; name another folder"):
            await run(fleet, tmp_path, output, selection)
    (tmp_path / RECORD).write_text("[1, 2]")
    with pytest.raises(UsageError, match="is not the record of an export"):
        await run(fleet, tmp_path)


async def test_a_second_export_into_a_folder_in_use_is_refused(fleet: Database, tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="another export writes into"):
        await run(fleet, tmp_path)
    os.close(handle)
    await run(fleet, tmp_path)


def test_the_export_command_reports_how_many_days_and_rows_it_wrote(
    poller: Poller, on_database: str, tmp_path: Path
) -> None:
    async def fill() -> None:
        async with await connect(on_database) as database:
            await write_fleet(database)

    asyncio.run(fill())
    counts, some = tmp_path / "counts", tmp_path / "some"
    ended = poller("export", "--format", "parquet", "--out", str(counts))
    assert (ended.code, ended.err) == (0, "")
    assert re.match(r"4 days written: 480 rows, [1-9]\d? kB, in ", ended.out)
    again = poller("export", "--format", "parquet", "--out", str(counts))
    assert again.out.startswith("0 days written, 4 as before: 0 rows, ")
    arguments = ["--since", "2026-10-31", "--org", "acme", "--org", NAMES[1], "--type", "adminusers"]
    few = poller("export", "--format", "csv", "--out", str(some), *arguments)
    assert few.out.startswith("3 days written: 24 rows, ")
    assert names(some) == [RECORD, *(f"user_counts_{day}.csv" for day in DAYS[1:])]


def test_an_invalid_export_request_is_one_line_with_exit_code_2(
    poller: Poller, on_database: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    out = ["--out", str(tmp_path / "out")]
    for arguments in (
        ["--format", "xlsx", *out],
        ["--format", "csv"],
        ["--format", "csv", "--out", str(tmp_path / "file")],
        ["--format", "csv", "--out", str(tmp_path / "file" / "below")],
        ["--format", "csv", *out, "--type", "Users"],
        ["--format", "csv", *out, "--since", "yesterday"],
        ["--format", "csv", *out, "--org", "nobody"],
    ):
        ended = poller("export", *arguments)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1), arguments
    empty = poller("export", "--format", "csv", *out)
    assert (empty.code, empty.out.split(":")[0]) == (0, "0 days written")


def test_without_pyarrow_a_parquet_export_names_the_remedy_and_csv_still_works(
    poller: Poller, on_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fill() -> None:
        async with await connect(on_database) as database:
            await write_fleet(database)

    asyncio.run(fill())
    monkeypatch.delitem(sys.modules, "poller.export.parquet_file", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ended = poller("export", "--format", "parquet", "--out", str(tmp_path / "a"))
    assert ended.code == 2
    assert ended.error.startswith("poller: Parquet needs pyarrow, which is not installed; run `pip install ")
    assert poller("export", "--format", "csv", "--out", str(tmp_path / "b")).code == 0
