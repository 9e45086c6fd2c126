"""YAML with the place of every value kept, because an error without a line number costs the user a search.

Everything that users write (experiment files, manifests, app files) is read here, by the same rules: YAML 1.2
booleans (only `true` and `false`, so that a variant named `on` stays `on`), duplicate keys refused (`<<` may be
overridden), several documents in a file allowed. pydantic's errors are turned into problems with file, line and column.
"""
