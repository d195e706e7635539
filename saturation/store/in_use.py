"""What the queue is at, for those who would remove what it needs, or ask for more."""

from saturation.store.store import Store


def active_settings(store: Store, kind: str) -> list[str]:
    """The settings of all work of a kind that waits or runs."""
    with store.read() as connection:
        rows = connection.execute(
            "SELECT DISTINCT settings FROM jobs WHERE state IN ('waiting', 'running') AND kind = ?", [kind]
        ).fetchall()
    return [row[0] for row in rows]


def running_kinds(store: Store) -> set[str]:
    """The kinds of work that workers are at."""
    with store.read() as connection:
        return {
            row[0] for row in connection.execute("SELECT DISTINCT kind FROM jobs WHERE state = 'running'").fetchall()
        }


def active_groups(store: Store) -> int:
    """How many groups (checkpoints, or work of other kinds) wait or run."""
    with store.read() as connection:
        rows = connection.execute(
            "SELECT count(DISTINCT group_id) FROM jobs WHERE state IN ('waiting', 'running')"
        ).fetchall()
    return int(rows[0][0])
