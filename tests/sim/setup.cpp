#include "tests/sim/setup.hpp"

#include <cerrno>

#include "dataplane/core/tcp_constants.hpp"
#include "dataplane/wire/ip_protocol.hpp"

namespace pasta::sim {

using core::microsecond;
using core::millisecond;
using core::second;

namespace {

LinkFaults choose_faults(Random& random) {
    LinkFaults faults;
    faults.loss = random.pick<double>({0, 0, 0.001, 0.01, 0.05});
    faults.duplication = random.pick<double>({0, 0, 0.01, 0.1});
    faults.reordering = random.pick<double>({0, 0, 0.01, 0.2});
    faults.delay = random.pick<core::Time>({5 * microsecond, 50 * microsecond, 5 * millisecond});
    faults.extra_delay = random.pick<core::Time>({100 * microsecond, 10 * millisecond});
    return faults;
}

AppScript choose_app(Random& random, uint64_t most_bytes) {
    AppScript app;
    app.bytes = random.chance(0.2) ? 0 : random.size_up_to(most_bytes);
    // Few pieces, so that a slow application does not take for ever.
    const auto piece = [&] {
        return std::max<uint64_t>(1, app.bytes / random.between(1, 40) + random.below(2000));
    };
    const auto pause = [&] {
        return random.pick<core::Time>({0, 0, 100 * microsecond, 10 * millisecond, second});
    };
    app.write_piece = piece();
    app.read_piece = random.chance(0.5) ? most_bytes : most_bytes / random.between(1, 100);
    app.write_pause = pause();
    app.read_pause = pause();
    if (random.chance(0.05)) app.reset_at = random.below(random.chance(0.5) ? second : 10 * second);
    app.silently = random.chance(0.3);
    return app;
}

GuestTcpOptions choose_guest(Random& random, const Setup& setup, bool v4) {
    GuestTcpOptions guest;
    guest.iss = static_cast<uint32_t>(random.chance(0.2) ? UINT32_MAX - random.below(100000)
                                                         : random.below(UINT32_MAX));
    guest.link_mss = core::tcp_mss_for_mtu(setup.mtu, v4);
    if (!random.chance(0.1))
        guest.mss = static_cast<uint16_t>(random.chance(0.1) ? random.between(200, guest.link_mss)
                                                             : guest.link_mss);
    if (!random.chance(0.1)) guest.window_scale = static_cast<uint8_t>(random.below(11));
    guest.receive_buffer =
        static_cast<uint32_t>(random.pick<uint64_t>({2000, 65535, 200000, 4u << 20}));
    guest.data_probes = random.chance(0.5);
    guest.fin_alone = random.chance(0.5);
    guest.short_segments = random.pick<double>({0, 0, 0.05, 0.5});
    guest.sent = Pattern(static_cast<uint32_t>(random.below(UINT32_MAX)));
    guest.expected = Pattern(static_cast<uint32_t>(random.below(UINT32_MAX)));
    return guest;
}

/// When the conversations without a slow reader have to be over.
constexpr core::Time fast_due = 90 * second;

/// A few seconds near the beginning, which is at one second.
Period choose_period(Random& random) {
    Period period;
    if (random.chance(0.5)) return period;
    period.from = second + random.below(3 * second);
    period.until = period.from + random.below(4 * second);
    return period;
}

}  // namespace

wire::IpAddress guest_address(bool v6) {
    return v6 ? wire::IpAddress{{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}
              : wire::IpAddress::v4(198, 51, 100, 10);
}

wire::IpAddress peer_address(bool v6) {
    return v6 ? wire::IpAddress{{0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2}}
              : wire::IpAddress::v4(203, 0, 113, 7);
}

Setup choose_setup(Random& random, uint16_t shards, Scenario scenario) {
    Setup setup;
    setup.scenario = scenario;
    setup.shards = shards;
    setup.mtu = random.pick<uint32_t>({1280, 1500, 1500, 9000, 65520});
    setup.from_guest = choose_faults(random);
    setup.to_guest = choose_faults(random);
    setup.tcp = static_cast<uint16_t>(random.between(1, random.chance(0.3) ? 40 : 8));
    setup.datagram = static_cast<uint16_t>(random.below(6));
    // Scarce: 256 KiB for each flow, which all of them together could fill.
    setup.chunks = random.chance(0.3) ? 64u + setup.tcp * 64u : 16384;
    setup.scarcity = random.pick<double>({0, 0, 0.01, 0.2});
    setup.rekeys = shards > 1 ? static_cast<unsigned>(random.below(4)) : 0;
    // Two SYNs of one connection, at shards that have different secrets at the same moment, may
    // begin two flows, of which one resets the other. No veth duplicates frames.
    if (setup.rekeys != 0) setup.from_guest.duplication = 0;
    if (scenario == Scenario::slow_readers) {
        setup.tcp = static_cast<uint16_t>(random.between(4, 12));
        setup.chunks = random.pick<size_t>({256, 1024, 4096});
        setup.from_guest.loss = setup.to_guest.loss = random.pick<double>({0, 0, 0.001});
        setup.no_chunks = choose_period(random);
        setup.no_descriptors = choose_period(random);
    }
    return setup;
}

namespace {

/// Stops reading for longer than the others may take, or reads at a pace that changes. `bytes` are
/// what there is to read.
void choose_slowness(Random& random, AppScript& app, uint64_t bytes) {
    app.stop_at = random.below(2 * second);
    if (random.chance(0.7)) app.stop_for = random.between(fast_due / second, 300) * second;
    app.change_at = random.below(100 * second);
    app.read_piece = 1 + bytes / random.between(10, 100);
    app.later_read_piece = 1 + bytes / random.between(1, 50);
    app.read_pause = random.pick<core::Time>({0, 10 * millisecond, second});
    app.later_read_pause = random.pick<core::Time>({0, 10 * millisecond});
}

/// Every other conversation has a slow reader on one of its sides or both; the ones between are
/// as fast as they can and have to be over while those stand still.
void choose_slow_readers(Random& random, TcpScript& script, uint16_t number) {
    for (AppScript* app : {&script.guest_app, &script.remote_app}) {
        app->reset_at = core::never;
        app->bytes = std::min<uint64_t>(app->bytes, 2u << 20);
        app->write_pause = app->read_pause = 0;
        app->write_piece = app->read_piece = 2u << 20;
    }
    script.connect_error = 0;
    script.exhausted = 0;
    script.connect_delay = random.below(millisecond);
    script.guest.short_segments = 0;
    if (number % 2 == 0) {
        script.due = fast_due;
        return;
    }
    const uint64_t sides = random.between(1, 3);
    if ((sides & 1) != 0) choose_slowness(random, script.guest_app, script.remote_app.bytes);
    if ((sides & 2) != 0) choose_slowness(random, script.remote_app, script.guest_app.bytes);
}

}  // namespace

TcpScript choose_tcp(Random& random, const Setup& setup, uint16_t number) {
    TcpScript script;
    const bool v6 = random.chance(0.5);
    script.key = {guest_address(v6),
                  peer_address(v6),
                  static_cast<uint16_t>(30000 + number),
                  static_cast<uint16_t>(random.between(1, 60000)),
                  0,
                  wire::protocol_tcp};
    script.start = random.below(random.chance(0.5) ? millisecond : 2 * second);
    script.guest = choose_guest(random, setup, !v6);
    script.guest.guest_port = script.key.guest_port;
    script.guest.peer_port = script.key.peer_port;
    script.buffers.send = random.pick<uint64_t>({4096, 100000, 1u << 20});
    script.buffers.receive = random.pick<uint64_t>({4096, 100000, 1u << 20});
    // Small segments take many events and small buffers many pauses: less bytes for them.
    const uint64_t most_bytes =
        std::min<uint64_t>({16u << 20, uint64_t{script.guest.mss.value_or(536)} * 2000,
                            500 * std::min({script.buffers.send, script.buffers.receive,
                                            uint64_t{script.guest.receive_buffer}})});
    script.guest_app = choose_app(random, most_bytes);
    script.remote_app = choose_app(random, most_bytes);
    const uint64_t last = random.below(3);  // both at once, or one after the other
    script.guest_app.closes_after_eof = last == 1;
    script.remote_app.closes_after_eof = last == 2;
    script.inbound = random.chance(0.4);
    if (script.inbound && random.chance(0.15))
        script.listening =
            random.pick<Listening>({Listening::refuses, Listening::unreachable, Listening::silent});
    if (!script.inbound && random.chance(0.1))
        script.connect_error = random.pick<int>({ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH});
    script.fails_at_once = random.chance(0.2);
    script.connect_delay = random.below(random.chance(0.8) ? millisecond : 3 * second);
    if (random.chance(0.05)) script.exhausted = static_cast<unsigned>(random.between(1, 3));
    if (setup.scenario == Scenario::slow_readers) choose_slow_readers(random, script, number);
    return script;
}

}  // namespace pasta::sim
