"""Medians, spreads, ratios and how figures are written."""

import unittest

from benchlib.stats import Summary, best, differ, figure, ratio, summarise


class Summaries(unittest.TestCase):
    def test_median_and_extremes(self) -> None:
        self.assertEqual(summarise([5.0, 1.0, 3.0]), Summary(3.0, 1.0, 5.0, 3))
        self.assertEqual(summarise([1.0, 2.0]), Summary(1.5, 1.0, 2.0, 2))
        self.assertIsNone(summarise([]))

    def test_ratio_of_medians(self) -> None:
        self.assertEqual(ratio(summarise([4.0]), summarise([2.0, 10.0, 1.0])), 2.0)

    def test_no_ratio_to_nothing(self) -> None:
        self.assertIsNone(ratio(summarise([4.0]), None))
        self.assertIsNone(ratio(None, summarise([4.0])))
        self.assertIsNone(ratio(summarise([4.0]), summarise([0.0])))

    def test_spreads_differ_only_when_they_do_not_touch(self) -> None:
        low, high, middle = summarise([1.0, 2.0]), summarise([3.0, 4.0]), summarise([2.0, 3.0])
        self.assertTrue(differ(low, high))
        self.assertTrue(differ(high, low))
        self.assertFalse(differ(low, middle))
        self.assertFalse(differ(middle, high))

    def test_a_single_sample_is_not_judged(self) -> None:
        self.assertFalse(differ(summarise([1.0]), summarise([3.0, 4.0])))

    def test_best_depends_on_the_metric(self) -> None:
        candidates = [summarise([1.0]), None, summarise([3.0])]
        self.assertEqual(best(candidates, higher_is_better=True).median, 3.0)
        self.assertEqual(best(candidates, higher_is_better=False).median, 1.0)
        self.assertIsNone(best([None], higher_is_better=True))

    def test_figures(self) -> None:
        for value, text in ((None, "-"), (0, "0"), (0.1234, "0.123"), (3.14159, "3.14"),
                            (123.45, "123.5"), (12345.6, "12,346")):
            self.assertEqual(figure(value), text)


if __name__ == "__main__":
    unittest.main()
