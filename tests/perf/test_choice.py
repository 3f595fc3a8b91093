"""Which workloads and peers a command line asks for, and the order of rounds."""

import pathlib
import tempfile
import unittest

from benchlib.choices import DEFAULT_NAMES, KINDS, choose, parse_peer
from benchlib.lab import PORTS, TO_HOST, TO_NAMESPACE, BenchError, port_range
from benchlib.peers import (Native, Pasta, PastaXdp, Peer, RootlessKit, Slirp4netns,
                            parse_counters)
from benchlib.results import Failure
from benchlib.session import Session
from benchlib.workloads import all_workloads, select

STATISTICS = """[info] ready: 1 namespace on 1 worker
drop_tx_full                              12  control frames for which the transmit queue had no room
drop_ignored                               9  multicast
drop_no_chunk                              0  frames that could not be made because no chunk was free
xdp_rx_dropped                             3  struct xdp_statistics: other reasons
link_rx_frames                          1000  frames taken from links
"""


FORWARDED = {"Splice, host to namespace", "Splice, namespace to host", "Forwarded inbound"}


class Workloads(unittest.TestCase):
    def test_names_are_unique(self) -> None:
        names = [workload.name for workload in all_workloads()]
        self.assertEqual(len(set(names)), len(names))

    def test_words_select_by_name(self) -> None:
        self.assertEqual([workload.name for workload in select(["ROUND trip: t", "8 thr"], False)],
                         ["1-byte round trip: TCP", "connect-request-close: 8 threads"])
        with self.assertRaises(BenchError):
            select(["nonsense"], False)

    def test_what_a_rate_is_taken_from_is_measured_before_it(self) -> None:
        found = select(["half of native's rate: 18"], False)
        self.assertEqual([workload.name for workload in found],
                         ["UDP flood: 18 bytes", "UDP at half of native's rate: 18 bytes"])

    def test_quick_leaves_out_some_unless_asked_for(self) -> None:
        self.assertLess(len(select([], True)), len(select([], False)))
        self.assertEqual(len(select(["open connections"], True)), 1)
        quick = {workload.group for workload in select([], True)}
        self.assertEqual(quick & FORWARDED, FORWARDED)

    def test_directions_are_methods_of_peers_and_measured(self) -> None:
        every = {workload.direction for workload in all_workloads()}
        self.assertEqual(every, set(Peer.directions))
        for kind in KINDS:
            self.assertLessEqual(set(kind.directions), every)
            for direction in kind.directions:
                self.assertTrue(callable(getattr(kind, direction)), direction)

    def test_ports_are_forwarded_for_what_needs_them_alone(self) -> None:
        groups = {workload.group for workload in all_workloads() if workload.forwarded}
        self.assertEqual(groups, FORWARDED)

    def test_the_ports_of_directions_do_not_overlap(self) -> None:
        self.assertGreaterEqual(abs(TO_HOST - TO_NAMESPACE), PORTS)
        self.assertEqual(port_range(80), f"80-{80 + PORTS - 1}")


class Peers(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)

    def program(self, name: str, says: str = "") -> str:
        path = self.directory / name
        path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def test_the_kind_is_told_by_the_name_or_by_help(self) -> None:
        for name, says, kind in (("pasta", "", Pasta), ("pasta.avx2", "", Pasta),
                                 ("pasta-xdp", "", PastaXdp), ("slirp4netns-1.3", "", Slirp4netns),
                                 ("rootlesskit", "", RootlessKit),
                                 ("kit", "RootlessKit: --net=slirp4netns", RootlessKit),
                                 ("new", "namespaces over AF_XDP", PastaXdp),
                                 ("old", "usage: slirp4netns", Slirp4netns)):
            choice = parse_peer(f"other={self.program(name, says)}")
            self.assertEqual((choice.name, choice.kind), ("other", kind), name)

    def test_what_cannot_be_a_peer_is_refused(self) -> None:
        for text in ("name", "=path", f"x={self.directory}", f"x={self.directory}/none",
                     "a b=/bin/sh", f"x={self.program('passt', 'Usage: passt')}"):
            with self.assertRaises(BenchError, msg=text):
                parse_peer(text)

    def test_chosen_by_name_native_first(self) -> None:
        added = [f"build2={self.program('pasta-xdp')}"]
        self.assertEqual([choice.name for choice in choose("build2,native", added)],
                         ["native", "build2"])
        self.assertEqual(len(choose("", added)), len(DEFAULT_NAMES) + 1)
        for wanted in ("nobody", "native,,pasta"):
            with self.assertRaises(BenchError):
                choose(wanted, [])
        with self.assertRaises(BenchError):
            choose("", [f"pasta={self.program('pasta')}"])

    def test_only_losses_are_kept_of_the_counters(self) -> None:
        self.assertEqual(parse_counters(STATISTICS), {"drop_tx_full": 12, "xdp_rx_dropped": 3})


class Rounds(unittest.TestCase):
    def test_native_is_first_and_the_others_take_turns(self) -> None:
        session = Session(select(["8 threads"], False), choose("", []), 3, 1.0)
        orders = [[choice.name for choice in session._order(number)] for number in range(3)]
        self.assertEqual({order[0] for order in orders}, {Native.kind})
        self.assertEqual({order[1] for order in orders}, {"pasta-xdp", "pasta", "slirp4netns"})

    def test_peers_do_what_they_have_a_direction_for(self) -> None:
        session = Session(select(["echo", "8 threads", "1500: in, 1 "], False), choose("", []), 1, 1)
        found = {choice.name: [(str(setting), len(group)) for setting, group in
                               session._groups(choice)] for choice in session.choices}
        outward = [("MTU 65520", 1), ("MTU 1500", 1)]
        self.assertEqual(found["slirp4netns"], outward)
        self.assertEqual(found["rootlesskit"], [("MTU 65520, ports", 3)])
        for name in ("native", "pasta-xdp", "pasta"):
            self.assertEqual(found[name], [*outward, ("MTU 65520, ports", 5)], name)

    def test_only_pasta_xdp_has_to_complete(self) -> None:
        session = Session(select(["8 threads"], False), choose("", []), 1, 1.0)
        session.results.failures.append(Failure(1, "pasta", "x", "no"))
        self.assertTrue(session.complete())
        session.results.failures.append(Failure(1, "pasta-xdp", "", "no"))
        self.assertFalse(session.complete())


if __name__ == "__main__":
    unittest.main()
