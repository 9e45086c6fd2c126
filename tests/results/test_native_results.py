"""The generator's own result in the run folder: whole, without secrets, and no trial file."""

from __future__ import annotations

from runner.results.store import RunFolder
from runner.results.trial import TrialFile
from runner.results.window import Native, Pace, Second, Window


def trial(**more):
    window = Window([Second(0)], 1.0, False, 0, 0.0, 1.0, 0.1, **more)  # noqa: FBT003 - in the record's order
    return TrialFile("three connections", 2, 1, window)


def test_it_stands_beside_the_trial_and_is_none(tmp_path):
    folder = RunFolder.create(tmp_path, "x", secrets=["s3cret"])
    made = trial(native=Native("fortio", b'{"URL": "http://a/s3cret"}\n'))
    file = folder.write_trial(made)
    own = folder.write_native(made, made.window.native)
    assert own.removesuffix(".fortio.json") == file.removesuffix(".json.gz")
    assert (folder.path / own).read_bytes() == b'{"URL": "http://a/***"}\n'
    assert folder.trial_files() == [file]
    (read,) = folder.trials()
    assert read.window.native is None


def test_what_a_generator_set_out_to_do_comes_back_from_the_file(tmp_path):
    folder = RunFolder.create(tmp_path, "x")
    made = trial(pace=Pace(100.0, 400, 4.0, 0.1), series=False, remarks=["a word"], generator_cores=2)
    read = folder.trial(folder.write_trial(made))
    assert read.window == made.window


def test_files_of_earlier_versions_are_read(tmp_path):
    data = trial().window.to_json()
    for name in ("pace", "series", "remarks", "generator_cores"):
        del data[name]
    assert Window.from_json(data) == trial().window
