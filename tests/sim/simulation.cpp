#include "tests/sim/simulation.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "dataplane/core/inbound.hpp"

#include "tests/sim/setup.hpp"

namespace pasta::sim {

using core::millisecond;
using core::second;

namespace {

/// No conversation may take longer: the engine's slowest way out is to give up a connection after
/// tcp_data_retries, which takes a quarter of an hour.
constexpr core::Time time_limit = 3600 * second;

constexpr uint16_t service_port = 7;

core::PortConfig port_config(const Setup& setup) {
    core::PortConfig config;
    config.name = "sim";
    config.our_mac = {{0x02, 0, 0, 0, 0, 1}};
    config.guest_mac = {{0x02, 0, 0, 0, 0, 2}};
    config.mtu = setup.mtu;
    config.workers = setup.shards;
    config.router_advertisements = false;
    config.address4 = core::Prefix{guest_address(false), 24};
    config.address6 = core::Prefix{guest_address(true), 64};
    return config;
}

/// Completes the checksum as the device would, and verifies it.
bool complete_checksum(ByteVector& frame, const core::TxFrame& info) {
    if (info.csum_start != 0) {
        const size_t field = size_t{info.csum_start} + info.csum_offset;
        if (field + 2 > frame.size()) return false;
        const uint16_t sum =
            wire::checksum_finish(wire::checksum_add(wire::Bytes{frame}.subspan(info.csum_start)));
        wire::store_be16(&frame[field], sum == 0 ? uint16_t{0xffff} : sum);
    }
    const auto ethernet = wire::EthernetHeader::parse(frame);
    if (!ethernet) return false;
    const auto ip =
        wire::parse_ip(ethernet->ethertype, wire::Bytes{frame}.subspan(14), frame.size() - 14);
    if (!ip || ip->fragment) return false;
    const wire::Bytes upper =
        wire::Bytes{frame}.subspan(14u + ip->header_length, ip->payload_length);
    const uint32_t pseudo =
        ip->protocol == wire::protocol_icmp
            ? 0
            : wire::pseudo_header_sum(ip->src, ip->dst, ip->protocol, ip->payload_length);
    return wire::checksum_finish(wire::checksum_add(upper, pseudo)) == 0;
}

/// A datagram's content: its number, its size, then bytes that follow from both.
ByteVector question(uint32_t number, size_t size) {
    ByteVector bytes(8);
    wire::store_be32(&bytes[0], number);
    wire::store_be32(&bytes[4], static_cast<uint32_t>(size));
    const auto pattern = Pattern(number).at(0, size - 8);
    bytes.insert(bytes.end(), pattern.begin(), pattern.end());
    return bytes;
}

}  // namespace

Simulation::Simulation(uint64_t seed, uint16_t shards, Scenario scenario)
    : traced_port_(std::getenv("PASTA_SIM_TRACE") ? std::atol(std::getenv("PASTA_SIM_TRACE")) : -1),
      random_(seed),
      setup_(choose_setup(random_, shards, scenario)),
      memory_(setup_.chunks),
      arena_(memory_.bytes()),
      source_(setup_.chunks, setup_.scarcity, random_),
      from_guest_(events_, random_, setup_.from_guest,
                  [this](const ByteVector& frame) { on_frame_from_guest(frame); }),
      to_guest_(events_, random_, setup_.to_guest,
                [this](const ByteVector& frame) { on_frame_at_guest(frame); }) {
    const core::Secrets secrets{{seed, 1}, {seed, 2}, {seed, 3}};
    for (uint16_t i = 0; i < shards; ++i)
        shards_.push_back(
            std::make_unique<SimShard>(SimShard::Options{i, shards, secrets, port_config(setup_)},
                                       arena_, source_, random_, *this));
    for (uint16_t i = 0; i < setup_.tcp; ++i) {
        const TcpScript script = choose_tcp(random_, setup_, i);
        tcp_[script.key.guest_port] =
            std::make_unique<TcpConversation>(script, events_, random_, *this);
    }
    for (uint16_t i = 0; i < setup_.datagram; ++i)
        add_datagrams(static_cast<uint16_t>(20000 + i));
    for (unsigned i = 0; i < setup_.rekeys; ++i)
        events_.after(random_.below(2 * second), [this] { start_rekeying(); });
    plan_droughts();
}

Simulation::~Simulation() = default;

// When chunks run out, and when the conversations are due that have no reason to wait.
void Simulation::plan_droughts() {
    if (setup_.no_chunks.from != core::never) {
        events_.after(setup_.no_chunks.from - events_.now(), [this] { source_.withhold(true); });
        events_.after(setup_.no_chunks.until - events_.now(), [this] { source_.withhold(false); });
    }
    for (const auto& [port, conversation] : tcp_) {
        if (conversation->script().due == core::never) continue;
        events_.after(conversation->script().due, [this, c = conversation.get()] {
            if (!c->over()) complain("waits for a slow reader: " + c->describe());
        });
    }
}

std::string Simulation::run() {
    const core::Time start = events_.now();
    while (complaint_.empty() && !over()) {
        step();
        if (events_.now() - start > time_limit) complain("stuck");
    }
    summary_.duration = events_.now() - start;
    if (complaint_.empty()) return verdict();
    if (complaint_ != "stuck") return complaint_;
    for (const auto& [port, conversation] : tcp_)
        if (!conversation->over()) return "stuck: " + conversation->describe();
    return "stuck: the engine keeps flows that ended";
}

// To the next moment at which something happens; a shard with work left takes a turn soon.
void Simulation::step() {
    core::Time next = events_.next();
    bool any = false;
    for (const auto& shard : shards_) {
        next = std::min(next, shard->engine().next_deadline());
        any |= shard->busy();
    }
    if (any) next = std::min(next, events_.now() + 20 * core::microsecond);
    if (next == core::never) return complain("stuck");
    events_.advance_to(next);
    for (const auto& shard : shards_)
        if (shard->busy() || shard->engine().next_deadline() <= events_.now())
            shard->turn(events_.now());
}

bool Simulation::over() {
    for (const auto& [port, conversation] : tcp_)
        if (!conversation->over()) return false;
    for (const auto& shard : shards_) {
        core::Engine& engine = shard->engine();
        if (engine.tcp().flows() + engine.udp().flows() + engine.echo().flows() != 0) return false;
        if (shard->busy()) return false;
    }
    return events_.next() == core::never;
}

// The control thread: all shards search before the first one has the new secret, and at least
// until the last one has it.
void Simulation::start_rekeying() {
    if (rekeying_ != 0) return;
    rekeying_ = shard_count();
    for (const auto& shard : shards_)
        shard->engine().steering().search = true;
    const core::SipKey key{random_.below(UINT64_MAX), random_.below(UINT64_MAX)};
    // Slower than it would be, so that flows begin in between.
    for (const auto& shard : shards_)
        events_.after(random_.below(second), [this, key, s = shard.get()] {
            s->engine().rekey(key);
            --rekeying_;
        });
}

bool Simulation::searching() const {
    if (rekeying_ != 0) return true;
    for (const auto& shard : shards_)
        if (shard->engine().context().table.old_flows() != 0) return true;
    return false;
}

// Frames from the guest.

test::GuestPackets Simulation::packets(bool v6) {
    test::GuestPackets p;
    p.src = guest_address(v6);
    p.dst = peer_address(v6);
    return p;
}

void Simulation::send_segment(const TcpScript& script, const GuestSegment& segment) {
    trace("sends", script.key.guest_port, segment.header, segment.length);
    // The checksum stays incomplete, as from a veth.
    ByteVector upper(wire::tcp_header_size(segment.header));
    segment.header.emit(upper);
    if (segment.length != 0) {
        const auto payload = script.guest.sent.at(segment.offset, segment.length);
        upper.insert(upper.end(), payload.begin(), payload.end());
    }
    ByteVector frame = packets(script.key.guest.is_v6()).ip(wire::protocol_tcp, upper);
    if (frame.size() < 60 && random_.chance(0.5)) frame.resize(60, 0xaa);  // Ethernet's padding
    from_guest_.send(std::move(frame));
}

// About a bare segment that the guest received.
void Simulation::send_unreachable(const TcpScript& script, const wire::TcpHeader& header) {
    const bool v6 = script.key.guest.is_v6();
    const test::GuestPackets p = packets(v6);
    const test::GuestPackets received{.src = p.dst, .dst = p.src};
    ByteVector segment(wire::tcp_header_size(header));
    header.emit(segment);
    const ByteVector frame = received.ip(wire::protocol_tcp, segment);
    guest_reported_ = true;
    from_guest_.send(p.unreachable(wire::Bytes{frame}.subspan(14)));
}

// A worker of the host accepts the connection, any of them.
void Simulation::connect_to_host(const TcpScript& script) {
    const size_t shard = random_.below(shards_.size());
    const auto key =
        core::inbound_key(*shards_[shard]->engine().context().port(0), wire::protocol_tcp,
                          script.key.peer, script.key.peer_port, script.key.guest_port);
    if (!key || *key != script.key) return complain("a client became another flow");
    shards_[shard]->receive(SimArrival{*key});
}

void Simulation::on_frame_from_guest(const ByteVector& frame) {
    shards_[random_.below(shards_.size())]->receive(frame);
}

void Simulation::add_datagrams(uint16_t id) {
    DatagramScript& script = datagrams_[id];
    script.echo = random_.chance(0.5);
    script.v6 = random_.chance(0.5);
    script.id = id;
    script.largest = setup_.mtu - 48u;
    const auto count = static_cast<uint32_t>(random_.between(1, 40));
    for (uint32_t i = 0; i < count; ++i)
        events_.after(random_.below(3 * second), [this, &script, i] { ask(script, i); });
}

void Simulation::ask(DatagramScript& script, uint32_t number) {
    const size_t size = random_.between(8, std::min<size_t>(script.largest, 9000));
    script.asked[number] = size;
    const test::GuestPackets p = packets(script.v6);
    const ByteVector payload = question(number, size);
    from_guest_.send(script.echo ? p.echo(script.id, static_cast<uint16_t>(number), payload)
                                 : p.udp(script.id, service_port, payload));
}

// Frames to the guest.

void Simulation::on_frame_to_guest(ByteVector frame, const core::TxFrame& info) {
    if (frame.size() > setup_.mtu + 14u) return complain("a frame larger than the MTU");
    if (!complete_checksum(frame, info)) return complain("a malformed frame to the guest");
    to_guest_.send(std::move(frame));
}

void Simulation::on_frame_at_guest(const ByteVector& frame) {
    const auto ethernet = wire::EthernetHeader::parse(frame);
    const auto ip =
        wire::parse_ip(ethernet->ethertype, wire::Bytes{frame}.subspan(14), frame.size() - 14);
    const wire::Bytes upper =
        wire::Bytes{frame}.subspan(14u + ip->header_length, ip->payload_length);
    if (ip->protocol == wire::protocol_tcp) {
        const auto header = wire::TcpHeader::parse(upper);
        if (!header || !tcp_.contains(header->dst_port)) return complain("a segment for nobody");
        trace("gets", header->dst_port, *header, upper.size() - header->header_length);
        tcp_[header->dst_port]->on_segment(*header, upper.subspan(header->header_length));
    } else if (ip->protocol == wire::protocol_udp) {
        const auto header = wire::UdpHeader::parse(upper, upper.size());
        if (!header || !datagrams_.contains(header->dst_port))
            return complain("a datagram for nobody");
        on_reply(datagrams_[header->dst_port], upper.subspan(wire::UdpHeader::size));
    } else {
        on_icmp_at_guest(*ip, upper);
    }
}

void Simulation::on_icmp_at_guest(const wire::IpPacket& ip, wire::Bytes message) {
    const auto echo = wire::IcmpEcho::parse(message);
    const bool v4 = ip.dst.is_v4();
    if (!echo) return complain("a short ICMP message");
    if (echo->type == (v4 ? wire::icmpv4::echo_reply : wire::icmpv6::echo_reply)) {
        if (!datagrams_.contains(echo->id)) return complain("an echo reply for nobody");
        return on_reply(datagrams_[echo->id], message.subspan(wire::IcmpEcho::size));
    }
    // An error: the quoted packet tells whom it is for.
    const wire::Bytes quoted = message.subspan(wire::IcmpError::size);
    const auto inner =
        wire::parse_ip(v4 ? wire::ethertype_ipv4 : wire::ethertype_ipv6, quoted, SIZE_MAX);
    if (!inner || inner->protocol != wire::protocol_tcp)
        return complain("an ICMP error that nobody caused");
    const uint16_t port = wire::load_be16(&quoted[inner->header_length]);
    if (!tcp_.contains(port)) return complain("an ICMP error for nobody");
    tcp_[port]->on_unreachable();
}

void Simulation::on_reply(DatagramScript& script, wire::Bytes payload) {
    if (payload.size() < 8) return complain("a short reply");
    const uint32_t number = wire::load_be32(payload.data());
    const auto asked = script.asked.find(number);
    if (asked == script.asked.end() || asked->second != payload.size() ||
        !std::ranges::equal(payload, question(number, payload.size())))
        return complain("a reply to nothing that was asked");
    ++summary_.replies;
}

void Simulation::trace(const char* what, uint16_t guest_port, const wire::TcpHeader& h,
                       size_t length) {
    if (guest_port != traced_port_) return;
    std::printf("%12.6f guest %u %-5s%s%s%s%s seq %u len %zu ack %u window %u\n",
                static_cast<double>(events_.now()) / second, guest_port, what,
                h.has(wire::tcp_syn) ? " SYN" : "", h.has(wire::tcp_fin) ? " FIN" : "",
                h.has(wire::tcp_rst) ? " RST" : "", h.has(wire::tcp_ack) ? " ACK" : "", h.seq,
                length, h.ack, h.window);
}

// The host.

std::pair<HostSocket*, int> Simulation::open_tcp(const core::FlowKey& key,
                                                 std::function<void()> on_edge) {
    const auto found = tcp_.find(key.guest_port);
    if (found == tcp_.end() || found->second->script().key != key) {
        complain("a connection that nobody asked for");
        return {nullptr, ECONNREFUSED};
    }
    if (setup_.no_descriptors.contains(events_.now())) return {nullptr, EMFILE};
    return found->second->open(std::move(on_edge));
}

HostSocket* Simulation::accept_tcp(const core::FlowKey& key, std::function<void()> on_edge) {
    return tcp_.at(key.guest_port)->accepted(std::move(on_edge));
}

// The peer answers most datagrams with an echo of them.
void Simulation::on_datagram(uint16_t shard, core::FlowId flow, const core::FlowKey& key,
                             ByteVector payload) {
    const auto found = datagrams_.find(key.guest_port);
    if (found == datagrams_.end()) return complain("a datagram from nobody");
    if (found->second.echo)
        payload[0] = key.peer.is_v4() ? wire::icmpv4::echo_reply : wire::icmpv6::echo_reply;
    const wire::Bytes content =
        wire::Bytes{payload}.subspan(found->second.echo ? wire::IcmpEcho::size : 0);
    if (content.size() < 8 ||
        !std::ranges::equal(content, question(wire::load_be32(content.data()), content.size())))
        return complain("a datagram with wrong content");
    if (random_.chance(0.1)) return;
    events_.after(random_.below(50 * millisecond), [this, shard, flow, p = std::move(payload)] {
        shards_[shard]->deliver(flow, p);
    });
}

void Simulation::hand_over(uint16_t to, SimHandover mail) {
    ++summary_.handed_over;
    events_.after(random_.below(100 * core::microsecond),
                  [this, to, mail] { shards_[to]->receive(mail); });
}

void Simulation::hand_over(uint16_t to, SimArrival arrival) {
    ++summary_.handed_over;
    events_.after(random_.below(100 * core::microsecond),
                  [this, to, arrival] { shards_[to]->receive(arrival); });
}

// The judgement.

std::string Simulation::verdict() {
    for (const auto& [port, conversation] : tcp_)
        if (const std::string what = conversation->verdict(); !what.empty()) return what;
    const std::string counters = verdict_on_counters();
    if (!counters.empty()) return counters;
    for (const auto& shard : shards_)
        if (shard->open_sockets() != 0) return "a socket was never closed";
    shards_.clear();
    return source_.size() == arena_.size() ? "" : "chunks leaked, or freed twice";
}

std::string Simulation::verdict_on_counters() {
    uint64_t up = 0, down = 0;
    for (const auto& shard : shards_) {
        const core::Counters& c = shard->engine().context().counters;
        up += c.tcp_bytes_to_sock.value();
        down += c.tcp_bytes_to_tap.value();
        summary_.tcp += c.tcp_opened.value();
        summary_.inbound += c.tcp_accepted.value();
        summary_.retransmits += c.tcp_retransmits.value();
        if (c.frames_from_tap.value() != shard->frames_received())
            return "frames_from_tap is not what came";
        // Nothing that the guest sent gives reason for any of these.
        for (const core::Counter* none :
             {&c.drop_truncated, &c.drop_bad_length, &c.drop_bad_checksum, &c.drop_bad_header,
              &c.drop_extension_headers, &c.drop_fragment, &c.drop_ethertype, &c.drop_protocol,
              &c.drop_address, &c.drop_disabled, &c.drop_no_port, &c.drop_flow_limit})
            if (none->value() != 0) return "a frame was dropped for a reason that it did not give";
        // An error may come when the connection that it is about is gone.
        if (c.drop_ignored.value() != 0 && !guest_reported_) return "a frame was ignored";
    }
    for (const auto& [port, conversation] : tcp_) {
        summary_.bytes_up += conversation->host_took();
        summary_.bytes_down += conversation->host_gave();
    }
    if (up != summary_.bytes_up) return "tcp_bytes_to_sock is not what the host took";
    if (down != summary_.bytes_down) return "tcp_bytes_to_tap is not what the host gave";
    return "";
}

}  // namespace pasta::sim
