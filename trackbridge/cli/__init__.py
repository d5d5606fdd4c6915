"""The command line: one module per command. Results go to standard output, messages to standard error."""

from __future__ import annotations

from typing import Annotated

import typer

from trackbridge.cli import compact, doctor, env, open_ui, repair, runs, status, sync, verify

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Log once. Land in any tracker. Prove it arrived. Leave any time."
)
app.command("status")(status.status)
app.command("sync")(sync.sync)
app.command("open")(open_ui.open_ui)
app.command("runs")(runs.runs)
app.command("verify")(verify.verify)
app.command("compact")(compact.compact)
app.command("repair")(repair.repair)
app.command("doctor")(doctor.doctor)
app.command("backends")(doctor.backends)
app.add_typer(env.app, name="env")


@app.command("compare", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def compare(context: typer.Context) -> None:
    """Run the same experiments through every backend and report what was measured."""
    from trackbridge import compare

    raise typer.Exit(compare.main(context.args))


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        import trackbridge

        typer.echo(trackbridge.__version__)
        raise typer.Exit
