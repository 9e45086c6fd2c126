"""Lines of a window are found in a log of any size."""

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.mesh.local.access_log import lines_between

START = 1_800_000_000.0


def line(moment):
    return f"[{datetime.fromtimestamp(moment, UTC).isoformat(timespec='milliseconds')}] GET /{'x' * 200}"


@settings(max_examples=40, deadline=None)
@given(total=st.integers(0, 3000), first=st.floats(-10, 310), length=st.floats(0, 50), late=st.integers(0, 5))
def test_every_line_of_the_window_and_no_other(tmp_path_factory, total, first, length, late):
    # a line every 0.1 s; some are written a few places late, as Envoy does for slow requests
    moments = [START + index / 10 for index in range(total)]
    written = list(moments)
    for index in range(0, total - late, 50):
        written.insert(index + late, written.pop(index))
    log = tmp_path_factory.mktemp("log") / "access.log"
    log.write_text("".join(line(moment) + "\n" for moment in written))
    since, until = START + first, START + first + length
    found = lines_between(log, since, until)
    wanted = [line(moment) for moment in written if since <= round(moment, 3) <= until]
    assert found == wanted


def test_no_log_has_no_lines(tmp_path):
    assert lines_between(tmp_path / "none", 0, 1e12) == []
