"""Mann and Whitney's test: whether of two samples one tends to the larger values. deploy/checks/test-oracle tries these examples.

Hollander and Wolfe's permeability of membranes, as in the help of R's wilcox.test, whose exact value is twice 0.1272:

>>> at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
>>> early = [1.15, 0.88, 0.90, 0.74, 1.21]
>>> round(mann_whitney(at_term, early), 4)
0.2446

Ages at the diagnosis of diabetes, as in the help of SciPy's mannwhitneyu(method="asymptotic"):

>>> males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
>>> round(mann_whitney(males, females), 10)
0.1113468865
>>> mann_whitney(females, males) == mann_whitney(males, females)
True

With ties, by hand: ranks 2, 2, 5 and 2, 5, 5, so U = 3 of 9, and a variance of 9/12 (7 - 48/30) = 4.05:

>>> round(mann_whitney([1, 1, 2], [1, 2, 2]), 10) == round(math.erfc(1 / math.sqrt(4.05) / math.sqrt(2)), 10)
True

Nothing differs:

>>> mann_whitney([7] * 30, [7] * 30)
1.0

Of samples that do not differ one in twenty falls below 0.05; of those that do, none is above:

>>> draw = random.Random(1)
>>> def sample(shift): return [draw.lognormvariate(0, 1) + shift for _ in range(200)]
>>> alike = [mann_whitney(sample(0), sample(0)) < 0.05 for _ in range(1000)]
>>> 30 <= sum(alike) <= 75
True
>>> all(mann_whitney(sample(0), sample(1)) < 0.001 for _ in range(50))
True
"""

import math
import random


def mann_whitney(a, b):
    """The p-value, two-sided, by the normal approximation with ties and continuity corrected: exact enough beyond some
    20 samples."""
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
