"""`poller simulate`: a Zoho on loopback to try the poller on."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from poller.cli.output import terminal
from poller.core.errors import UsageError

if TYPE_CHECKING:
    from poller.simulator import Simulator


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("simulate")(simulate)


def simulate(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Of the first data centre; 0: any free one.")] = 0,
    orgs: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many orgs there are.")] = 50,
    seed: Annotated[int, typer.Option(help="The same seed always makes the same fleet.")] = 1,
    speed: Annotated[float, typer.Option(min=0.0, help="How many times faster the counts change.")] = 1.0,
    latency: Annotated[float, typer.Option(min=0.0, help="Median time until a reply, in milliseconds.")] = 40.0,
    latency_p99: Annotated[float, typer.Option(min=0.0, help="99th percentile of it, in milliseconds.")] = 400.0,
    faults: Annotated[Path | None, typer.Option(help="A JSON file of faults.")] = None,
    write_orgs: Annotated[Path | None, typer.Option(help="Write the fleet there (.csv, .jsonl), to import.")] = None,
) -> None:
    """Simulate Zoho on loopback until Ctrl-C: tokens, counts, limits and, on demand, faults.

    Example: [bold]poller simulate --orgs 20 --write-orgs fleet.csv[/bold], then what it prints, in another terminal
    """
    from poller.simulator import Simulator, SimulatorOptions, load_faults

    file_format = _format_of(write_orgs)
    try:
        options = SimulatorOptions(
            port=port,
            orgs=orgs,
            seed=seed,
            speed=speed,
            latency_median_seconds=latency / 1_000,
            latency_p99_seconds=max(latency_p99, latency) / 1_000 if latency else 0.0,
            faults=load_faults(faults) if faults is not None else (),
        )
        simulator = Simulator(options)
    except OSError as refusal:
        raise UsageError(f"{faults} cannot be read: {refusal.strerror}", "name a readable file") from refusal
    except ValueError as wrong:
        what, remedy = (faults, f"correct {faults}") if faults else ("the fleet", "see `poller simulate --help`")
        raise UsageError(f"{what}: {wrong}", remedy) from wrong
    terminal.run(_serve(simulator, write_orgs, file_format))


def _format_of(path: Path | None) -> Literal["csv", "jsonl"]:
    if path is None or path.suffix == ".csv":
        return "csv"
    if path.suffix == ".jsonl":
        return "jsonl"
    raise UsageError(f"{path.name} is neither .csv nor .jsonl", "name a file that ends in .csv or .jsonl")


async def _serve(simulator: Simulator, write_orgs: Path | None, file_format: Literal["csv", "jsonl"]) -> None:
    try:
        async with simulator:
            if write_orgs is not None:
                _write(simulator, write_orgs, file_format)
            # Handle signals before printing that the simulator is ready: a script may stop it right then.
            with terminal.stop_signals() as stopped:
                _explain(simulator, write_orgs)
                await stopped.wait()
    except OSError as refusal:
        if refusal.errno is None:
            raise
        raise UsageError(
            f"the simulator cannot start: {refusal.strerror or refusal}", "choose another --port"
        ) from None


def _explain(simulator: Simulator, fleet: Path | None) -> None:
    """Prints the one line a script needs on standard output, and how to use it on standard error."""
    setting = json.dumps(simulator.data_centers_setting(), separators=(",", ":"))
    terminal.out(f"export POLLER_DATA_CENTERS='{setting}'")
    terminal.err(f"{simulator.options.orgs:,} orgs at {', '.join(simulator.urls.values())}, until Ctrl-C. To try them:")
    if fleet is None:
        terminal.err("  run the line above where the poller runs; --write-orgs FILE writes the fleet to import")
    else:
        terminal.err(f"  run the line above where the poller runs, then: poller orgs import {fleet} && poller poll")


def _write(simulator: Simulator, path: Path, file_format: Literal["csv", "jsonl"]) -> None:
    """Writes the fleet to a file that only its owner can read, although its secrets are made up."""
    try:
        path.touch(mode=0o600)
        with path.open("w", encoding="utf-8") as file:
            file.writelines(simulator.import_lines(file_format))
    except OSError as refusal:
        raise UsageError(f"{path} cannot be written: {refusal.strerror}", "name a file in a folder of yours") from None
