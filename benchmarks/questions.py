"""What is asked of the series, as analysts ask it, and what DuckDB is asked of the same readings in Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class At:
    """What the questions ask for: an org, the first day of the history, and the day it is."""

    org_id: int
    since: date
    today: date

    @property
    def tomorrow(self) -> date:
        return self.today + timedelta(days=1)

    @property
    def week_ago(self) -> datetime:
        return datetime.combine(self.today - timedelta(days=7), time(), UTC)

    def named(self) -> dict[str, Any]:
        """As DuckDB's arguments."""
        return {
            "org_id": self.org_id,
            "since": self.since,
            "today": self.today,
            "tomorrow": self.tomorrow,
            "month_ago": self.today - timedelta(days=31),
        }


class Question(NamedTuple):
    """SQL over our relations, and its arguments; `aim` in milliseconds.

    `duckdb` is the same question of the Parquet file, and `share` how much of its time ours may take.
    """

    name: str
    sql: str
    arguments: Callable[[At], tuple[Any, ...]] = lambda _: ()
    aim: float | None = None
    duckdb: str = ""
    share: float | None = None


_FLEET: Final = """
SELECT day, total FROM fleet_daily_user_counts
WHERE user_type = 'AllUsers' AND day >= $1 AND day < $2 ORDER BY day
"""
_ORG_BY_ORG: Final = """
SELECT day, sum(last) FROM daily_user_counts
WHERE user_type = 'AllUsers' AND day >= $1 AND day < $2 GROUP BY day ORDER BY day
"""
_FLEET_DUCKDB: Final = """
SELECT day, sum(last) FROM (
    SELECT org_id, slot::DATE AS day, arg_max(count, slot) AS last FROM readings
    WHERE user_type = 'AllUsers' AND slot >= $since AND slot < {} GROUP BY ALL
) GROUP BY day ORDER BY day
"""

QUESTIONS: Final = (
    Question(
        "one org, one type, by day",
        """
        SELECT day, last FROM daily_user_counts
        WHERE org_id = $1 AND user_type = 'AllUsers' AND day >= $2 AND day < $3 ORDER BY day
        """,
        lambda at: (at.org_id, at.since, at.tomorrow),
        1,
        """
        SELECT slot::DATE AS day, arg_max(count, slot) FROM readings
        WHERE user_type = 'AllUsers' AND org_id = $org_id AND slot >= $since GROUP BY ALL ORDER BY day
        """,
    ),
    Question(
        "fleet sum by day, finished days",
        _FLEET,
        lambda at: (at.since, at.today),
        25,
        _FLEET_DUCKDB.format("$today"),
        0.2,
    ),
    Question(
        "fleet sum by day, with today",
        _FLEET,
        lambda at: (at.since, at.tomorrow),
        25,
        _FLEET_DUCKDB.format("$tomorrow"),
        0.2,
    ),
    Question("- added up org by org", _ORG_BY_ORG, lambda at: (at.since, at.tomorrow)),
    Question(
        "twenty fastest growing in 30 days",
        """
        SELECT org_id, latest.org, latest.last - past.last AS growth
        FROM daily_user_counts latest JOIN daily_user_counts past USING (org_id, user_type)
        WHERE user_type = 'AllUsers' AND latest.day = $1::date - 1 AND past.day = $1::date - 31
        ORDER BY growth DESC LIMIT 20
        """,
        lambda at: (at.today,),
        5,
        """
        SELECT org_id, arg_max(count, slot) - arg_min(count, slot) AS growth FROM readings
        WHERE user_type = 'AllUsers' AND slot >= $month_ago AND slot < $today
        GROUP BY ALL ORDER BY growth DESC LIMIT 20
        """,
    ),
    Question(
        "all latest, ten counts to a row",
        f"SELECT org_id, org, polled_at, {', '.join(COLUMNS.values())} FROM latest_org_snapshots",
        aim=1.5,
    ),
    Question("all latest, a count to a row", "SELECT org_id, org, user_type, count FROM latest_user_counts", aim=1.5),
    Question("- every column", "SELECT * FROM latest_user_counts"),
    Question(
        "- as many rows of integers", "SELECT n, n, n FROM generate_series(1, 10 * (SELECT count(*) FROM orgs)) AS n"
    ),
    Question(
        "gaps of the fleet, last 7 days", "SELECT * FROM poll_gaps WHERE slot >= $1", lambda at: (at.week_ago,), 50
    ),
)
