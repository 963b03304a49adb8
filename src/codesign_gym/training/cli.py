"""The command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from codesign_gym import __version__
from codesign_gym.errors import BadConfig, CodesignError
from codesign_gym.training import catalogue, tables
from codesign_gym.training.arguments import (
    Bits,
    Budget,
    Data,
    Device,
    InputShape,
    Json,
    Network,
    Option,
    Trust,
    options_of,
    refuse_beside_resume,
    shape_of,
    trusted,
)
from codesign_gym.training.config import DEFAULT_ENVIRONMENT, RunConfig, code_named, configure
from codesign_gym.training.folder import RunFolder
from codesign_gym.training.printing import console, errors, print_comparison, print_control, print_result

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Agents that choose a network's operators and precision, the accelerator it runs on, mappings and clocks.",
)
#: What a mistake on the command line raises; typer brings its own click, whose place varies with its version.
USAGE_ERROR: type[Any] = typer.BadParameter.__mro__[1]


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(__version__, highlight=False)
        raise typer.Exit


@app.callback()
def _global(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback for errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of the command itself; both are dealt with before this is called."""


@app.command()
def train(
    agent: Annotated[str, typer.Option(help="Id or YAML file.")] = "ppo",
    env: Annotated[str, typer.Option(help="Id; module:ns/Name-v0 imports a module first.")] = DEFAULT_ENVIRONMENT,
    network: Network = None,
    device: Device = None,
    data: Data = None,
    budget: Budget = None,
    floor: Annotated[float | None, typer.Option(help="Accuracy points that may be lost; a cost is minimised.")] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Designs to score, by default 200; steps where the environment is controlled.")
    ] = None,
    proposals: Annotated[int | None, typer.Option(help="Designs to propose, repeats included; default 4 each.")] = None,
    seed: int = 0,
    option: Option = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; goes on there if it was interrupted.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run as it was configured.")] = None,
    trust: Trust = False,
    json_: Json = False,
    *,
    context: typer.Context,
) -> None:
    """Train an agent (or run a search baseline) on an environment."""
    from codesign_gym.training import run as running

    if resume is not None:
        refuse_beside_resume(context)
        config, path = trusted(RunFolder(resume), trust).config(), resume
    else:
        options = options_of(network, device, data, budget, floor, option)
        config = configure(env, options, agent, evaluations, proposals, seed)
        path = run or running.default_path(config)
    result = _interruptible(config, path)
    if json_:
        console.print_json(json.dumps(result))
        return
    if result.get("kind") == "control":
        print_control(f"{config.agent}, {result['ledger']['simulator_evaluations']} steps, unseen episodes", result)
        console.print(f"run folder: {path} (plots/, tensorboard/, result.json)", highlight=False)
        return
    print_result(f"{config.agent}, {result['ledger']['simulator_evaluations']} evaluations", result)
    front = running.front_line(path, result)
    if front is not None:
        console.print(front, highlight=False, markup=False, soft_wrap=True)
    console.print(f"run folder: {path} (plots/, tensorboard/, evaluations.csv, result.json)", highlight=False)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A finished run folder.")],
    network: Network = None,
    device: Device = None,
    data: Data = None,
    budget: Budget = None,
    option: Option = None,
    trust: Trust = False,
    json_: Json = False,
) -> None:
    """Measure a run's design, or its policy on a device, network or budget it was not trained for."""
    from codesign_gym.training.evaluate import evaluate as evaluate_run

    result = evaluate_run(trusted(RunFolder(run), trust), options_of(network, device, data, budget, None, option))
    if json_:
        console.print_json(json.dumps(result))
        return
    if result.get("kind") == "control":
        print_control(f"{result['source']} of {run}, unseen episodes", result)
        for drawn in result["drawn"]:
            console.print(f"drawn: {drawn}", highlight=False, markup=False, soft_wrap=True)
        return
    within = "within" if result["feasible"] else "OUTSIDE"
    print_result(f"{result['source']} of {run}, {within} its limits", result)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Finished run folders of one problem.")],
    out: Annotated[Path, typer.Option(help="Where the plots go.")] = Path("runs/comparison"),
    json_: Json = False,
) -> None:
    """Compare runs: a table over agents, a Pareto plot, learning curves."""
    from codesign_gym.training.compare import compare as compare_runs

    rows = compare_runs(runs, out)
    if json_:
        console.print_json(json.dumps(rows))
        return
    print_comparison(rows)
    console.print(f"plots: {out}", highlight=False)


@app.command()
def cost(
    network: Annotated[str, typer.Argument(help="Id; YAML, ONNX or CSV file; or package.module:build.")],
    device: Annotated[str, typer.Option(help="Id or YAML file.")] = "bitfusion",
    bits: Bits = None,
    input_shape: InputShape = None,
    json_: Json = False,
) -> None:
    """What a network costs on a device, layer by layer, without any learning."""
    from codesign_gym.training.costing import layer_costs

    rows, total, doubts = layer_costs(network, device, bits, shape_of(input_shape))
    if json_:
        console.print_json(json.dumps({"layers": rows, "total": total, "outside_calibration": doubts}))
        return
    names = [name for name in rows[0] if name not in ("layer", "bits")]
    body = [
        [r["layer"], r["bits"], *(tables.metric(n, r[n]) for n in names)]
        for r in [*rows, {**total, "layer": "total", "bits": ""}]
    ]
    console.print(tables.table(f"{network} on {device}", ["layer", "w/a bits", *map(tables.heading, names)], body))
    more = [f"... and {len(doubts) - 10} more; --json gives all"] if len(doubts) > 10 else []
    for line in doubts[:10] + more:
        console.print(f"outside the calibration: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)


@app.command()
def calibrate(
    device: Annotated[str, typer.Option(help="Id or YAML file of the device to start from.")],
    measurements: Annotated[Path, typer.Option(help="CSV of measured layers or networks: latency_ms, energy_mJ, ...")],
    out: Annotated[Path, typer.Option(help="Device file to write.")],
    free: Annotated[
        str | None, typer.Option(help="Constants to fit, joined by commas; default: those marked free, else assumed.")
    ] = None,
    folds: Annotated[int | None, typer.Option(min=2, help="Parts kept aside in turn; default 5, or a network.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the folds and of where searches start.")] = 0,
    plots: Annotated[Path | None, typer.Option(help="Folder for a plot of predicted against measured.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that --out names.")] = False,
    json_: Json = False,
) -> None:
    """Fit a device's constants to your own measurements, with cross-validation, and write a new device file."""
    from rich.progress import track

    from codesign_gym.training import calibrate as calibrating

    calibrating.check_asked(device, out, force)
    names = [name.strip() for name in (free or "").split(",") if name.strip()]
    silent = not errors.is_terminal
    found = calibrating.calibrate(
        device,
        measurements,
        names,
        folds,
        seed,
        lambda work, total: track(work, "fitting", total, console=errors, transient=True, disable=silent),
    )
    calibrating.write(found, device, out)
    drawn = None if plots is None else plots / f"{out.stem}.png"
    if drawn is not None:
        calibrating.plot(found, drawn)
    if json_:
        console.print_json(json.dumps(calibrating.as_dict(found, out)))
        return
    title = f"{device} on {measurements.name}"
    console.print(tables.table(title, calibrating.ERRORS, calibrating.error_rows(found)))
    console.print(tables.table("constants", calibrating.CONSTANTS, calibrating.constant_rows(found)))
    if found.kept:
        console.print(
            f"kept as they were, as no row depends on them: {', '.join(found.kept)}", highlight=False, soft_wrap=True
        )
    for line in found.fitted.warnings:
        console.print(f"warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    for name, path in (("device file", out), ("plot", drawn)):
        if path is not None:
            console.print(f"{name}: {path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def sweep(
    network: Annotated[str, typer.Argument(help="Id; YAML, ONNX or CSV file; or package.module:build.")],
    device: Annotated[str, typer.Option(help="Id or YAML file.")],
    knob: Annotated[
        list[str], typer.Option(help="A parameter's values: rows=8:256:8, clock_hz=1e8:1e9:*2, dataflow=os,ws; repeat.")
    ],
    bits: Bits = None,
    input_shape: InputShape = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(help="A metric to minimise; by default latency against energy, area or resources."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; by default runs/sweep-NETWORK-DEVICE.")] = None,
    json_: Json = False,
) -> None:
    """Cost a network on every combination of accelerator parameters, and keep those that none beats."""
    from codesign_gym.training import sweeping

    found = sweeping.sweep(network, device, knob, console, bits, objective or (), shape_of(input_shape))
    folder = out or Path("runs") / f"sweep-{Path(network).stem}-{Path(device).stem}".replace(":", "-")
    found.save(folder)
    if json_:
        console.print_json(json.dumps(found.summary))
    else:
        console.print(tables.table(*sweeping.report(found)))
        console.print(f"folder: {folder} (front.csv, front.png, sample.csv, sweep.json)", highlight=False)
    if not found.complete:
        errors.print("interrupted; the folder holds the front of what was evaluated", highlight=False)
        raise typer.Exit(130)


@app.command("list")
def list_(
    kind: Annotated[str | None, typer.Argument(help="devices, networks, agents, envs or studies.")] = None,
) -> None:
    """List everything that has an id."""
    for name, rows in catalogue.listing(kind).items():
        console.print(tables.table(name, ["id", "what it is"], [[escape(i), escape(t)] for i, t in rows], words=2))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Any id; a YAML, ONNX or CSV file.")],
    input_shape: InputShape = None,
    kind: Annotated[str | None, typer.Option(help="devices, networks, agents, ..., for an id of several.")] = None,
) -> None:
    """Show what is behind an id: a device's file with its sources, a network's layers, an environment's options."""
    told = catalogue.describe(name, shape_of(input_shape), kind)
    console.out(told, highlight=False)  # as it is: print would wrap lines and read :car: as a picture
    options = catalogue.options(name, console.width) if kind is None else None
    if options is not None:
        console.print(options)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="See: codesign-gym list studies.")],
    scale: Annotated[str, typer.Option(help="small (under a minute) or full.")] = "small",
    agents: Annotated[str | None, typer.Option(help="all, or ids joined by commas, for the table of agents.")] = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the claims to this file.")] = None,
) -> None:
    """Run one published system's experiment and print its claims; the exit status says whether all that ran passed."""
    from codesign_gym.training.studies.study import print_report, run_study

    report = run_study(name, scale, agents, console)
    print_report(report, console)
    if json_ is not None:
        from codesign_gym.storage import write_text

        write_text(json_, json.dumps(report.as_dict(), indent=2) + "\n")
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models to verify; by default all.")] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder of reference tables; else $CODESIGN_GYM_REFERENCES or ../shared/data.")
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="A device of your own beside its measurements, instead; may repeat.")
    ] = None,
    measurements: Annotated[Path | None, typer.Option(help="For --device; else those it was calibrated on.")] = None,
    network: Annotated[
        list[str] | None, typer.Option(help="What of it lies outside the calibration of --device.")
    ] = None,
    plots: Annotated[Path | None, typer.Option(help="Folder for plots of predicted against reference.")] = None,
    json_: Json = False,
) -> None:
    """How far every cost model, or a device of your own, is off; exits 0 if something ran, and all that ran passed."""
    from codesign_gym.training import verify as verifying
    from codesign_gym.training.verify_device import verify_device

    if (measurements or network) and not device:
        raise BadConfig("--measurements and --network say what to verify a device by; accepted: beside --device")
    own = [verify_device(name, measurements, network or ()) for name in device or ()]
    verified = [found.verified for found in own]
    if models or not device:
        folder = verifying.folder_for(models or [], references)
        verified = verifying.verify(folder, models or [], errors) + verified
    drawn = verifying.plot(verified, plots) if plots is not None else []
    if json_:
        devices = {"devices": [found.as_dict() for found in own]} if own else {}
        console.print_json(json.dumps(verifying.as_dict(verified) | devices))
    else:
        console.print(tables.table("models against references", verifying.HEADINGS, verifying.rows(verified), words=3))
        for line in [*verifying.notes(verified), *(line for found in own for line in found.lines())]:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        for path in drawn:
            console.print(f"plot: {path}", highlight=False)
    if not verifying.ran(verified) and not device:
        errors.print(verifying.NOTHING, highlight=False, markup=False, soft_wrap=True)
    if not all(model.passed for model in verified) or not (verifying.ran(verified) or network):
        raise typer.Exit(1)


@app.command()
def demo(
    run: Annotated[Path, typer.Option(help="Where the runs go.")] = Path("runs/demo"),
    evaluations: Annotated[int, typer.Option(help="Designs per agent.")] = 200,
) -> None:
    """Let agents choose bitwidths for every layer of a really trained network, beside equal-budget baselines."""
    from codesign_gym.training.demo import demonstrate

    rows = demonstrate(run, evaluations, console, _interruptible)
    print_comparison(rows)
    console.print(
        f"run folders: {run}/<agent> (policy, design, plots); plots: {run}/comparison; tensorboard --logdir {run}",
        highlight=False,
    )


def main() -> None:
    """Run the command line; errors are one line and a non-zero exit unless ``--debug`` is given (anywhere)."""
    sys.path.insert(0, str(Path.cwd()))  # so that a user's own package.module:build is found where they are
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        status = app(arguments or ["--help"], prog_name="codesign-gym", standalone_mode=False)
    except (CodesignError, USAGE_ERROR) as error:
        if debug:
            raise
        reason = error.format_message() if isinstance(error, USAGE_ERROR) else str(error)
        errors.print(f"error: {escape(' '.join(reason.split()))}", style="red", highlight=False, soft_wrap=True)
        sys.exit(getattr(error, "exit_code", 1))
    except (KeyboardInterrupt, typer.Abort):
        status = 130
    sys.exit(status)


def _interruptible(config: RunConfig, path: Path) -> dict[str, Any]:
    """Run; on Ctrl-C say how to go on."""
    from codesign_gym.training.run import run

    try:
        return run(config, path, console)
    except KeyboardInterrupt:
        begun = (path / "config.json").is_file()
        trust = " --trust" if code_named(config) else ""
        way_on = f"go on with: codesign-gym train --resume {path}{trust}" if begun else "the run had not begun"
        errors.print(f"interrupted; {way_on}", highlight=False, soft_wrap=True)
        raise typer.Exit(130) from None
