"""The Mann-Whitney U test. deploy/checks/test-oracle runs the examples below as doctests.

Permeability of membranes (Hollander and Wolfe), from the help of R's wilcox.test. The exact p-value is 0.2544:

>>> at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
>>> early = [1.15, 0.88, 0.90, 0.74, 1.21]
>>> round(mann_whitney(at_term, early), 4)
0.2446

Age at the diagnosis of diabetes, from the help of SciPy's mannwhitneyu(method="asymptotic"):

>>> males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
>>> round(mann_whitney(males, females), 10)
0.1113468865
>>> mann_whitney(females, males) == mann_whitney(males, females)
True

Ties, calculated by hand. The ranks are 2, 2, 5 and 2, 5, 5, so U = 3 of 9. The variance is 9/12 (7 - 48/30) = 4.05:

>>> round(mann_whitney([1, 1, 2], [1, 2, 2]), 10) == round(math.erfc(1 / math.sqrt(4.05) / math.sqrt(2)), 10)
True

Two samples of the same constant:

>>> mann_whitney([7] * 30, [7] * 30)
1.0

Random samples. With equal distributions, about one p-value in twenty is below 0.05. With a shift, all are small:

>>> generator = random.Random(1)
>>> def sample(shift): return [generator.lognormvariate(0, 1) + shift for _ in range(200)]
>>> rejected = [mann_whitney(sample(0), sample(0)) < 0.05 for _ in range(1000)]
>>> 30 <= sum(rejected) <= 75
True
>>> all(mann_whitney(sample(0), sample(1)) < 0.001 for _ in range(50))
True
"""

import math
import random  # noqa: F401 (the doctests use it)


def mann_whitney(a, b):
    """Returns the two-sided p-value of the hypothesis that both samples have the same distribution.

    Uses the normal approximation with corrections for ties and continuity, which is accurate from about 20 values per
    sample.
    """
    values = sorted([(value, True) for value in a] + [(value, False) for value in b])
    total, n, m = len(values), len(a), len(b)
    rank_sum, ties, i = 0.0, 0, 0
    while i < total:
        j = i
        while j < total and values[j][0] == values[i][0]:
            j += 1
        # Equal values share the mean of their ranks, which count from 1.
        rank_sum += (i + 1 + j) / 2 * sum(is_a for _, is_a in values[i:j])
        ties += (j - i) ** 3 - (j - i)
        i = j
    u = rank_sum - n * (n + 1) / 2
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    if deviation == 0:
        return 1.0
    z = max(abs(u - n * m / 2) - 0.5, 0) / deviation
    return math.erfc(z / math.sqrt(2))
