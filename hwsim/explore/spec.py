"""What a sweep is of: a machine, a workload, the values to try, and what to look at.

A file like this one simulates six points::

    machine = "t3/gpu80"
    workload = "t_nlg"
    set = ["workload.sublayer=fc2"]
    metrics = ["latency", "dram_queue_occupancy_mean"]

    [axes]
    "machine.link.bandwidth" = ["75 GB/s", "150 GB/s"]
    "workload.tensor_parallel" = [4, 8, 16]

    [figures.latency]
    kind = "lines"
    x = ["machine.link.bandwidth"]
    series = "workload.tensor_parallel"
    y = ["latency"]

``variants`` are runs that each point is made of, by name; their metrics are ``NAME.METRIC``, and
``ratios`` are columns made of two others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from hwsim.config import Config, Text, build, read_toml

__all__ = ["FigureConfig", "SweepSpec", "Value", "read_spec"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Column = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)?$")]
Quotient = Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)? / [a-z0-9_]+(\.[a-z0-9_]+)?$")]
Value = str | bool | int | float
Values = tuple[Value, ...]
AXIS = re.compile(r"(machine|workload)(\..+)?")
FEWEST = {"tornado": 0}
"""Axes that a kind of figure must have along x, where that is not one."""


class FigureConfig(Config):
    """One picture of a sweep.

    Parameters
    ----------
    kind : ``bars`` and ``lines`` over x; ``stacked`` bars, one for each of ``variants``;
        ``tornado``: how far each axis moves each of y from the base.
    x : axes whose values name a place along x, the last one closest to it.
    y : columns: one each a series, a segment of a bar, or a panel of a tornado.
    series : an axis with a series for each of its values, when y is one column.
    variants : of ``stacked``: y are metrics of each of these.
    geomean : of ``bars``: a last place for the geometric mean of each series.
    """

    kind: Literal["bars", "lines", "stacked", "tornado"]
    title: Text | None = None
    x: tuple[Text, ...] = ()
    y: Annotated[tuple[Column, ...], Field(min_length=1)]
    y_label: Text | None = None
    series: Text | None = None
    variants: tuple[Name, ...] = ()
    geomean: bool = False

    @model_validator(mode="after")
    def _has_x(self) -> FigureConfig:
        if bool(self.x) == (self.kind == "tornado"):
            rule = "must be empty" if self.x else "must name an axis"
            raise ValueError(f"x {rule} with kind = {self.kind}, got {list(self.x)}")
        return self

    @model_validator(mode="after")
    def _series_are_of_one_column(self) -> FigureConfig:
        if self.series is not None and (len(self.y) != 1 or self.kind not in {"bars", "lines"}):
            raise ValueError(
                f"series must be left out unless y is one column of bars or lines, "
                f"got {self.series!r}"
            )
        return self

    @model_validator(mode="after")
    def _variants_stand_in_stacks(self) -> FigureConfig:
        if self.variants and self.kind != "stacked":
            raise ValueError(
                f"variants must be left out with kind = {self.kind}, got {list(self.variants)}"
            )
        return self

    @model_validator(mode="after")
    def _bars_have_a_mean(self) -> FigureConfig:
        if self.geomean and self.kind != "bars":
            raise ValueError(f"geomean must be false with kind = {self.kind}, got true")
        return self


class SweepSpec(Config):
    """A sweep's file.

    Parameters
    ----------
    machine, workload : names or paths; a path is below the folder of the file.
    set : words of ``--set`` for every point.
    mode : ``grid`` is every combination of the axes' values; ``one_at_a_time`` is the base, and
        each value of each axis by itself.
    axes : what to vary, ``machine``, ``workload`` or a path below one of them, and its values, as
        ``--set`` takes them.
    variants : words of ``--set`` by name: each point is simulated once with each of them.
    metrics : columns; left out, the ratios, or without those each run's headline.
    ratios : columns that are one divided by another.
    """

    machine: Text
    workload: Text
    set: tuple[Text, ...] = ()
    mode: Literal["grid", "one_at_a_time"] = "grid"
    axes: dict[str, Values]
    variants: dict[Name, tuple[Text, ...]] = Field(default_factory=dict)
    metrics: tuple[Column, ...] = ()
    ratios: dict[Name, Quotient] = Field(default_factory=dict)
    figures: dict[Name, FigureConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _axes_are_settings(self) -> SweepSpec:
        if not self.axes:
            raise ValueError("axes must name at least one setting, got none")
        for key in self.axes:
            if not AXIS.fullmatch(key):
                rule = "must have keys that start with machine or workload"
                raise ValueError(f"axes {rule}, got {key!r}")
        return self

    @model_validator(mode="after")
    def _values_differ(self) -> SweepSpec:
        for key, values in self.axes.items():
            if not values:
                raise ValueError(f"axes must give at least one value, got none of {key}")
            if len(set(map(repr, values))) < len(values):
                raise ValueError(f"axes must give each value once, got {list(values)} of {key}")
        return self

    @model_validator(mode="after")
    def _variants_leave_axes_alone(self) -> SweepSpec:
        for name, words in self.variants.items():
            for word in words:
                if (key := word.partition("=")[0].strip()) in self.axes:
                    raise ValueError(f"variants.{name} must not set an axis, got {key!r}")
        return self

    @model_validator(mode="after")
    def _ratios_are_of_variants(self) -> SweepSpec:
        for name, text in self.ratios.items():
            for operand in text.split(" / "):
                if problem := self._wrong_column(operand):
                    raise ValueError(f"ratios.{name} {problem}, got {operand!r}")
        return self

    @model_validator(mode="after")
    def _metrics_are_of_variants(self) -> SweepSpec:
        for column in self.metrics:
            if problem := self._wrong_column(column):
                raise ValueError(f"metrics {problem}, got {column!r}")
        return self

    @model_validator(mode="after")
    def _names_are_told_apart(self) -> SweepSpec:
        if both := sorted({*self.ratios} & {*self.metrics}):
            raise ValueError(f"ratios must not have the name of a metric, got {both[0]!r}")
        return self

    @model_validator(mode="after")
    def _figures_draw_what_is_there(self) -> SweepSpec:
        for name, figure in self.figures.items():
            for problem in self._wrong_figure(figure):
                raise ValueError(f"figures.{name}.{problem}")
        return self

    def _wrong_figure(self, figure: FigureConfig) -> Iterator[str]:
        axes = [("x", key) for key in figure.x]
        axes += [("series", key) for key in (figure.series,) if key is not None]
        for field, key in axes:
            if key not in self.axes:
                yield f"{field} must name axes, got {key!r}"
        for variant in figure.variants:
            if variant not in self.variants:
                yield f"variants must be among those of the sweep, got {variant!r}"
        if not figure.variants:
            for column in figure.y:
                if column not in self.ratios and (problem := self._wrong_column(column)):
                    yield f"y {problem}, got {column!r}"
        if figure.kind == "tornado" and self.mode != "one_at_a_time":
            yield f"kind must not be tornado with mode = {self.mode}, got 'tornado'"

    def _wrong_column(self, column: str) -> str:
        """The rule that a metric's column breaks, or nothing."""
        variant, dot, _ = column.partition(".")
        if self.variants and (not dot or variant not in self.variants):
            return "must be VARIANT.METRIC with one of the variants"
        plain = not dot or self.variants
        return "" if plain else "must be a metric without variant, there being none"

    @property
    def figures_drawn(self) -> Mapping[str, FigureConfig]:
        """The figures asked for; of one value at a time, at least how far each axis moves it."""
        columns = (*self.ratios, *self.metrics)[:3]
        if self.figures or self.mode == "grid" or not columns:
            return self.figures
        return {"sensitivity": FigureConfig(kind="tornado", y=columns)}


def read_spec(path: Path) -> SweepSpec:
    """The sweep that a file describes.

    Raises
    ------
    ConfigError
        Every problem of the file at once.
    """
    return build(SweepSpec, read_toml(path))
