"""Dashboard of the pipeline and its infrastructure: Dagster, batches, PostgreSQL, the machine."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.observability.dashboards.parts import (
    Query,
    bars,
    dashboard,
    graph,
    number,
    rows,
    section,
)

_DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'
_DATABASES = 'datname!~"template.*|"'


def pipeline() -> Dashboard:
    """Builds the dashboard of Dagster's runs, the batches, PostgreSQL and the host."""
    board = dashboard(
        "realtor-pipeline",
        "Realtor: pipeline",
        "Do batches get through the pipeline, and is its infrastructure healthy?",
        since="now-24h",
    )
    section(
        board,
        "Batches",
        number(
            "Newest batch",
            "max(time() - realtor_batch_newest_timestamp_seconds)",
            "Time since new rows arrived.",
            unit="s",
        ),
        number(
            "Last call upstream",
            Query(
                "max by (outcome) (time() - realtor_upstream_last_call_timestamp_seconds)",
                "{{outcome}}",
            ),
            "Time since the last call, by its outcome.",
            unit="s",
        ),
        number(
            "Batches in progress",
            'sum(realtor_batches{state=~"landed|undecided|untrained"})',
            "Batches that wait to be loaded, decided on, or trained on.",
        ),
        number(
            "Held batches",
            'max(realtor_batches{state="held"})',
            "Batches that look corrupt and wait for a person: `realtor admit`.",
            bad_from=1,
        ),
        number(
            "Failed checks",
            'count(dagster_asset_check_passed{severity="ERROR"} == 0) or vector(0)',
            "Asset checks whose newest evaluation failed.",
            bad_from=1,
        ),
        number(
            "Daemons",
            "max(time() - dagster_daemon_heartbeat_timestamp_seconds)",
            "Age of the oldest last heartbeat of Dagster's daemons.",
            unit="s",
            bad_from=300,
        ),
        graph(
            "Batches by state",
            Query("max by (state) (realtor_batches)", "{{state}}"),
            "Loaded and refused are totals over all time.",
        ),
        graph(
            "Rows",
            [
                Query("max(realtor_rows_received_total)", "received"),
                Query("max(realtor_rows_inserted_total)", "new"),
            ],
            "Rows received over all loads, and those of them that were new to RAW.",
        ),
        rows(
            "The newest batches",
            "realtor_batch_rows",
            "Rows received, and those of them that were new to RAW.",
            columns=["batch"],
            across="rows",
            span=8,
        ),
    )
    section(
        board,
        "Dagster",
        graph(
            "Finished runs",
            Query(
                "sum by (job, status) (increase(dagster_runs_total[1h])) > 0 or on () vector(0)",
                "{{job}} {{status}}",
            ),
            "Runs that ended in the last hour.",
            stacked=True,
        ),
        graph(
            "Active runs",
            Query("sum by (status) (dagster_runs_active)", "{{status}}"),
            "Queued runs wait for their pool: one ingest, one load, one of clean, train and serve.",
            stacked=True,
        ),
        bars(
            "Time since the last success",
            Query('time() - dagster_run_last_ended_timestamp_seconds{status="SUCCESS"}', "{{job}}"),
            "By job. A job that never succeeded is not shown.",
            unit="s",
        ),
        graph(
            "Duration",
            Query("max by (job) (dagster_run_last_duration_seconds)", "{{job}}"),
            "Duration of the newest successful run.",
            unit="s",
        ),
        rows(
            "Asset checks",
            "sort(dagster_asset_check_passed)",
            "The newest evaluation; 1: passed. Severity WARN: the criteria of the newest duel.",
            columns=["asset", "check", "severity"],
            span=8,
        ),
        graph(
            "Exporter",
            [
                Query("realtor_exporter_read_seconds", "{{source}}, seconds"),
                Query("realtor_exporter_source_up", "{{source}}, up"),
            ],
            "How long dagster-metrics takes to read each source, and whether it succeeds.",
        ),
    )
    section(
        board,
        "PostgreSQL",
        number("Up", "min(pg_up)", "1: PostgreSQL answers its exporter.", bad_below=1),
        number(
            "Connections",
            "sum(pg_stat_activity_count) / max(pg_settings_max_connections)",
            "Share of max_connections in use.",
            unit="percentunit",
            bad_from=0.9,
        ),
        number(
            "Longest transaction",
            "max(pg_stat_activity_max_tx_duration)",
            "Age of the oldest open transaction.",
            unit="s",
        ),
        number(
            "Cache hits",
            "sum(rate(pg_stat_database_blks_hit[$__rate_interval])) / clamp_min("
            "sum(rate(pg_stat_database_blks_hit[$__rate_interval]))"
            " + sum(rate(pg_stat_database_blks_read[$__rate_interval])), 1e-9)",
            "Share of the blocks read that were in memory.",
            unit="percentunit",
        ),
        number(
            "Deadlocks",
            "sum(increase(pg_stat_database_deadlocks[1h]))",
            "Deadlocks in the last hour.",
            bad_from=1,
        ),
        number("Size", "sum(pg_database_size_bytes)", "Size of all databases.", unit="bytes"),
        graph(
            "Connections by database",
            Query(f"sum by (datname) (pg_stat_activity_count{{{_DATABASES}}})", "{{datname}}"),
            "Connections in any state.",
            stacked=True,
        ),
        graph(
            "Transactions",
            Query(
                "sum by (datname) (rate(pg_stat_database_xact_commit"
                f"{{{_DATABASES}}}[$__rate_interval]))",
                "{{datname}}",
            ),
            "Commits per second.",
            unit="ops",
        ),
        graph(
            "Size by database",
            Query(f"max by (datname) (pg_database_size_bytes{{{_DATABASES}}})", "{{datname}}"),
            "Size on disk.",
            unit="bytes",
            stacked=True,
        ),
    )
    section(
        board,
        "Machine and backups",
        graph(
            "CPU",
            Query(
                '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}'
                "[$__rate_interval]))",
                "{{instance}}",
            ),
            "Share of all cores in use.",
            unit="percentunit",
        ),
        graph(
            "Memory",
            Query(
                "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"
            ),
            "Share of the memory that is not available.",
            unit="percentunit",
            limit=0.95,
        ),
        graph(
            "Disks",
            Query(
                f"1 - node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes",
                "{{instance}} {{mountpoint}}",
            ),
            "Share of the disk in use.",
            unit="percentunit",
            limit=0.9,
        ),
        graph(
            "Disk traffic",
            [
                Query("sum(rate(node_disk_read_bytes_total[$__rate_interval]))", "read"),
                Query("sum(rate(node_disk_written_bytes_total[$__rate_interval]))", "written"),
            ],
            "Sum over all disks.",
            unit="Bps",
        ),
        graph(
            "Network",
            [
                Query(
                    'sum(rate(node_network_receive_bytes_total{device!="lo"}[$__rate_interval]))',
                    "in",
                ),
                Query(
                    'sum(rate(node_network_transmit_bytes_total{device!="lo"}[$__rate_interval]))',
                    "out",
                ),
            ],
            "Sum over all devices except loopback.",
            unit="Bps",
        ),
        graph(
            "Newest backup",
            Query("max(time() - realtor_backup_newest_timestamp_seconds)", "age"),
            "Time since the newest complete backup began.",
            unit="s",
            limit=36 * 3600,
        ),
    )
    return board
