"""Building blocks of the dashboards: panels over Prometheus with common defaults."""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
# Widths in columns; a dashboard has 24.
FULL, HALF, THIRD, SIXTH = 24, 12, 8, 4
GRAPH_ROWS, NUMBER_ROWS = 8, 4

Panel = Builder[model.Panel]


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series; {{label}} inserts the value of a label."""

    expr: str
    legend: str = "__auto"


def graph(
    title: str,
    queries: str | Query | Sequence[Query],
    text: str,
    *,
    unit: str = "short",
    span: int = THIRD,
    stacked: bool = False,
    limit: float | None = None,
) -> Panel:
    """A panel of curves over time, with a red line at `limit`."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(GRAPH_ROWS)
        .line_width(1)
        .fill_opacity(10)
        .show_points(common.VisibilityMode.NEVER)
        .axis_soft_min(0)
        .legend(
            options.VizLegendOptions()
            .show_legend(True)
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
        )
        .tooltip(
            options.VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL))
    if limit is not None:
        panel.thresholds(_steps(("transparent", None), ("red", limit)))
        panel.thresholds_style(
            options.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.LINE)
        )
    for i, query in enumerate([queries] if isinstance(queries, str | Query) else queries):
        panel.with_target(_target(query).ref_id(ascii_uppercase[i]).range())
    return panel


def number(
    title: str,
    query: str | Query,
    text: str,
    *,
    unit: str = "short",
    span: int = SIXTH,
    bad_from: float | None = None,
    bad_below: float | None = None,
    name: bool = False,
) -> Panel:
    """A panel with the current value of one figure.

    It is red from `bad_from` on, or below `bad_below`. With `name` it shows the legend, not
    the value.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(NUMBER_ROWS)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query).ref_id("A").instant())
    )
    if name:
        panel.text_mode(common.BigValueTextMode.NAME)
    if bad_from is not None:
        panel.thresholds(_steps(("green", None), ("red", bad_from)))
    elif bad_below is not None:
        panel.thresholds(_steps(("red", None), ("green", bad_below)))
    else:
        panel.thresholds(_steps(("text", None)))
    return panel


def bars(
    title: str,
    query: Query,
    text: str,
    *,
    unit: str = "short",
    span: int = THIRD,
    limit: float | None = None,
) -> Panel:
    """A panel with a bar for the current value of each series, red from `limit` on."""
    red = [] if limit is None else [("red", limit)]
    return (
        bargauge.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(GRAPH_ROWS)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_steps(("blue", None), *red))
        .with_target(_target(query).ref_id("A").instant())
    )


def rows(
    title: str,
    query: str,
    text: str,
    *,
    columns: Sequence[str],
    unit: str = "short",
    span: int = HALF,
    across: str | None = None,
) -> Panel:
    """A panel with a table of labels and values; each value of the label `across` is a column."""
    panel = (
        table.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(GRAPH_ROWS)
        .cell_height(common.TableCellHeight.SM)
        .with_target(_target(query).ref_id("A").instant().format(PromQueryFormat.TABLE))
    )
    if across is not None:
        (row,) = columns
        matrix = {"columnField": across, "rowField": row, "valueField": "Value"}
        return panel.with_transformation(_transformation("groupingToMatrix", matrix))
    shown = {"include": {"names": [*columns, "Value"]}}
    return panel.with_transformation(_transformation("filterFieldsByName", shown))


def label_variable(name: str, metric: str) -> board.QueryVariable:
    """A dashboard variable with the values of the label `name` of `metric`; default: all."""
    return (
        board.QueryVariable(name)
        .datasource(SOURCE)
        .query(f"label_values({metric}, {name})")
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def dashboard(uid: str, title: str, text: str, *, since: str) -> board.Dashboard:
    """An empty dashboard of the time from `since` to now, with links to the other dashboards."""
    return (
        board.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["realtor"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .timezone("browser")
        .refresh("30s")
        .link(
            board.DashboardLink("Realtor")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["realtor"])
            .keep_time(True)
        )
    )


def section(to: board.Dashboard, title: str, *panels: Panel) -> None:
    """Adds a row with a title, and its panels, to the dashboard `to`."""
    to.with_row(board.Row(title))
    for panel in panels:
        to.with_panel(panel)


def _target(query: str | Query) -> prometheus.Dataquery:
    query = Query(query) if isinstance(query, str) else query
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(SOURCE)


def _steps(*steps: tuple[str, float | None]) -> board.ThresholdsConfig:
    return (
        board.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([model.Threshold(value=value, color=color) for color, value in steps])
    )


def _transformation(name: str, settings: object) -> model.DataTransformerConfig:
    return model.DataTransformerConfig(id_val=name, options=settings)
