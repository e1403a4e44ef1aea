"""The fitted state of the encoder, and the three tables that it is stored in."""

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pandas as pd

from realtor_model.features.feature_names import NEIGHBOURS
from realtor_model.features.measures import Numbers
from realtor_model.features.place_context import CONTEXT
from realtor_model.features.places import LEVELS, Level, added_categories
from realtor_model.features.point_prices import TABLE_COLUMNS, PointPrices
from realtor_model.features.price_levels import TARGETS, UNKNOWN, Means
from realtor_model.listing import ListingContract

_MAPPING_COLUMNS = ("column_name", "category", "parent", "code", "listings", *TARGETS)


class EncoderTables(NamedTuple):
    """The complete fitted state. A market without coordinates has no `point_prices`.

    encoding_mappings: column_name (a level), category, parent (text), code, listings
        (int64), log_price, log_price_per_sqft (float64).
    preprocessing_statistics: feature, statistic (text), value (float64).
    zip_context: place (text), `CONTEXT` and neighbours' prices (float32).
    point_prices: latitude, longitude, level (float64), listings (int64): see `PointPrices`.
    """

    encoding_mappings: pd.DataFrame
    preprocessing_statistics: pd.DataFrame
    zip_context: pd.DataFrame
    point_prices: pd.DataFrame | None = None

    def named(self) -> dict[str, pd.DataFrame]:
        """Name -> table; `point_prices` only for a market with coordinates."""
        return {name: table for name, table in self._asdict().items() if table is not None}


@dataclass(frozen=True)
class EncoderState:
    """What was fitted: categories, their target means, and statistics of numbers and dates.

    Attributes:
        feature_names: the matrix's columns, in order.
        levels: categories of each of `LEVELS`, and of what the market adds.
        context: float32 `CONTEXT` columns, indexed by place.
        means: target statistics.
        numbers: statistics of numbers and dates.
        contract: of the market that the encoder was fitted for.
        point_prices: price levels by coordinates; None for a market without them.
    """

    feature_names: tuple[str, ...]
    levels: dict[str, Level]
    context: pd.DataFrame
    means: Means
    numbers: Numbers
    contract: ListingContract
    point_prices: PointPrices | None

    def to_tables(self) -> EncoderTables:
        """The state as three tables."""
        mappings = pd.concat(
            [
                pd.DataFrame(
                    {
                        "column_name": name,
                        "category": list(level.codes),
                        "parent": list(level.parents),
                        "code": np.arange(len(level.codes)),
                        "listings": self.means.levels[name][:-1, 0].astype(np.int64),
                        **dict(zip(TARGETS, self.means.levels[name][:-1, 1:].T, strict=True)),
                    }
                ).astype({"column_name": object, "category": object, "parent": object})
                for name, level in self.levels.items()
            ],
            ignore_index=True,
        )
        country = {
            (target, "mean"): float(value)
            for target, value in zip(TARGETS, self.means.country, strict=True)
        }
        positions = {(name, "position"): float(i) for i, name in enumerate(self.feature_names)}
        statistics = pd.DataFrame(
            [
                (*key, value)
                for key, value in (self.numbers.statistics | country | positions).items()
            ],
            columns=["feature", "statistic", "value"],
        )
        neighbours = pd.DataFrame(
            self.means.neighbours.astype(np.float32), self.context.index, columns=NEIGHBOURS
        )
        zip_context = pd.concat([self.context, neighbours], axis=1)
        return EncoderTables(
            mappings,
            statistics,
            zip_context.rename_axis("place").reset_index(),
            None if self.point_prices is None else self.point_prices.table,
        )

    @classmethod
    def from_tables(cls, tables: EncoderTables, contract: ListingContract) -> Self:
        """The state in `tables`, rows in any order; bit for bit the one that was stored.

        Raises:
            ValueError: a column or a statistic is missing.
        """
        mappings, statistics, zip_context, points = tables
        needed_columns = [
            ("encoding_mappings", mappings, _MAPPING_COLUMNS),
            ("zip_context", zip_context, ("place", *CONTEXT, *NEIGHBOURS)),
        ]
        if contract.has_coordinates:
            points = pd.DataFrame() if points is None else points
            needed_columns.append(("point_prices", points, TABLE_COLUMNS))
        for table, frame, needed in needed_columns:
            if absent := [name for name in needed if name not in frame.columns]:
                raise ValueError(f"{table} lacks {', '.join(absent)}")
        levels, means = {}, {}
        added = (column.key for column in added_categories(contract))
        for name in (*LEVELS, *added):
            rows = mappings[mappings["column_name"] == name].sort_values("code")
            levels[name] = Level(
                {str(category): code for code, category in enumerate(rows["category"])},
                tuple(map(str, rows["parent"])),
            )
            known = rows[["listings", *TARGETS]].to_numpy(np.float64)
            means[name] = np.vstack([known, UNKNOWN])
        values = {
            (str(feature), str(statistic)): float(value)
            for feature, statistic, value in zip(
                statistics["feature"], statistics["statistic"], statistics["value"], strict=True
            )
        }
        positions = sorted(
            (value, feature) for (feature, kind), value in values.items() if kind == "position"
        )
        fitted = {key: value for key, value in values.items() if key[1] != "position"}
        places = zip_context.set_index("place")
        context = places[list(CONTEXT)].astype(np.float32)
        neighbours = places[list(NEIGHBOURS)].to_numpy(np.float64)
        try:
            country = np.array([fitted.pop((target, "mean")) for target in TARGETS])
            return cls(
                tuple(name for _, name in positions),
                levels,
                context,
                Means(country, means, neighbours),
                Numbers(fitted, contract),
                contract,
                PointPrices(points) if contract.has_coordinates and points is not None else None,
            )
        except KeyError as problem:
            raise ValueError(f"preprocessing_statistics lacks {problem}") from problem
