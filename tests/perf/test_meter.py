"""What is read from the kernel's files, and the metering of CPU time."""

import unittest

from benchlib.meter import (NAMESPACE_FILES, SEPARATOR, Cpu, Losses, Meter, cpu, losses, parse_cpu,
                            parse_interface_drops, parse_kernel_memory, parse_losses, parse_snmp,
                            parse_softnet_drops)

STAT = """cpu  100 20 300 4000 50 6 70 8 90 10
cpu0 1 1 1 1 1 1 1 1 1 1
intr 0
"""
SNMP = """Tcp: RtoAlgorithm RetransSegs InErrs
Tcp: 1 7 0
Udp: InDatagrams InErrors SndbufErrors
Udp: 1000 30 4
Udp6InErrors                     \t5
TcpExt: ListenDrops TCPBacklogDrop Other
TcpExt: 2 1 99
"""
DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo:     0       0    0    0    0     0          0         0        0       0    0    0    0     0
  eth0: 90210     100    0    3    0     0          0         0    90210     100    0    4    0     0
"""
SOFTNET = "00000abc 0000000a 00000000\n00000abc 00000001 00000000\n"


class Parsing(unittest.TestCase):
    def test_cpu_is_all_but_idle_iowait_and_steal(self) -> None:
        self.assertEqual(parse_cpu(STAT, ticks=100), Cpu(busy=4.96, stolen=0.08))

    def test_cpu_of_something_else_is_refused(self) -> None:
        for text in ("", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3\n"):
            with self.assertRaises(ValueError):
                parse_cpu(text)

    def test_snmp_pairs_names_with_values(self) -> None:
        counters = parse_snmp(SNMP)
        self.assertEqual(counters["Tcp.RetransSegs"], 7)
        self.assertEqual(counters["Udp.SndbufErrors"], 4)
        self.assertEqual(counters["Udp6InErrors"], 5)
        self.assertEqual(counters["TcpExt.Other"], 99)

    def test_interfaces_drop_both_ways(self) -> None:
        self.assertEqual(parse_interface_drops(DEV), 7)

    def test_softnet_is_hexadecimal(self) -> None:
        self.assertEqual(parse_softnet_drops(SOFTNET), 11)

    def test_kernel_memory_is_in_bytes(self) -> None:
        text = "MemTotal:  100 kB\nSlab:       3 kB\nSReclaimable: 1 kB\n"
        self.assertEqual(parse_kernel_memory(text), 3072)
        with self.assertRaises(ValueError):
            parse_kernel_memory("MemTotal: 1 kB\n")

    def test_losses_of_a_namespace(self) -> None:
        found = parse_losses(f"{SNMP}{SEPARATOR}\n{DEV}")
        self.assertEqual(found, Losses(retransmits=7, drops=30 + 4 + 5 + 2 + 1 + 7))
        self.assertEqual(found - Losses(1, 2), Losses(6, 47))

    def test_this_machine_can_be_read(self) -> None:
        self.assertGreater(cpu().busy, 0)
        self.assertGreaterEqual(losses([[]]).drops, 0)
        self.assertIn("netstat", NAMESPACE_FILES)


class Metering(unittest.TestCase):
    def test_only_what_happens_while_entered(self) -> None:
        readings = iter([Cpu(10, 0), Cpu(12, 0), Cpu(50, 0), Cpu(50.5, 0)])
        meter = Meter(lambda: next(readings))
        with meter:
            pass
        with meter:
            pass
        self.assertEqual(meter.cpu_seconds, 2.5)


if __name__ == "__main__":
    unittest.main()
