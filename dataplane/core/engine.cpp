#include "dataplane/core/engine.hpp"

#include <array>

#include "dataplane/core/arp_responder.hpp"
#include "dataplane/core/dhcp6_responder.hpp"
#include "dataplane/core/dhcp_responder.hpp"
#include "dataplane/core/frame_builder.hpp"
#include "dataplane/core/ndp_responder.hpp"
#include "dataplane/wire/icmp.hpp"

namespace pasta::core {

namespace {

constexpr uint16_t dhcp_server_port = 67;
constexpr uint16_t dhcp6_server_port = 547;

/// Unsolicited advertisements (RFC 4861, 6.2.1): the first three soon, then rarely, each time
/// after another interval so that routers do not fall into step.
constexpr uint32_t initial_advertisements = 3;
constexpr Time initial_advertisement_interval = 16 * second;
constexpr Time min_advertisement_interval = 200 * second;
constexpr Time max_advertisement_interval = 600 * second;

/// The part of all chunks that incomplete packets may hold in all shards.
constexpr size_t reassembly_share = 8;

uint16_t upper_port(const Packet& packet, size_t index) {
    return packet.upper.size() >= 4 ? wire::load_be16(&packet.upper[2 * index]) : uint16_t{0};
}

bool is_dhcp(const Packet& packet) {
    if (packet.ip.protocol != wire::protocol_udp) return false;
    const uint16_t port = upper_port(packet, 1);
    return packet.ip.dst.is_v4() ? port == dhcp_server_port : port == dhcp6_server_port;
}

bool is_ndp(const Packet& packet) {
    if (packet.ip.protocol != wire::protocol_icmpv6 || packet.upper.empty()) return false;
    const uint8_t type = packet.upper[0];
    return type >= wire::icmpv6::router_solicitation && type <= 137;  // 137: redirect
}

/// The key that the packet's flow would have; for echo requests the identifier is the port.
FlowKey flow_key(const Packet& packet) {
    FlowKey key{packet.ip.src, packet.ip.dst, 0, 0, packet.port.config.id, packet.ip.protocol};
    if (packet.ip.protocol == wire::protocol_tcp || packet.ip.protocol == wire::protocol_udp) {
        key.guest_port = upper_port(packet, 0);
        key.peer_port = upper_port(packet, 1);
    } else if (packet.upper.size() >= wire::IcmpEcho::size) {
        key.guest_port = wire::load_be16(&packet.upper[4]);
    }
    return key;
}

}  // namespace

Engine::Engine(ChunkCache& chunks, const Secrets& secrets, const Steering& steering,
               const EngineLimits& limits)
    : context_(chunks, secrets),
      steering_(steering),
      reassembly_(context_, context_.arena().size() / reassembly_share / steering.shards),
      tcp_(context_, limits.tcp_flows),
      udp_(context_, limits.udp_flows),
      echo_(context_, limits.echo_flows) {}

void Engine::attach(const PortConfig& config) {
    Port& port = context_.add_port(config);
    const bool home = config.first_worker % steering_.shards == steering_.self;
    if (home && config.ndp && config.router_advertisements) {
        port.next_advertisement = context_.now;
        next_advertisement_ = context_.now;
    }
}

void Engine::detach(PortId id) {
    if (context_.port(id) == nullptr) return;
    tcp_.close_port(id);
    udp_.close_port(id);
    echo_.close_port(id);
    reassembly_.close_port(id);
    context_.remove_port(id);
}

void Engine::rekey(const SipKey& flow_hash) {
    context_.secrets.flow_hash = flow_hash;
    steering_.secret = flow_hash;
    context_.table.new_epoch();
}

std::optional<uint16_t> Engine::on_frame(PortId id, Chain& frame, unsigned hops) {
    Counters& counters = context_.counters;
    if (hops == 0) ++counters.frames_from_tap;
    Port* port = context_.port(id);
    if (port == nullptr) return drop(frame, counters.drop_no_port), std::nullopt;
    const auto ethernet = wire::EthernetHeader::parse(context_.arena().bytes(frame.head));
    if (!ethernet) return drop(frame, counters.drop_truncated), std::nullopt;
    if (!ethernet->src.is_multicast()) port->guest_mac = ethernet->src;

    std::optional<uint16_t> elsewhere;
    switch (ethernet->ethertype) {
        case wire::ethertype_arp:
            if (!reply_with(*port, [&](wire::MutableBytes out) {
                    return arp_reply(port->config, context_.arena().bytes(frame.head), out);
                }))
                ++counters.drop_ignored;
            context_.chunks.unref(frame);
            break;
        case wire::ethertype_ipv4:
        case wire::ethertype_ipv6:
            elsewhere = on_ip(*port, frame, *ethernet, hops);
            break;
        default:
            drop(frame, counters.drop_ethertype);
    }
    return elsewhere;
}

std::optional<uint16_t> Engine::on_ip(Port& port, Chain& frame,
                                      const wire::EthernetHeader& ethernet, unsigned hops) {
    const bool enabled =
        ethernet.ethertype == wire::ethertype_ipv4 ? port.config.ipv4 : port.config.serves_ipv6();
    if (!enabled) return drop(frame, context_.counters.drop_disabled), std::nullopt;
    Packet packet{.port = port,
                  .src_mac = ethernet.src,
                  .link_multicast = ethernet.dst.is_multicast(),
                  .frame = frame};
    const wire::Bytes first = packet.from_ip(context_.arena());
    const auto ip =
        wire::parse_ip(ethernet.ethertype, first, frame.bytes - wire::EthernetHeader::size);
    if (!ip) {
        count_parse_error(ip.error());
        context_.chunks.unref(frame);
        return std::nullopt;
    }
    if (ip->fragment) return on_fragment(port, frame, *ip, hops);
    packet.ip = *ip;
    if (port.note_source(ip->src) && port.config.workers > 1 && hops == 0 &&
        port.sightings.allow(context_.now))
        context_.sightings.push_back({.port = port.config.id, .address = ip->src});
    packet.upper_offset =
        static_cast<uint16_t>(wire::EthernetHeader::size + packet.ip.header_length);
    packet.upper = first.subspan(packet.ip.header_length);
    packet.upper =
        packet.upper.first(std::min<size_t>(packet.upper.size(), packet.ip.payload_length));
    if (answer(packet)) {
        context_.chunks.unref(frame);
        return std::nullopt;
    }
    return on_flow_packet(packet, hops);
}

// All fragments of a packet meet at the port's first shard, since only the first one of them has
// ports. The frame that they become takes the way of any other; it is no fragment.
std::optional<uint16_t> Engine::on_fragment(Port& port, Chain& frame, const wire::IpPacket& ip,
                                            unsigned hops) {
    const uint16_t home = port.config.first_worker % steering_.shards;
    if (home != steering_.self) return home;
    const auto whole = reassembly_.add(port.config.id, ip, frame);
    if (!whole) return std::nullopt;
    frame = *whole;
    const auto ethernet = wire::EthernetHeader::parse(context_.arena().bytes(frame.head));
    return on_ip(port, frame, *ethernet, hops);
}

// DHCP and neighbour discovery: any shard answers, there is no state. True when it was one.
bool Engine::answer(const Packet& packet) {
    const PortConfig& config = packet.port.config;
    const wire::Bytes bytes = context_.arena().bytes(packet.frame.head);
    bool answered = false;
    if (is_dhcp(packet)) {
        answered = reply_with(packet.port, [&](wire::MutableBytes out) {
            return packet.ip.dst.is_v4() ? dhcp_reply(config, bytes, out)
                                         : dhcp6_reply(config, bytes, out);
        });
    } else if (is_ndp(packet)) {
        answered = reply_with(
            packet.port, [&](wire::MutableBytes out) { return ndp_reply(config, bytes, out); });
    } else {
        return false;
    }
    if (!answered) ++context_.counters.drop_ignored;
    return true;
}

std::optional<uint16_t> Engine::on_flow_packet(Packet& packet, unsigned hops) {
    const PortConfig& config = packet.port.config;
    Counters& counters = context_.counters;
    const uint8_t protocol = packet.ip.protocol;
    const bool icmp = protocol == wire::protocol_icmp || protocol == wire::protocol_icmpv6;
    if (!icmp && protocol != wire::protocol_tcp && protocol != wire::protocol_udp)
        return drop(packet.frame, counters.drop_protocol), std::nullopt;
    if (icmp ? !config.icmp : protocol == wire::protocol_tcp ? !config.tcp : !config.udp)
        return drop(packet.frame, counters.drop_disabled), std::nullopt;

    std::optional<GuestError> error;
    if (icmp && is_icmp_error(packet)) {
        error = parse_guest_error(context_.arena(), packet);
        if (!error) return drop(packet.frame, counters.drop_ignored), std::nullopt;
    }
    if (steering_.shards > 1) {
        const FlowKey key = error ? error->key : flow_key(packet);
        if (!context_.table.find(key)) {
            const uint16_t stop = steering_.next_stop(config, key, hops);
            if (stop != steering_.self) return stop;
            if (steering_.undecided(hops))
                return drop(packet.frame, counters.drop_no_owner), std::nullopt;
        }
    }
    if (error)
        on_guest_error(packet, *error);
    else if (icmp)
        echo_.on_packet(packet);
    else if (protocol == wire::protocol_tcp)
        tcp_.on_packet(packet);
    else
        udp_.on_packet(packet);
    return std::nullopt;
}

void Engine::on_guest_error(Packet& packet, const GuestError& error) {
    const bool ours = error.key.protocol == wire::protocol_tcp ? tcp_.on_unreachable(error)
                                                               : udp_.on_unreachable(error);
    if (!ours) ++context_.counters.drop_ignored;
    context_.chunks.unref(packet.frame);
}

// Lets a responder write its frame into a new chunk and queues it; false if it wrote none.
template <typename Responder>
bool Engine::reply_with(Port& port, Responder&& responder) {
    const ChunkId id = alloc_frame(context_);
    if (id == no_chunk) return false;
    const wire::MutableBytes out{context_.arena().data(id) + tx_metadata_size,
                                 chunk_size - tx_metadata_size};
    const size_t length = responder(out);
    if (length == 0) {
        context_.chunks.unref(id);
        return false;
    }
    ++context_.counters.frames_answered;
    queue_frame(context_, port, id, tx_metadata_size, static_cast<uint16_t>(length));
    return true;
}

std::optional<uint16_t> Engine::inbound_owner(const FlowKey& key, unsigned hops) {
    const Port* port = context_.port(key.port);
    if (port == nullptr || steering_.undecided(hops)) return std::nullopt;
    return steering_.owner(port->config, key);
}

void Engine::on_ready(FlowId flow, const Readiness& ready) {
    switch (flow.kind()) {
        case FlowKind::tcp:
            tcp_.on_ready(flow, ready);
            break;
        case FlowKind::udp:
            udp_.on_ready(flow, ready);
            break;
        case FlowKind::echo:
            echo_.on_ready(flow, ready);
            break;
        default:
            break;  // not the engine's
    }
}

void Engine::run_timers() {
    context_.timers.advance(context_.now, due_);
    for (const FlowId flow : due_) {
        switch (flow.kind()) {
            case FlowKind::tcp:
                tcp_.on_deadline(flow);
                break;
            case FlowKind::udp:
                udp_.on_deadline(flow);
                break;
            case FlowKind::echo:
                echo_.on_deadline(flow);
                break;
            default:
                break;  // not the engine's
        }
    }
    due_.clear();
    reassembly_.run_timers();
    if (next_advertisement_ > context_.now) return;
    next_advertisement_ = never;
    for (const auto& port : context_.ports()) {
        if (!port) continue;
        if (port->next_advertisement <= context_.now) advertise(*port);
        next_advertisement_ = std::min(next_advertisement_, port->next_advertisement);
    }
}

Time Engine::next_deadline() const {
    return std::min(
        {context_.timers.next_deadline(), reassembly_.next_deadline(), next_advertisement_});
}

void Engine::advertise(Port& port) {
    reply_with(port,
               [&](wire::MutableBytes out) { return router_advertisement(port.config, out); });
    if (++port.advertisements < initial_advertisements) {
        port.next_advertisement = context_.now + initial_advertisement_interval;
        return;
    }
    const std::array<uint32_t, 2> which{port.config.id, port.advertisements};
    const uint64_t spread = siphash(context_.secrets.table, which.data(), sizeof which);
    port.next_advertisement = context_.now + min_advertisement_interval +
                              spread % (max_advertisement_interval - min_advertisement_interval);
}

void Engine::count_parse_error(wire::ParseError error) {
    Counters& c = context_.counters;
    switch (error) {
        case wire::ParseError::truncated:
            ++c.drop_truncated;
            break;
        case wire::ParseError::bad_length:
            ++c.drop_bad_length;
            break;
        case wire::ParseError::bad_checksum:
            ++c.drop_bad_checksum;
            break;
        case wire::ParseError::extension_chain:
            ++c.drop_extension_headers;
            break;
        case wire::ParseError::bad_version:
        case wire::ParseError::bad_address:
            ++c.drop_bad_header;
            break;
        case wire::ParseError::unknown_ethertype:
            ++c.drop_ethertype;
            break;
    }
}

void Engine::drop(Chain& frame, Counter& reason) {
    ++reason;
    context_.chunks.unref(frame);
}

}  // namespace pasta::core
