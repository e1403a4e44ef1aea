"""`TreeEnsemble`, the base class of tree models of any library: the leaves of their trees."""

from abc import abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realtor_model.estimators.estimator import Estimator, Matrix
from realtor_model.estimators.tree_arrays import Trees

# Enough trees to estimate the similarity of two homes to a few percent.
MAX_TREES_COMPARED = 300


class TreeEnsemble(Estimator):
    """An estimator made of trees.

    Besides the members that `Estimator` requires, a subclass defines `_read_trees`.
    """

    def leaves(self, x: Matrix) -> NDArray[np.uint16]:
        trees = self._trees
        return trees.leaves(self._seen(x), trees.some(MAX_TREES_COMPARED))

    @cached_property
    def _trees(self) -> Trees:
        return self._read_trees()

    def _seen(self, x: Matrix) -> Matrix:
        """The matrix that the trees split on, float32 (n, n_features), computed from `x`."""
        return np.ascontiguousarray(x, np.float32)

    @abstractmethod
    def _read_trees(self) -> Trees:
        """Read the trees of the fitted model."""
