"""The Jobs of one run's load generators, in whichever namespaces load leaves from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from runner.mesh.cluster.job_host import plan_job, start_jobs
from runner.mesh.cluster.job_pods import KIND, Jobs
from runner.mesh.cluster.origin import labels_of, origin_of, selectors_of
from runner.spec.load_profile import GATEWAY_NAMES
from runner.spec.mesh import GeneratorPods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runner.istio.resource import Resource, ResourceKey
    from runner.mesh.base import Generators
    from runner.mesh.cluster.api import Api
    from runner.mesh.cluster.inventory import Inventory


@dataclass(slots=True)
class GeneratorJobs:
    """Makes and removes them.

    Attributes:
        api: the cluster.
        home: the run's namespace.
        pods: what the experiment says about the pods.
        shown: whether Jobs that are there are told of: to who came to clean up.
    """

    api: Api
    home: str
    pods: GeneratorPods = field(default_factory=GeneratorPods)
    shown: bool = False
    _spaces: set[str] = field(default_factory=set)

    def _in(self, namespace: str) -> Jobs:
        return Jobs(self.api, namespace)

    def reach(self, keys: Iterable[ResourceKey]) -> None:
        """Look for Jobs in the namespaces of these too."""
        self._spaces |= {key.namespace for key in keys if key.kind == KIND}

    def held(self) -> list[Resource]:
        """Those that are there.

        Raises:
            MeshError: the server can't be asked.
        """
        if not self.shown:
            return []
        return [job for namespace in sorted({self.home, *self._spaces}) for job in self._in(namespace).held()]

    def plan(
        self,
        inventory: Inventory,
        namespace_labels: Mapping[str, str],
        source: str,
        number: int,
        hold: tuple[str, ...],
    ) -> Generators:
        """Pods whose load leaves from `source`, as a Job that is not made yet.

        Raises:
            InputError: the workload has no pod, or no image is known.
            MeshError: the API server can't be asked.
        """
        origin = origin_of(self.api, self.home, inventory.pods, source)
        if source in GATEWAY_NAMES or not origin.foreign:
            name = source if source in GATEWAY_NAMES else origin.workload
            selectors = selectors_of(self.api, self.home)
            return plan_job(self._in(self.home), self.pods, inventory, namespace_labels, selectors, name, number, hold)
        planned = plan_job(
            self._in(origin.namespace),
            self.pods,
            replace(inventory, pods=list(origin.pods)),
            labels_of(self.api, origin.namespace),
            selectors_of(self.api, origin.namespace),
            origin.workload,
            number,
            hold,
        )
        return replace(planned, source=source)

    def start(self, wanted: Sequence[Generators], check: Callable[[], None]) -> list[list[tuple[str, ...]]]:
        """Make the Jobs; what reaches into each of their pods once all are ready.

        Raises:
            MeshError: a pod can't run; says why.
        """
        return start_jobs(self._in, wanted, self.pods.wait, check)

    def remove(self, keys: Iterable[ResourceKey]) -> bool:
        """Remove those of some keys that are Jobs, with their pods; whether there were any.

        Raises:
            MeshError: something is left.
        """
        names: dict[str, list[str]] = {}
        for key in keys:
            if key.kind == KIND:
                names.setdefault(key.namespace, []).append(key.name)
        for namespace, jobs in names.items():
            self._in(namespace).remove(jobs)
        return bool(names)
