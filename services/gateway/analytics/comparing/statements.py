"""What a comparison asks the database: calls of a time, each turn's last one, and what arms come to by them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.gateway.account.projects import Projects
from services.gateway.analytics.comparing.answers import MEASURES, Arms
from services.gateway.deletion.hidden import is_shown
from services.gateway.model.measuring.genai_names import RESPONSE_ID

# A call of ours that its application tells of as well, by the answer's id, counts once. OFFSET 0: by its key, or the
# planner may gather all turns that there ever were.
_COUNTS = f"""
    (t.source = 'turn' OR NOT EXISTS (
        SELECT FROM (SELECT * FROM chat.traces own
            WHERE own.user_id = t.user_id AND own.trace_id = t.attributes ->> '{RESPONSE_ID}' OFFSET 0) ours
        WHERE ours.source = 'turn'))
"""  # noqa: S608 - a constant of this module


@dataclass(frozen=True)
class Which:
    """Whose calls, and which."""

    since: datetime
    until: datetime
    by: Arms
    names: Sequence[str] | None = None  # of arms; none: all
    user_ids: Sequence[str] | None = None  # none: everybody's, for administrators
    projects: Projects = None


def users_of(which: Which) -> list[str] | None:
    """Return the third argument: whose calls; None for everybody's."""
    return None if which.user_ids is None else list(which.user_ids)


def arguments(which: Which) -> tuple[Any, ...]:
    """Return what both statements know as $1 to $5."""
    names = None if which.names is None else list(which.names)
    projects = None if which.projects is None else list(which.projects)
    return which.since, which.until, users_of(which), names, projects


def in_range(which: Which) -> str:
    """Return the condition by which an index is chosen: of the users' calls by time, or of all calls by time."""
    whose = "$3::text[] IS NULL" if which.user_ids is None else "t.user_id = ANY ($3)"
    return f"t.started_at >= $1 AND t.started_at < $2 AND {whose}"


def sessions_of(which: Which, *, as_admin: bool) -> str:
    """Return the beginning of both statements: calls, each turn's last one, and what a session has of each arm."""
    shown = is_shown("t", "coalesce(t.accepted_at, t.started_at)") if as_admin else "true"
    is_model = which.by == "model"
    arm = "c.model" if is_model else "coalesce(h.experiment, c.experiment_name, c.model)"
    provider = "c.provider" if is_model else "NULL::text"
    return f"""
    WITH calls AS MATERIALIZED (
        SELECT t.user_id, t.session_id, coalesce(t.session_id, '/' || t.trace_id) AS cluster, t.trace_id, t.message_id,
            t.provider, t.model, t.status, t.started_at, t.ttft_ms, t.duration_ms, t.input_tokens, t.output_tokens,
            t.usage_source, t.experiment_name, t.cost, t.currency
        FROM chat.traces t WHERE {in_range(which)} AND t.status <> 'running' AND {shown} AND {_COUNTS}
    ), held AS MATERIALIZED (
        SELECT called.user_id, called.session_id, s.project_id,
            coalesce(s.experiment_name, g.experiment_name) AS experiment,
            called.models > 1 OR coalesce(s.mixed, false) OR coalesce(g.mixed, false) OR coalesce(
                g.reserved_at IS NOT NULL AND s.model_at IS NOT NULL AND s.model <> reserved.name, false) AS mixed
        FROM (SELECT user_id, session_id, count(DISTINCT (provider, model)) AS models FROM calls
            WHERE session_id IS NOT NULL GROUP BY user_id, session_id) called
        LEFT JOIN chat.sessions s ON s.user_id = called.user_id AND s.session_id = called.session_id
            AND s.deleted_at IS NULL
        LEFT JOIN tagging.session_tags g ON g.user_id = called.user_id AND g.session_id = called.session_id
            AND g.deleted_at IS NULL
        LEFT JOIN tagging.models reserved ON reserved.model_id = g.model_id
    ), placed AS MATERIALIZED (
        SELECT c.*, {arm} AS arm, {provider} AS of_provider, coalesce(h.mixed, false) AS mixed
        FROM calls c LEFT JOIN held h ON h.user_id = c.user_id AND h.session_id = c.session_id
        WHERE ($4::text[] IS NULL OR {arm} = ANY ($4)) AND ($5::text[] IS NULL OR h.project_id = ANY ($5))
    ), answers AS (
        SELECT DISTINCT ON (user_id, cluster, coalesce(message_id, trace_id)) * FROM placed
        ORDER BY user_id, cluster, coalesce(message_id, trace_id), started_at DESC
    ), turns AS MATERIALIZED (
        SELECT a.arm, a.of_provider, a.mixed, a.user_id, a.cluster, a.status, f.value AS thumb,
            a.status IN ('error', 'interrupted') AS failed,
            m.parent_id IS NOT NULL AND lead(1) OVER (
                PARTITION BY a.user_id, a.cluster, m.parent_id ORDER BY a.started_at) IS NOT NULL AS regenerated
        FROM answers a
        LEFT JOIN chat.messages m ON m.user_id = a.user_id AND m.session_id = a.session_id
            AND m.message_id = a.message_id
        LEFT JOIN chat.feedback f ON f.user_id = a.user_id AND f.session_id = a.session_id
            AND f.message_id = a.message_id
    ), sessions AS MATERIALIZED (
        SELECT arm, of_provider, mixed, user_id, cluster, count(*) AS n, count(*) FILTER (WHERE failed) AS failed,
            count(*) FILTER (WHERE status = 'error') AS errors, count(*) FILTER (WHERE status = 'stopped') AS stopped,
            count(*) FILTER (WHERE regenerated) AS regenerated, count(thumb) AS thumbs,
            count(*) FILTER (WHERE thumb = 'up') AS up, count(*) FILTER (WHERE thumb = 'down') AS down
        FROM turns GROUP BY arm, of_provider, mixed, user_id, cluster
    )
    """  # noqa: S608 - put together from constants of this module


ARMS = """
    , turned AS (
        SELECT arm, of_provider, mixed, count(DISTINCT user_id) AS users, count(*) AS n_sessions,
            count(*) FILTER (WHERE thumbs > 0) AS thumbs_sessions,
            count(*) FILTER (WHERE failed > 0) AS failed_sessions,
            count(*) FILTER (WHERE down > 0) AS disliked_sessions,
            sum(n)::bigint AS n, sum(failed)::bigint AS failed, sum(errors)::bigint AS errors,
            sum(stopped)::bigint AS stopped, sum(regenerated)::bigint AS regenerated, sum(thumbs)::bigint AS thumbs,
            sum(up)::bigint AS up, sum(down)::bigint AS down,
            sum(n * n)::float8 AS n_n, sum(failed * n)::float8 AS failed_n,
            sum(failed * failed)::float8 AS failed_failed,
            sum(regenerated * n)::float8 AS regenerated_n,
            sum(regenerated * regenerated)::float8 AS regenerated_regenerated,
            sum(thumbs * thumbs)::float8 AS thumbs_thumbs, sum(up * thumbs)::float8 AS up_thumbs,
            sum(up * up)::float8 AS up_up
        FROM sessions GROUP BY arm, of_provider, mixed
    ), called AS (
        SELECT arm, of_provider, mixed, count(*) AS calls, coalesce(sum(input_tokens), 0)::bigint AS input,
            coalesce(sum(output_tokens), 0)::bigint AS output,
            count(*) FILTER (WHERE usage_source IS DISTINCT FROM 'reported'
                AND coalesce(input_tokens, output_tokens) IS NOT NULL) AS estimated,
            percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ttft_ms) AS ttft, count(ttft_ms) AS ttft_n,
            percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY duration_ms) AS duration,
            count(duration_ms) AS duration_n
        FROM placed GROUP BY arm, of_provider, mixed
    ), paid AS (
        SELECT arm, of_provider, mixed, jsonb_object_agg(currency, cost::text) AS cost
        FROM (SELECT arm, of_provider, mixed, currency, sum(cost) AS cost FROM placed WHERE cost IS NOT NULL
            GROUP BY arm, of_provider, mixed, currency) priced
        GROUP BY arm, of_provider, mixed
    )
    SELECT turned.*, turned.of_provider AS provider, called.calls, called.input, called.output, called.estimated,
        called.ttft, called.ttft_n, called.duration, called.duration_n, coalesce(paid.cost, '{}') AS cost
    FROM turned
    JOIN called ON called.arm = turned.arm AND called.mixed = turned.mixed
        AND called.of_provider IS NOT DISTINCT FROM turned.of_provider
    LEFT JOIN paid ON paid.arm = turned.arm AND paid.mixed = turned.mixed
        AND paid.of_provider IS NOT DISTINCT FROM turned.of_provider
    ORDER BY turned.arm, turned.of_provider
"""
_DIFFERENCES = ", ".join(
    f"avg(b.{name} - a.{name})::float8 AS {name}_mean, stddev_samp(b.{name} - a.{name})::float8 AS {name}_deviation,"
    f" count(b.{name} - a.{name}) AS {name}_n"
    for name in MEASURES
)
_MEANS = ", ".join(f"avg({name}) AS {name}" for name in MEASURES)
PAIRS = f"""
    , measured AS (
        SELECT s.arm, s.user_id, s.n::float8 AS turns, s.failed::float8 / s.n AS error_rate,
            s.regenerated::float8 / s.n AS regenerate_rate, s.up::float8 / nullif(s.thumbs, 0) AS thumbs_up_rate,
            c.ttft_ms, c.duration_ms, c.output_tokens::float8 / s.n AS output_tokens
        FROM (SELECT arm, user_id, cluster, sum(n) AS n, sum(failed) AS failed, sum(regenerated) AS regenerated,
                sum(thumbs) AS thumbs, sum(up) AS up
            FROM sessions WHERE NOT mixed GROUP BY arm, user_id, cluster) s
        JOIN (SELECT arm, user_id, cluster, avg(ttft_ms) AS ttft_ms, avg(duration_ms) AS duration_ms,
                sum(output_tokens) AS output_tokens
            FROM placed WHERE NOT mixed GROUP BY arm, user_id, cluster) c USING (arm, user_id, cluster)
    ), users AS (
        SELECT arm, user_id, count(*) AS sessions, {_MEANS} FROM measured GROUP BY arm, user_id
    )
    SELECT count(*) AS users, {_DIFFERENCES}
    FROM users a JOIN users b USING (user_id)
    WHERE a.arm = ($4::text[])[1] AND b.arm = ($4::text[])[2] AND a.sessions >= $6 AND b.sessions >= $6
"""  # noqa: S608
