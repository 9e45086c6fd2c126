"""Environment variables with which Locust's processes are started: what they must know before they can be told."""

from __future__ import annotations

FDS_VARIABLE = "MESHTRIAL_DRIVER_FDS"
"""Environment variable with the child's socket ends: the first process's, then one for every forked worker."""
TICKETS_VARIABLE = "MESHTRIAL_DRIVER_TICKETS"
"""Environment variable with the read end of a pipe with one byte per worker, from which it learns its index."""
LOADFILE_VARIABLE = "MESHTRIAL_LOADFILE"
"""Environment variable with the absolute path of the user's file."""
WORKERS_VARIABLE = "MESHTRIAL_WORKERS"
"""Environment variable with how many workers a master takes; it is not set when Locust forks."""
TICKET_VARIABLE = "MESHTRIAL_WORKER_TICKET"
"""Environment variable with a secret that the driver shares with the workers that it starts itself."""
CLOCKS_VARIABLE = "MESHTRIAL_WORKERS_CLOCKS"
"""Environment variable that tells a master that the workers of its own run have other clocks than it has."""
EXPERIMENT_VARIABLE = "MESHTRIAL_EXPERIMENT"
"""Environment variable with the absolute path of the experiment file, for loadfiles that read files beside it."""
