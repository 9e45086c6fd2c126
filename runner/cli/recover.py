"""`meshtrial recover`: restore what dead runs left in a mesh."""

from __future__ import annotations

import click


@click.command()
@click.option("--mesh", type=click.Choice(["local", "cluster"]), help="Only meshes of this kind.")
@click.option("--context", metavar="C", help="Kubeconfig context (cluster).")
@click.option("--namespace", metavar="N", help="Namespace (cluster).")
def recover(mesh: str | None, context: str | None, namespace: str | None) -> None:
    """Restore all that runs which died (SIGKILL, power loss) left in their meshes."""
    from runner.conduct.recover import recover as restore  # noqa: PLC0415 - keeps --help quick
    from runner.conduct.recover import refuse_left, reopen  # noqa: PLC0415 - the same
    from runner.state import journal_home  # noqa: PLC0415 - the same

    done = restore(journal_home(), reopen, wanted=mesh, context=context, namespace=namespace)
    for recovery in done:
        print(recovery)
    if not done:
        print("nothing to restore: no run died")
    refuse_left(done)
