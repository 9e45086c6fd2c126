"""How fast Meshtrial is, always as a ratio to something bare that runs beside it: `python -m bench [NAME...]`.

Each benchmark is one module. Its docstring says what is compared and why; its `measure` runs the things compared in
shuffled repeats within one run, so that what else the machine does falls on all of them alike.
"""
