#include "dataplane/core/icmp_error.hpp"

#include <algorithm>
#include <cerrno>

#include "dataplane/core/frame_builder.hpp"
#include "dataplane/wire/checksum.hpp"
#include "dataplane/wire/ipv4.hpp"
#include "dataplane/wire/ipv6.hpp"

namespace pasta::core {
namespace {

std::optional<wire::IcmpError> icmpv4_for_errno(int host_errno) {
    const auto unreachable = [](uint8_t code) {
        return wire::IcmpError{.type = wire::icmpv4::destination_unreachable, .code = code};
    };
    switch (host_errno) {
        case ENETUNREACH:
        case ENETDOWN:
        case EADDRNOTAVAIL:  // the host has no address of that family to send from
        case EAFNOSUPPORT:
            return unreachable(wire::icmpv4::net_unreachable);
        case EHOSTUNREACH:
        case EHOSTDOWN:
            return unreachable(wire::icmpv4::host_unreachable);
        case ENOPROTOOPT:
            return unreachable(wire::icmpv4::protocol_unreachable);
        case ECONNREFUSED:
            return unreachable(wire::icmpv4::port_unreachable);
        case EMSGSIZE:
            return unreachable(wire::icmpv4::fragmentation_needed);
        case EACCES:
        case EPERM:
            return unreachable(wire::icmpv4::administratively_prohibited);
        default:
            return std::nullopt;
    }
}

std::optional<wire::IcmpError> icmpv6_for_errno(int host_errno) {
    const auto unreachable = [](uint8_t code) {
        return wire::IcmpError{.type = wire::icmpv6::destination_unreachable, .code = code};
    };
    switch (host_errno) {
        case ENETUNREACH:
        case ENETDOWN:
        case EADDRNOTAVAIL:
        case EAFNOSUPPORT:
            return unreachable(wire::icmpv6::no_route);
        case EHOSTUNREACH:
        case EHOSTDOWN:
            return unreachable(wire::icmpv6::address_unreachable);
        case ECONNREFUSED:
            return unreachable(wire::icmpv6::port_unreachable);
        case EMSGSIZE:
            return wire::IcmpError{.type = wire::icmpv6::packet_too_big};
        case EACCES:
        case EPERM:
            return unreachable(wire::icmpv6::administratively_prohibited);
        default:
            return std::nullopt;
    }
}

/// An address that the namespace accepts an error from: not its own, not a loopback one.
wire::IpAddress error_source(const PortConfig& config, const IcmpErrorMessage& m) {
    if (m.offender && m.offender->is_v4() == m.guest.is_v4() && servable(m.guest, *m.offender) &&
        *m.offender != m.guest)
        return *m.offender;
    if (m.guest.is_v6()) return config.our_link_local;
    return config.gateway4.value_or(m.peer);
}

/// Writes the quoted IP header; returns its size.
size_t emit_quoted_header(const IcmpErrorMessage& m, wire::MutableBytes out) {
    if (m.guest.is_v4()) {
        wire::Ipv4Header ip;
        ip.src = m.guest;
        ip.dst = m.peer;
        ip.protocol = m.protocol;
        ip.ttl = m.options.hop_limit;
        ip.tos = m.options.traffic_class;
        ip.dont_fragment = m.options.dont_fragment;
        ip.total_length = static_cast<uint16_t>(wire::Ipv4Header::size + m.upper_length);
        ip.emit(out);
        return wire::Ipv4Header::size;
    }
    wire::Ipv6Header ip;
    ip.src = m.guest;
    ip.dst = m.peer;
    ip.next_header = m.protocol;
    ip.hop_limit = m.options.hop_limit;
    ip.traffic_class = m.options.traffic_class;
    ip.payload_length = static_cast<uint16_t>(m.upper_length);
    ip.emit(out);
    return wire::Ipv6Header::size;
}

}  // namespace

std::optional<wire::IcmpError> icmp_for_errno(int host_errno, bool is_v4) {
    return is_v4 ? icmpv4_for_errno(host_errno) : icmpv6_for_errno(host_errno);
}

size_t emit_icmp_error(const IcmpErrorMessage& m, wire::MutableBytes out) {
    m.error.emit(out);
    size_t size = wire::IcmpError::size;
    size += emit_quoted_header(m, out.subspan(size));
    const wire::Bytes quote =
        m.upper.first(std::min(m.upper.size(), m.guest.is_v4() ? max_quote4 : max_quote6));
    if (!quote.empty()) std::memcpy(&out[size], quote.data(), quote.size());
    size += quote.size();
    wire::store_be16(&out[wire::icmp_checksum_offset], 0);
    if (m.guest.is_v4())
        wire::store_be16(&out[wire::icmp_checksum_offset],
                         wire::checksum_finish(wire::checksum_add(out.first(size))));
    return size;
}

void send_icmp_error(Context& context, Port& port, const wire::MacAddress& dst_mac,
                     const IcmpErrorMessage& m) {
    const ChunkId chunk = alloc_frame(context);
    if (chunk == no_chunk) return;
    const wire::MutableBytes frame{context.arena().data(chunk) + tx_metadata_size,
                                   chunk_size - tx_metadata_size};
    const size_t envelope = envelope_size(m.guest);
    const wire::MutableBytes icmp = frame.subspan(envelope);
    const size_t size = emit_icmp_error(m, icmp);

    Envelope e;
    e.src_mac = port.config.our_mac;
    e.dst_mac = dst_mac;
    e.src = error_source(port.config, m);
    e.dst = m.guest;
    e.protocol = m.guest.is_v4() ? wire::protocol_icmp : wire::protocol_icmpv6;
    emit_envelope(e, static_cast<uint32_t>(size), frame);
    if (m.guest.is_v6()) {
        const uint32_t pseudo =
            wire::pseudo_header_sum(e.src, e.dst, e.protocol, static_cast<uint32_t>(size));
        wire::store_be16(&icmp[wire::icmp_checksum_offset],
                         wire::checksum_finish(wire::checksum_add(icmp.first(size), pseudo)));
    }
    ++context.counters.icmp_errors_to_tap;
    queue_frame(context, port, chunk, tx_metadata_size, static_cast<uint16_t>(envelope + size));
}

}  // namespace pasta::core
