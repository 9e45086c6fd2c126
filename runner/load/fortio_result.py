"""fortio's own result, as its `-json` prints it, and what of it is ours: counts, latencies, a file that its UI opens."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runner.load.fortio_log import UNANSWERED, is_error, meaning
from runner.results.histogram import Histogram, bucket_of, bucket_width
from runner.results.window import Native, Second

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT_OUT = ("Payload", "UserCredentials", "AccessLoggerInfo")
"""What fortio repeats of its options and nobody needs to see: bodies, passwords, the path of a temporary file."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Bucket(_Part):
    """Requests whose duration, in seconds, is over `start` (in the first bucket: at it) and at most `end`."""

    start: float = Field(alias="Start")
    end: float = Field(alias="End")
    count: int = Field(alias="Count")


class Durations(_Part):
    """fortio's histogram; everything in seconds."""

    count: int = Field(default=0, alias="Count")
    least: float = Field(default=0.0, alias="Min")
    greatest: float = Field(default=0.0, alias="Max")
    total: float = Field(default=0.0, alias="Sum")
    buckets: list[Bucket] | None = Field(default=None, alias="Data")

    def without(self, part: Durations) -> Durations:
        """This histogram less another whose requests are among its own.

        The least and the greatest are exact where the other's differ, else the edges of the buckets that remain.
        """
        taken: dict[int, int] = {}
        mine = self.buckets or []
        for bucket in part.buckets or []:
            middle = (bucket.start + bucket.end) / 2
            at = next((number for number, own in enumerate(mine) if middle <= own.end), len(mine) - 1)
            taken[at] = taken.get(at, 0) + bucket.count
        left = [
            bucket.model_copy(update={"count": bucket.count - taken.get(number, 0)})
            for number, bucket in enumerate(mine)
            if bucket.count > taken.get(number, 0)
        ]
        if not left:
            return Durations()
        return Durations(
            Count=sum(bucket.count for bucket in left),
            Min=self.least if self.least < part.least else left[0].start,
            Max=self.greatest if self.greatest > part.greatest else left[-1].end,
            Sum=self.total - part.total,
            Data=left,
        )

    def first(self, share: float) -> tuple[Durations, Durations]:
        """Divided in two at random, as far as anybody can tell: `share` of every bucket, and the rest."""
        ours, theirs, seen, given = [], [], 0, 0
        for bucket in self.buckets or []:
            seen += bucket.count
            mine = min(bucket.count, max(0, round(seen * share) - given))
            given += mine
            ours.append(bucket.model_copy(update={"count": mine}))
            theirs.append(bucket.model_copy(update={"count": bucket.count - mine}))
        return self._some(ours), self._some(theirs)

    def _some(self, buckets: list[Bucket]) -> Durations:
        left = [bucket for bucket in buckets if bucket.count]
        if not left:
            return Durations()
        count = sum(bucket.count for bucket in left)
        total = self.total * count / self.count
        return Durations(Count=count, Min=left[0].start, Max=left[-1].end, Sum=total, Data=left)

    def histogram(self) -> Histogram:
        """As our histogram, in µs: fortio's counts, spread evenly over our buckets within each of its own.

        Number, sum, least and greatest are fortio's. A quantile is as exact as fortio's bucket is narrow: `resolution` at the
        lower end, up to a quarter of the value at 1,000 times that, the value itself beyond (fortio's stats/stats.go).
        """
        found = Histogram()
        for bucket in self.buckets or []:
            _spread(round(bucket.start * 1e6), round(bucket.end * 1e6), bucket.count, found)
        found.count, found.total = sum(bucket.count for bucket in self.buckets or []), round(self.total * 1e6)
        found.least, found.greatest = round(self.least * 1e6), round(self.greatest * 1e6)
        return found


def _spread(low: int, high: int, number: int, into: Histogram) -> None:
    """Put `number` durations evenly between `low` and `high` (µs, both included)."""
    given, lower, width = 0, bucket_of(low), max(1, high - low + 1)
    while given < number:
        upper = lower + bucket_width(lower)
        upto = number if upper > high else round(number * (upper - low) / width)
        if upto > given:
            into.counts[lower] = into.counts.get(lower, 0) + upto - given
            given = upto
        lower = upper


class FortioResult(_Part):
    """What fortio says of one run."""

    started: str = Field(alias="StartTime")
    nanoseconds: int = Field(alias="ActualDuration")
    connections: int = Field(alias="NumThreads")
    durations: Durations = Field(alias="DurationHistogram")
    failures: Durations = Field(default_factory=Durations, alias="ErrorsDurationHistogram")
    """Of the requests that fortio counts as errors: every status but 2xx and 418."""
    codes: dict[str, int] = Field(default_factory=dict, alias="RetCodes")
    sockets: int = Field(default=0, alias="SocketCount")
    native: Native | None = None

    @classmethod
    def parse(cls, text: bytes) -> FortioResult:
        """The result that fortio printed.

        Raises:
            ValueError: it is not whole, or not fortio's.
        """
        try:
            data = json.loads(text)
            result = cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        kept = {key: value for key, value in data.items() if key not in _KEPT_OUT}
        result.native = Native("fortio", json.dumps(kept, indent=2).encode() + b"\n")
        return result

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return self.nanoseconds / 1e9

    @property
    def started_ns(self) -> int:
        """When it began, ns since the epoch."""
        moment = datetime.fromisoformat(self.started)
        return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1000

    @property
    def statuses(self) -> dict[str, int]:
        """Requests by our status, `0` for those without a response."""
        found: dict[str, int] = {}
        for code, number in self.codes.items():
            status, _ = meaning(code)
            found[status] = found.get(status, 0) + number
        return found

    def whole(self, name: str) -> tuple[Second, list[str]]:
        """All requests in one record, for want of a log, and what that leaves unknown.

        fortio keeps one histogram of all requests and one of those that failed, so statuses of one kind share their
        latencies in proportion.
        """
        second, remarks = Second(0), []
        fine = {code: number for code, number in self.codes.items() if code in {"418", "SERVING"} or code[:1] == "2"}
        failed = {code: number for code, number in self.codes.items() if code not in fine}
        for codes, durations in ((fine, self.durations.without(self.failures)), (failed, self.failures)):
            if len(codes) > 1:
                remarks.append(
                    f"fortio keeps one histogram for the statuses {', '.join(sorted(codes))} together, so each got a share of it; "
                    "with its access log they are told apart"
                )
            self._share(codes, durations, second, name)
        return second, remarks

    @staticmethod
    def _share(codes: Mapping[str, int], durations: Durations, second: Second, name: str) -> None:
        left, rest = sum(codes.values()), durations
        for code, number in sorted(codes.items()):
            part, rest = (rest, Durations()) if number == left else rest.first(number / left)
            left -= number
            status, failed = meaning(code)
            cell = second.cell(name, status)
            cell.errors += number if is_error(status) else 0
            if status == UNANSWERED:
                cell.unanswered += number
                if failed:
                    second.exceptions[failed] = second.exceptions.get(failed, 0) + number
                continue
            cell.response.add(part.histogram())
            cell.service.add(part.histogram())
