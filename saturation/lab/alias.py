"""Alias tables: one draw from any row of a table of distributions in constant time (Walker 1977, Vose 1991)."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AliasTables:
    """For every row, each of `size` equal columns holds at most two outcomes: itself, and its alias.

    `keep` of shape (rows, size) is the share of a column that yields the column's own index; `alias` of the
    same shape is the index that the rest of the column yields.
    """

    keep: np.ndarray
    alias: np.ndarray

    def draw(self, rows: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """One outcome for each of `rows`, from one uniform number in [0, 1) each; all of shape (n,).

        The integer part of `uniforms * size` picks the column and the rest, still uniform, picks inside it.
        """
        size = self.keep.shape[1]
        scaled = uniforms * size
        column = scaled.astype(np.int64)
        cell = rows * size + column
        return np.where(scaled - column < self.keep.ravel()[cell], column, self.alias.ravel()[cell])

    def implied_probabilities(self) -> np.ndarray:
        """The distributions that the tables draw from, of shape (rows, size)."""
        rows, size = self.keep.shape
        implied = self.keep.copy()
        row_index = np.broadcast_to(np.arange(rows)[:, None], self.alias.shape)
        np.add.at(implied, (row_index, self.alias), 1.0 - self.keep)
        return implied / size


def build_alias_tables(probabilities: np.ndarray) -> AliasTables:
    """Alias tables of `probabilities`, of shape (rows, size), each row summing to 1.

    Every row is swept at once: a heavy column (above average) gives its surplus to light ones until it is
    light itself, then the next heavy column fills it up. Each of the `size` passes settles one column in
    every row.
    """
    rows, size = probabilities.shape
    weights = probabilities * size
    is_heavy = weights > 1.0
    heavy_count = is_heavy.sum(axis=1)
    # Heavy columns first in each row, then the light ones.
    order = np.argsort(~is_heavy, axis=1, kind="stable")

    keep = np.ones((rows, size))
    alias = np.broadcast_to(np.arange(size), (rows, size)).copy()
    every = np.arange(rows)
    heavy_position = np.zeros(rows, dtype=np.int64)
    light_position = heavy_count.copy()
    left = weights[every, order[every, 0]]  # what the current heavy column still holds

    # A row whose columns are all average has no heavy one and needs no alias.
    active = heavy_count > 0
    for _ in range(size):
        heavy = order[every, np.minimum(heavy_position, size - 1)]

        gives = active & (left > 1.0) & (light_position < size)
        row = every[gives]
        light = order[row, light_position[row]]
        keep[row, light] = weights[row, light]
        alias[row, light] = heavy[row]
        left[row] += weights[row, light] - 1.0
        light_position[row] += 1

        turned_light = active & ~gives & (left <= 1.0) & (heavy_position + 1 < heavy_count)
        row = every[turned_light]
        successor = order[row, heavy_position[row] + 1]
        keep[row, heavy[row]] = left[row]
        alias[row, heavy[row]] = successor
        left[row] += weights[row, successor] - 1.0
        heavy_position[row] += 1
    # Columns that no pass settled hold a full share up to rounding: they keep themselves.
    return AliasTables(keep, alias.astype(np.int64))
