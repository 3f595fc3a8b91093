#include "tests/fuzz/world.hpp"

#include "dataplane/core/chain.hpp"

namespace pasta::fuzz {

namespace {

constexpr size_t chunk_count = 512;
constexpr uint32_t mtus[] = {1500, 65520, 1280, 9000, 576, 68, 65535};
constexpr wire::IpAddress guest4 = wire::IpAddress::v4(198, 51, 100, 10);
constexpr wire::IpAddress peer4 = wire::IpAddress::v4(203, 0, 113, 7);
constexpr wire::IpAddress guest6{{0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10}};
constexpr wire::IpAddress peer6{{0x20, 0x01, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07}};
constexpr core::PortId ports = 2;

std::span<uint8_t> memory() {
    static test::ArenaMemory memory(chunk_count);  // once: it is most of what an input costs
    return memory.bytes();
}

core::PortConfig port_config(core::PortId id, uint32_t mtu) {
    core::PortConfig config;
    config.id = id;
    config.our_mac = {{0x02, 0, 0, 0, 0, 1}};
    config.guest_mac = {{0x02, 0, 0, 0, 0, 2}};
    config.mtu = mtu;
    config.workers = 2;
    config.address4 = core::Prefix{guest4, 24};
    config.gateway4 = wire::IpAddress::v4(198, 51, 100, 1);
    config.address6 = core::Prefix{guest6, 64};
    config.host_loopback4 = config.gateway4;
    config.dns = {peer4, peer6};
    config.search = {"lab.example", "example"};
    config.hostname = "job";
    config.fqdn = "job.lab.example";
    return config;
}

/// Makes the checksums right that the engine verifies, so that a change of a byte is not all that
/// it sees of a frame.
void repair_checksums(std::vector<uint8_t>& frame) {
    if (frame.size() < 34) return;
    const wire::MutableBytes ip = wire::MutableBytes{frame}.subspan(14);
    const uint16_t ethertype = wire::load_be16(&frame[12]);
    const size_t v4_header = size_t{ip[0] & 0x0fu} * 4;
    if (ethertype == wire::ethertype_ipv4 && v4_header >= 20 && v4_header <= ip.size()) {
        wire::store_be16(&ip[10], 0);
        wire::store_be16(&ip[10], wire::checksum_finish(wire::checksum_add(ip.first(v4_header))));
    }
    const auto packet = wire::parse_ip(ethertype, ip, ip.size());
    if (!packet || packet->fragment || packet->payload_length < 4) return;
    const bool v6 = packet->protocol == wire::protocol_icmpv6;
    if (!v6 && packet->protocol != wire::protocol_icmp) return;
    const wire::MutableBytes upper = ip.subspan(packet->header_length, packet->payload_length);
    const uint32_t pseudo = v6 ? wire::pseudo_header_sum(packet->src, packet->dst, packet->protocol,
                                                         packet->payload_length)
                               : 0;
    wire::store_be16(&upper[2], 0);
    wire::store_be16(&upper[2], wire::checksum_finish(wire::checksum_add(upper, pseudo)));
}

/// As the device does it.
void complete_checksum(std::vector<uint8_t>& frame, const core::TxFrame& info) {
    if (info.csum_start == 0) return;
    const size_t field = size_t{info.csum_start} + info.csum_offset;
    require(field + 2 <= frame.size(), "a checksum beyond the frame");
    const uint16_t sum =
        wire::checksum_finish(wire::checksum_add(wire::Bytes{frame}.subspan(info.csum_start)));
    wire::store_be16(&frame[field], sum == 0 ? uint16_t{0xffff} : sum);
}

void verify_tcp(const wire::IpPacket& ip, wire::Bytes upper) {
    if (ip.protocol != wire::protocol_tcp) return;
    const auto header = wire::TcpHeader::parse(upper);
    require(header.has_value(), "a malformed TCP header to the namespace");
    for (size_t i = header->header_length; i < upper.size(); ++i)
        require(
            upper[i] == stream_byte(header->seq + static_cast<uint32_t>(i - header->header_length)),
            "wrong bytes to the namespace");
}

}  // namespace

World::World(Input& input)
    : input_(input),
      arena_(memory()),
      source_(chunk_count),
      cache_(arena_, source_),
      mtu_(input_.pick(mtus)),
      engine_(cache_, core::Secrets{{1, 2}, {3, 4}, {5, 6}},
              core::Steering{0, static_cast<uint16_t>(1 + input_.below(2)), {1, 2}, false},
              {.tcp_flows = 6, .udp_flows = 4, .echo_flows = 3}),
      host_(engine_) {
    engine_.set_time(core::second);
    for (core::PortId id = 0; id < ports; ++id)
        engine_.attach(port_config(id, mtu_));
}

World::~World() = default;

void World::run() {
    while (!input_.empty())
        step(input_.u8());
    finish();
}

void World::step(uint8_t action) {
    context().limits = core::MemoryLimits::for_free_chunks(source_.size() + cache_.stock());
    switch (action % 16) {
        case 0:
        case 1:
        case 2:
            return segment();
        case 3:
            return raw_frame();
        case 4:
            return datagram();
        case 5:
            return echo();
        case 6:
            return fragment();
        case 7:
        case 8:
            return host_.execute(input_, 1 + action / 16u);
        case 9:
        case 10:
            return host_.report(input_);
        case 11:
            return pass_time();
        case 12:
            return hoard_chunks();
        case 13:
            return give_back_chunks();
        case 14:
            return action < 128 ? engine_.flush() : replace_port();
        default:
            return transmit(static_cast<core::PortId>(action / 16u % ports), action / 32u * 4u);
    }
}

// From a namespace.

void World::frame(std::span<const uint8_t> bytes) {
    core::Chain chain = core::copy_in(cache_, bytes, core::rx_headroom);
    if (chain.empty()) return;
    const auto id = static_cast<core::PortId>(bytes.size() % 7 == 0 ? 1 : 0);
    const auto elsewhere = engine_.on_frame(id, chain, 0);
    if (elsewhere) cache_.unref(chain);
}

void World::raw_frame() {
    const uint16_t choice = input_.u16();
    const auto bytes = input_.bytes(choice & 0x7ff);
    std::vector<uint8_t> raw(bytes.begin(), bytes.end());
    if ((choice & 0x8000) == 0) repair_checksums(raw);
    host_.stop_verifying();
    frame(raw);
}

test::GuestPackets World::packets(uint8_t choice) const {
    const bool v6 = (choice & 1) != 0;
    return {.src = v6 ? guest6 : guest4, .dst = v6 ? peer6 : peer4};
}

// A segment of one of a few connections, with numbers near those that count there.
void World::segment() {
    const uint8_t choice = input_.u8();
    const uint8_t shape = input_.u8();
    const test::GuestPackets link = packets(choice);
    wire::TcpHeader header;
    header.flags = input_.u8();
    header.src_port = static_cast<uint16_t>(40000 + (choice >> 1 & 1));
    header.dst_port = static_cast<uint16_t>(80 + (choice >> 2 & 1));
    header.window = (shape & 1) != 0 ? input_.u16() : uint16_t{64240};
    const core::FlowKey key{link.src,        link.dst, header.src_port,
                            header.dst_port, 0,        wire::protocol_tcp};
    const core::TcpFlow* flow = engine_.tcp().find(context().table.find(key));
    const core::TcpFlow none;
    const core::TcpFlow& f = flow != nullptr ? *flow : none;
    const auto near = [this] { return static_cast<uint32_t>(static_cast<int16_t>(input_.u16())); };
    const uint32_t seqs[] = {f.rcv_nxt, f.rcv_nxt + near(), f.rcv_edge, input_.u32()};
    header.seq = seqs[shape >> 1 & 3];
    const uint32_t acks[] = {f.snd_nxt, f.snd_una + near(), f.snd_una, input_.u32()};
    header.ack = acks[shape >> 3 & 3];
    const size_t lengths[] = {0, input_.u8(), 1460, input_.u16()};
    const size_t length = std::min<size_t>(lengths[shape >> 5 & 3], 65000);
    const auto options = input_.bytes((shape & 0x80) != 0 ? input_.below(41) & ~3u : 0);

    std::vector<uint8_t> upper(wire::TcpHeader::min_size);
    header.emit(upper);
    upper[12] = static_cast<uint8_t>((upper.size() + (options.size() & ~size_t{3})) / 4 << 4);
    upper.insert(upper.end(), options.begin(),
                 options.begin() + static_cast<ptrdiff_t>(options.size() & ~size_t{3}));
    for (size_t i = 0; i < length; ++i)
        upper.push_back(stream_byte(header.seq + static_cast<uint32_t>(i)));
    const std::vector<uint8_t> bytes = link.ip(wire::protocol_tcp, upper);
    core::Chain chain = core::copy_in(cache_, bytes, core::rx_headroom);
    if (chain.empty()) return;
    if (engine_.on_frame(0, chain, 0)) cache_.unref(chain);
}

void World::datagram() {
    const uint8_t choice = input_.u8();
    test::GuestPackets link = packets(choice);
    link.dont_fragment = (choice & 2) != 0;
    const auto start = input_.bytes(choice >> 4);
    std::vector<uint8_t> payload(start.begin(), start.end());
    if ((choice & 4) != 0) payload.resize(std::min<size_t>(input_.u16(), 65000));
    frame(link.udp(static_cast<uint16_t>(4000 + (choice >> 3 & 1)), 53, payload));
}

void World::echo() {
    const uint8_t choice = input_.u8();
    const std::vector<uint8_t> payload((choice & 2) != 0 ? std::min<size_t>(input_.u16(), 65000)
                                                         : size_t{choice});
    frame(packets(choice).echo(choice >> 2 & 3, 1, payload));
}

// Part of a datagram, maybe of a segment or of a message.
void World::fragment() {
    const uint8_t choice = input_.u8();
    const test::GuestPackets link = packets(choice);
    constexpr uint8_t protocols[] = {wire::protocol_udp, wire::protocol_tcp, wire::protocol_icmp,
                                     wire::protocol_icmpv6};
    const uint8_t protocol = protocols[choice >> 1 & 3];
    const auto offset = static_cast<uint16_t>(input_.u8() * 8);
    const auto start = input_.bytes(32);
    std::vector<uint8_t> data(start.begin(), start.end());
    data.resize(input_.u8() * ((choice & 8) != 0 ? 8 : 1));
    const bool more = (choice & 16) != 0;
    const uint8_t id = choice >> 5;
    host_.stop_verifying();
    if (link.dst.is_v4()) {
        std::vector<uint8_t> bytes = link.ip(protocol, data);
        wire::store_be16(&bytes[18], id);
        wire::store_be16(&bytes[20], static_cast<uint16_t>(offset / 8 | (more ? 0x2000 : 0)));
        repair_checksums(bytes);
        return frame(bytes);
    }
    std::vector<uint8_t> upper(8);
    upper[0] = protocol;
    wire::store_be16(&upper[2], offset | (more ? 1 : 0));
    upper[7] = id;
    upper.insert(upper.end(), data.begin(), data.end());
    frame(link.ip(wire::protocol_fragment, upper));
}

// Around the engine.

void World::pass_time() {
    const uint8_t choice = input_.u8();
    const core::Time longest = engine_.now() + 130 * core::second;
    core::Time to = engine_.now() + (core::microsecond << choice % 28);
    if (choice >= 0x80) to = std::max(engine_.now(), std::min(engine_.next_deadline(), longest));
    engine_.set_time(to);
    engine_.run_timers();
    require(engine_.next_deadline() > engine_.now(), "a deadline that stays due");
}

void World::hoard_chunks() {
    for (size_t left = 8 * input_.u8() + size_t{1}; left > 0; --left) {
        const core::ChunkId id = cache_.alloc();
        if (id == core::no_chunk) return;
        hoard_.push_back(id);
    }
}

void World::give_back_chunks() {
    for (const core::ChunkId id : hoard_)
        cache_.unref(id);
    hoard_.clear();
}

void World::replace_port() {
    const auto id = static_cast<core::PortId>(input_.below(ports));
    engine_.detach(id);
    if (input_.below(2) == 1) engine_.rekey({input_.u8(), 7});
    engine_.attach(port_config(id, mtu_));
}

void World::transmit(core::PortId id, size_t frames) {
    core::Port* port = context().port(id);
    if (port == nullptr) return;
    if (frames == 0) frames = SIZE_MAX;
    for (; frames > 0 && !port->tx.empty(); --frames) {
        const core::TxFrame info = port->tx.front();
        std::vector<uint8_t> bytes;
        for (size_t i = 0; i < info.slices; ++i) {
            const core::Slice& slice = port->tx.front_slice(i);
            require(slice.len != 0 && slice.offset >= core::tx_metadata_size &&
                        size_t{slice.offset} + slice.len <= core::chunk_size,
                    "a slice outside its chunk, or without room for metadata");
            const auto part = arena_.bytes(slice);
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        verify(bytes, info, *port);
        for (size_t i = 0; i < info.slices; ++i)
            cache_.unref(port->tx.front_slice(i).chunk);
        port->tx.pop();
    }
}

void World::verify(std::vector<uint8_t>& bytes, const core::TxFrame& info, const core::Port& port) {
    complete_checksum(bytes, info);
    const auto ethernet = wire::EthernetHeader::parse(bytes);
    require(ethernet.has_value(), "a frame shorter than its header");
    if (ethernet->ethertype == wire::ethertype_arp) return;
    require(bytes.size() <= port.config.mtu + size_t{14} || port.config.mtu < 1280,
            "a frame larger than the link");
    const wire::Bytes packet = wire::Bytes{bytes}.subspan(14);
    const auto ip = wire::parse_ip(ethernet->ethertype, packet, packet.size());
    require(static_cast<bool>(ip), "a malformed packet to the namespace");
    if (ip->fragment) return;
    const wire::Bytes upper = packet.subspan(ip->header_length, ip->payload_length);
    const uint32_t pseudo =
        ip->protocol == wire::protocol_icmp
            ? 0
            : wire::pseudo_header_sum(ip->src, ip->dst, ip->protocol, ip->payload_length);
    require(wire::checksum_finish(wire::checksum_add(upper, pseudo)) == 0,
            "a wrong checksum to the namespace");
    verify_tcp(*ip, upper);
}

void World::finish() {
    give_back_chunks();
    engine_.flush();
    for (core::PortId id = 0; id < ports; ++id) {
        transmit(id, 0);
        engine_.detach(id);
    }
    require(engine_.tcp().flows() + engine_.udp().flows() + engine_.echo().flows() == 0,
            "a flow without a namespace");
    require(context().table.size() == 0, "a key without a flow");
    require(engine_.reassembly().chunks() == 0, "a fragment without a namespace");
    Input none({});
    host_.execute(none, SIZE_MAX);
    require(host_.open_sockets() == 0, "a socket was never closed");
    cache_.flush();
    require(source_.size() == chunk_count, "chunks leaked, or freed twice");
}

}  // namespace pasta::fuzz
