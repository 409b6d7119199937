"""scikit-learn's own checks of estimators, as far as they apply to texts and sentences.

`check_estimator` stops after its first check for estimators whose input is not a table of numbers, so the checks that
need no data are called one by one. The others are skipped: those that fit a table of random numbers (sparse and complex
input, NaN, dtypes, sample weights, n_features_in_, subsets of columns), because a text has no columns; and
`check_mixin_order` and `check_estimators_unfitted`, because the models do not inherit from scikit-learn's base classes,
and an unfitted model raises `UsageError`.
"""

import pytest
from sklearn.utils import estimator_checks

from elman import Classifier, LanguageModel, Tagger

CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


@pytest.mark.parametrize("model", [Classifier, LanguageModel, Tagger])
@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learns_own_checks(model, check):
    getattr(estimator_checks, check)(model.__name__, model())
