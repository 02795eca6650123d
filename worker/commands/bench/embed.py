"""`bench embed`: windows per second, beside the straightforward implementation."""

import json
from pathlib import Path

import click

from worker.commands.options import json_option


@click.command()
@click.option("--weights", type=click.Path(path_type=Path),
              help="As for `model embed`; default: Astromer 2, random weights.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), default="fp32",
              show_default=True)  # fmt: skip
@click.option("--windows", default=256, show_default=True, type=click.IntRange(16))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@json_option
def embed(
    weights: Path | None, device: str, precision: str, windows: int, rounds: int, *, as_json: bool
) -> None:
    """Embed windows whose lengths are log-normal, as in a stream, and by length.

    The straightforward implementation pads to 200 points, in float32 and batches of 32.
    """
    import torch

    from models.astromer import ASTROMER_2, Astromer
    from models.convert import load_any
    from models.speed import measure
    from worker.commands.model.failures import as_config_errors
    from worker.commands.model.training import torch_device

    with as_config_errors():
        torch.manual_seed(0)
        module = Astromer(ASTROMER_2).eval() if weights is None else load_any(weights)
    found = measure(module, torch_device(device), "bf16" if precision == "bf16" else "fp32",
                    windows, rounds)  # fmt: skip
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(
        f"{found['device']} {found['precision']}: {found['windows_per_s']:,} windows/s "
        f"({found['share_of_peak']:.0%} of peak), straightforward "
        f"{found['straightforward_per_s']:,}: {found['times_faster']} times faster"
    )
    for row in found["by_length"]:
        click.echo(f"{row['points']:4} points {row['windows_per_s']:>10,.1f} windows/s "
                   f"{row['gflop_per_s']:>7,} GFLOP/s")  # fmt: skip
