"""A day to fly on: what is asked of the gateway must not be past, on whatever day the tests run."""

from datetime import UTC, datetime, timedelta

FLIGHT_DAY = (datetime.now(UTC) + timedelta(days=30)).date().isoformat()
