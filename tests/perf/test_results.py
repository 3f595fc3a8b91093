"""Results in memory, as JSON, compared, and as tables and plots."""

import pathlib
import tempfile
import unittest
import xml.etree.ElementTree

from benchlib import compare, page, plots, report
from benchlib.results import (COST, DROPS, RETRANSMITS, Failure, Metric, PeerFacts, Results,
                              WorkloadFacts, read_results)
from benchlib.text import columns

RATE = Metric("rate", "", "Gbit/s")
TIME = Metric("p50", "p50", "us", higher_is_better=False)
LOST = Metric("lost", "lost", "%", higher_is_better=False, relative=False)
BULK = WorkloadFacts("bulk: out", "bulk", "out", (RATE, LOST), "s/GB")
ROUND_TRIP = WorkloadFacts("round trip: TCP", "round trip", "TCP", (TIME,), "s/1000")


def results(ours: tuple[float, ...] = (15.0, 16.0), time: float = 50.0) -> Results:
    found = Results(
        peers=[PeerFacts("native", "native", "veth"), PeerFacts("pasta-xdp", "pasta-xdp", "1"),
               PeerFacts("pasta", "pasta", "2 & <3>"), PeerFacts("slow", "slirp4netns", "4")],
        workloads=[BULK, ROUND_TRIP],
        facts={"machine": {"cpu": "c", "cpus": 2, "memory": "1 kB", "kernel": "k", "commit": "abc",
                           "time": "t"},
               "options": {"rounds": 2, "seconds": 1.0, "workers": "auto", "polling": "adaptive"},
               "idle_cpus": 0.01})
    for peer, rates in (("native", (30.0, 32.0)), ("pasta-xdp", ours), ("pasta", (5.0, 6.0)),
                        ("slow", (7.0, 9.0))):
        for rate in rates:
            found.add(BULK.name, peer,
                      {"rate": rate, "lost": 0.0, COST: 0.5, RETRANSMITS: 3, DROPS: 1})
    for value in (time, time + 1):
        found.add(ROUND_TRIP.name, "pasta-xdp", {"p50": value})
    found.failures.append(Failure(1, "pasta", ROUND_TRIP.name, "it said no"))
    found.add_counters("pasta-xdp", {"drop_tx_full": 2})
    found.add_counters("pasta-xdp", {"drop_tx_full": 3})
    return found


class Json(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = pathlib.Path(directory.name) / "results.json"

    def test_what_is_written_is_read(self) -> None:
        results().write(self.file)
        self.assertEqual(read_results(self.file), results())

    def test_other_files_are_refused_in_one_line(self) -> None:
        for text in ("", "[]", "{}", '{"format": 0}', '{"format": 1, "peers": 3}'):
            self.file.write_text(text, encoding="utf-8")
            with self.assertRaisesRegex(ValueError, "no results"):
                read_results(self.file)


class Comparing(unittest.TestCase):
    def change(self, before: Results, after: Results, name: str) -> compare.Change:
        return next(change for change in compare.changes(before, after)
                    if change.workload == name and change.peer == "pasta-xdp")

    def test_marks_what_does_not_overlap(self) -> None:
        before, after = results(), results(ours=(17.0, 18.0))
        self.assertEqual(self.change(before, after, BULK.name).verdict, "better")
        self.assertEqual(self.change(after, before, BULK.name).verdict, "worse")

    def test_overlap_is_not_marked(self) -> None:
        after = results(ours=(15.5, 18.0))
        self.assertEqual(self.change(results(), after, BULK.name).verdict, "")

    def test_less_is_better_for_times(self) -> None:
        change = self.change(results(), results(time=70.0), ROUND_TRIP.name)
        self.assertEqual(change.verdict, "worse")
        self.assertEqual((change.before.median, change.after.median), (50.5, 70.5))

    def test_cpu_time_is_compared(self) -> None:
        self.assertIn("CPU s/GB", compare.comparison(results(), results()))

    def test_nothing_in_common_is_said(self) -> None:
        other = results()
        other.samples.clear()
        self.assertIn("no workload and peer in common", compare.comparison(results(), other))


class Tables(unittest.TestCase):
    def row(self, peer: str) -> list[str]:
        return next(row for row in report.details(results())[0].rows if row[2] == peer)

    def test_ratio_to_native_and_to_the_best_of_the_others(self) -> None:
        self.assertEqual(self.row("pasta-xdp")[3:10],
                         ["15.50", "15.00–16.00", "0.50", "1.94", "0.500 s/GB", "3", "1"])
        self.assertEqual(self.row("slow")[6], "1.00")

    def test_a_missing_sample_is_a_gap(self) -> None:
        rows = report.details(results())[1].rows
        self.assertEqual([row[3] for row in rows[1:]], ["-", "50.50", "-", "-"])

    def test_failures_and_counters_are_told(self) -> None:
        text = report.terminal(results())
        self.assertIn("gap: round 1, pasta, round trip: TCP: it said no", text)
        self.assertIn("drop_tx_full 5", text)

    def test_fits_a_terminal(self) -> None:
        self.assertLessEqual(max(map(len, report.terminal(results()).splitlines())), 120)

    def test_columns_are_aligned(self) -> None:
        self.assertEqual(columns([["a", "b"], ["long", "2.5"]], left=(0,)),
                         "a       b\n---------\nlong  2.5")


class Plots(unittest.TestCase):
    def test_a_chart_for_each_unit_and_for_the_cost(self) -> None:
        charts = plots.charts(results())
        self.assertEqual([chart.title for chart in charts],
                         ["bulk", "bulk: CPU time", "round trip"])

    def test_pictures_are_well_formed_and_the_page_needs_no_network(self) -> None:
        drawn = plots.draw_all(results())
        for _chart, svg in drawn:
            root = xml.etree.ElementTree.fromstring(svg)
            self.assertTrue(root.tag.endswith("svg"))
        text = page.page(results(), drawn)
        self.assertEqual(text.count("data:image/svg+xml;base64,"), len(drawn))
        self.assertNotIn("http", text)
        self.assertIn("2 &amp; &lt;3&gt;", text)

    def test_gaps_and_quotes_do_not_break_the_script(self) -> None:
        chart = plots.Chart("it's", "a\"b", ["x'y", "z"], [('q"q', [None, report.native(
            results(), BULK, RATE)])])
        self.assertIn("? ? ?", plots.script(chart))
        xml.etree.ElementTree.fromstring(plots.draw(chart))


if __name__ == "__main__":
    unittest.main()
