"""The pipeline and what it stands on: Dagster, batches, PostgreSQL, the machine."""

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
    """Dagster's runs, the batches, PostgreSQL and the host."""
    made = dashboard(
        "realtor-pipeline",
        "Realtor: pipeline",
        "Do batches come through, and does what they stand on hold?",
        since="now-24h",
    )
    section(
        made,
        "Batches",
        number(
            "Newest batch",
            "max(time() - realtor_batch_newest_timestamp_seconds)",
            "Since new rows came.",
            unit="s",
        ),
        number(
            "Last call upstream",
            Query(
                "max by (outcome) (time() - realtor_upstream_last_call_timestamp_seconds)",
                "{{outcome}}",
            ),
            "Since the upstream was asked, and what came of it.",
            unit="s",
        ),
        number(
            "On their way",
            'sum(realtor_batches{state=~"landed|undecided|untrained"})',
            "Batches that wait to be loaded, decided on, or trained with.",
        ),
        number(
            "Held",
            'max(realtor_batches{state="held"})',
            "Look broken, and wait for a person: `realtor admit`.",
            bad_from=1,
        ),
        number(
            "Failed checks",
            'count(dagster_asset_check_passed{severity="ERROR"} == 0) or vector(0)',
            "Asset checks whose latest evaluation failed.",
            bad_from=1,
        ),
        number(
            "Daemons",
            "max(time() - dagster_daemon_heartbeat_timestamp_seconds)",
            "Since the quietest of Dagster's daemons was alive.",
            unit="s",
            bad_from=300,
        ),
        graph(
            "Batches by state",
            Query("max by (state) (realtor_batches)", "{{state}}"),
            "Loaded and refused count all there were.",
        ),
        graph(
            "Rows",
            [
                Query("max(realtor_rows_received_total)", "received"),
                Query("max(realtor_rows_inserted_total)", "new"),
            ],
            "Received over all loads, and of them new to RAW.",
        ),
        rows(
            "The newest batches",
            "realtor_batch_rows",
            "Rows received, and of them new to RAW.",
            columns=["batch"],
            across="rows",
            span=8,
        ),
    )
    section(
        made,
        "Dagster",
        graph(
            "Runs that ended",
            Query(
                "sum by (job, status) (increase(dagster_runs_total[1h])) > 0 or on () vector(0)",
                "{{job}} {{status}}",
            ),
            "In the hour before.",
            stacked=True,
        ),
        graph(
            "Runs under way",
            Query("sum by (status) (dagster_runs_active)", "{{status}}"),
            "Queued runs wait for their pool: one ingest, one load, one of clean, train and serve.",
            stacked=True,
        ),
        bars(
            "Since the last success",
            Query('time() - dagster_run_last_ended_timestamp_seconds{status="SUCCESS"}', "{{job}}"),
            "By job; a job that never succeeded is missing.",
            unit="s",
        ),
        graph(
            "Duration",
            Query("max by (job) (dagster_run_last_duration_seconds)", "{{job}}"),
            "Of the newest successful run.",
            unit="s",
        ),
        rows(
            "Asset checks",
            "sort(dagster_asset_check_passed)",
            "The latest evaluation: 1 passed. WARN: the criteria of the newest duel.",
            columns=["asset", "check", "severity"],
            span=8,
        ),
        graph(
            "Exporter",
            [
                Query("realtor_exporter_read_seconds", "{{source}}, seconds"),
                Query("realtor_exporter_source_up", "{{source}}, up"),
            ],
            "How long dagster-metrics takes to read its sources, and whether it can.",
        ),
    )
    section(
        made,
        "PostgreSQL",
        number("Up", "min(pg_up)", "It answers its exporter.", bad_below=1),
        number(
            "Connections",
            "sum(pg_stat_activity_count) / max(pg_settings_max_connections)",
            "Share of max_connections.",
            unit="percentunit",
            bad_from=0.9,
        ),
        number(
            "Longest transaction",
            "max(pg_stat_activity_max_tx_duration)",
            "Under way now.",
            unit="s",
        ),
        number(
            "Cache hits",
            "sum(rate(pg_stat_database_blks_hit[$__rate_interval])) / clamp_min("
            "sum(rate(pg_stat_database_blks_hit[$__rate_interval]))"
            " + sum(rate(pg_stat_database_blks_read[$__rate_interval])), 1e-9)",
            "Share of the blocks that were in memory.",
            unit="percentunit",
        ),
        number(
            "Deadlocks",
            "sum(increase(pg_stat_database_deadlocks[1h]))",
            "In the hour before.",
            bad_from=1,
        ),
        number("Size", "sum(pg_database_size_bytes)", "All databases.", unit="bytes"),
        graph(
            "Connections by database",
            Query(f"sum by (datname) (pg_stat_activity_count{{{_DATABASES}}})", "{{datname}}"),
            "Of all states.",
            stacked=True,
        ),
        graph(
            "Transactions",
            Query(
                "sum by (datname) (rate(pg_stat_database_xact_commit"
                f"{{{_DATABASES}}}[$__rate_interval]))",
                "{{datname}}",
            ),
            "Committed in a second.",
            unit="ops",
        ),
        graph(
            "Size by database",
            Query(f"max by (datname) (pg_database_size_bytes{{{_DATABASES}}})", "{{datname}}"),
            "On disk.",
            unit="bytes",
            stacked=True,
        ),
    )
    section(
        made,
        "Machine and backups",
        graph(
            "CPU",
            Query(
                '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}'
                "[$__rate_interval]))",
                "{{instance}}",
            ),
            "Share of all cores.",
            unit="percentunit",
        ),
        graph(
            "Memory",
            Query(
                "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"
            ),
            "Share that is not available.",
            unit="percentunit",
            limit=0.95,
        ),
        graph(
            "Disks",
            Query(
                f"1 - node_filesystem_avail_bytes{{{_DISKS}}} / node_filesystem_size_bytes",
                "{{instance}} {{mountpoint}}",
            ),
            "Share that is used.",
            unit="percentunit",
            limit=0.9,
        ),
        graph(
            "Disk traffic",
            [
                Query("sum(rate(node_disk_read_bytes_total[$__rate_interval]))", "read"),
                Query("sum(rate(node_disk_written_bytes_total[$__rate_interval]))", "written"),
            ],
            "Over all disks.",
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
            "Over all devices but loopback.",
            unit="Bps",
        ),
        graph(
            "Newest backup",
            Query("max(time() - realtor_backup_newest_timestamp_seconds)", "age"),
            "Since the newest whole backup was begun.",
            unit="s",
            limit=36 * 3600,
        ),
    )
    return made
