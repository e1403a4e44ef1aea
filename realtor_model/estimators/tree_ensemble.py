"""`TreeEnsemble`, the base class of tree models of any library: leaves and exact SHAP values."""

from abc import abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realtor_model.estimators.estimator import Estimator, Floats, Matrix
from realtor_model.estimators.row_chunks import map_row_chunks
from realtor_model.estimators.tree_arrays import Trees
from realtor_model.estimators.tree_shap import TreeShap

# Enough trees to estimate the similarity of two homes to a few percent.
MAX_TREES_COMPARED = 300


class TreeEnsemble(Estimator):
    """An estimator made of trees.

    Besides the members that `Estimator` requires, a subclass defines `_read_trees` and
    `_library_contributions`.
    """

    def leaves(self, x: Matrix) -> NDArray[np.uint16]:
        trees = self._trees
        return trees.leaves(self._seen(x), trees.some(MAX_TREES_COMPARED))

    def _contributions(self, x: Matrix) -> tuple[float, Floats]:
        if self._tree_shap is None:
            return self._library_contributions(x)
        return self._tree_shap.base, map_row_chunks(
            self._tree_shap.values, self._seen(x), at_least=100
        )

    @cached_property
    def _trees(self) -> Trees:
        return self._read_trees()

    @cached_property
    def _tree_shap(self) -> TreeShap | None:
        return TreeShap.of(self._trees, len(self.feature_names))

    def _seen(self, x: Matrix) -> Matrix:
        """The matrix that the trees split on, float32 (n, n_features), computed from `x`."""
        return np.ascontiguousarray(x, np.float32)

    @abstractmethod
    def _read_trees(self) -> Trees:
        """Read the trees of the fitted model."""

    @abstractmethod
    def _library_contributions(self, x: Matrix) -> tuple[float, Floats]:
        """Compute `_contributions` with the library, for trees too large for `TreeShap`."""
