#include "control/statistics.hpp"

#include <fmt/format.h>

#include <iterator>

namespace pasta::control {

namespace {

struct LinkCounter {
    const char* name;
    const char* meaning;
    uint64_t io::PortStatistics::*value;
};

using io::PortStatistics;
constexpr LinkCounter link_counters[] = {
    {"link_rx_frames", "frames taken from links", &PortStatistics::rx_frames},
    {"link_rx_bytes", "their bytes", &PortStatistics::rx_bytes},
    {"link_rx_chunks", "their chunks", &PortStatistics::rx_chunks},
    {"link_tx_frames", "frames given to links", &PortStatistics::tx_frames},
    {"link_tx_bytes", "their bytes", &PortStatistics::tx_bytes},
    {"link_tx_chunks", "their chunks", &PortStatistics::tx_chunks},
    {"link_tx_kicks", "system calls to send", &PortStatistics::tx_kicks},
    {"link_tx_kick_busy", "of them refused for the moment", &PortStatistics::tx_kick_busy},
    {"link_rx_oversize", "frames of too many chunks, dropped", &PortStatistics::rx_oversize},
    {"link_fill_starved", "times without a free chunk to receive into",
     &PortStatistics::fill_starved},
    {"xdp_rx_dropped", "struct xdp_statistics: other reasons", &PortStatistics::kernel_rx_dropped},
    {"xdp_rx_invalid_descs", "struct xdp_statistics: invalid fill entries",
     &PortStatistics::kernel_rx_invalid},
    {"xdp_tx_invalid_descs", "struct xdp_statistics: invalid transmit descriptors",
     &PortStatistics::kernel_tx_invalid},
    {"xdp_rx_ring_full", "struct xdp_statistics: dropped, receive ring full",
     &PortStatistics::kernel_rx_ring_full},
    {"xdp_rx_fill_ring_empty_descs", "struct xdp_statistics: dropped, fill ring empty",
     &PortStatistics::kernel_fill_ring_empty},
    {"xdp_tx_ring_empty_descs", "struct xdp_statistics: kicks of an empty transmit ring",
     &PortStatistics::kernel_tx_ring_empty},
};

}  // namespace

void add(Attachment::Statistics& sum, const Attachment::Statistics& more) {
    for (const LinkCounter& counter : link_counters)
        sum.port.*counter.value += more.port.*counter.value;
    sum.steer.redirected += more.steer.redirected;
    sum.steer.no_socket += more.steer.no_socket;
    sum.steer.runt += more.steer.runt;
}

std::string format_statistics(const std::vector<const core::Counters*>& workers,
                              const Attachment::Statistics& links, uint64_t refused) {
    struct Row {
        std::string_view name, meaning;
        uint64_t value;
    };
    std::vector<Row> rows;
    for (const core::Counters* counters : workers) {
        size_t i = 0;
        counters->for_each([&](std::string_view name, std::string_view meaning, uint64_t value) {
            if (i == rows.size()) rows.push_back({name, meaning, 0});
            rows[i++].value += value;
        });
    }
    rows.push_back({"gate_refused", "clients of ports that nobody listened on", refused});
    for (const LinkCounter& counter : link_counters)
        rows.push_back({counter.name, counter.meaning, links.port.*counter.value});
    rows.push_back({"bpf_redirected", "XDP program: to a socket", links.steer.redirected});
    rows.push_back({"bpf_no_socket", "XDP program: dropped, no socket", links.steer.no_socket});
    rows.push_back({"bpf_runt", "XDP program: dropped, shorter than a header", links.steer.runt});
    std::string text;
    for (const Row& row : rows)
        fmt::format_to(std::back_inserter(text), "{:<28} {:>14}  {}\n", row.name, row.value,
                       row.meaning);
    return text;
}

}  // namespace pasta::control
