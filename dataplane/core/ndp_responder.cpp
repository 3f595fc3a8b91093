#include "dataplane/core/ndp_responder.hpp"

#include <algorithm>

#include "dataplane/core/service_frame.hpp"
#include "dataplane/wire/icmp.hpp"
#include "dataplane/wire/ndp.hpp"

namespace pasta::core {
namespace {

constexpr uint16_t router_lifetime = 65535;  // seconds, the largest of RFC 8319
constexpr uint8_t slaac_prefix_length = 64;  // RFC 4862 with RFC 2464 interface identifiers

/// The prefix to form addresses in. It is on-link only where the host's own prefix covers it;
/// otherwise (a lone /128, say) its other addresses are reached through us, the router.
wire::PrefixInformation prefix_information(const Prefix& address) {
    wire::PrefixInformation prefix;
    prefix.prefix = address.address;
    std::fill(prefix.prefix.octets.begin() + slaac_prefix_length / 8, prefix.prefix.octets.end(),
              uint8_t{0});
    prefix.length = slaac_prefix_length;
    prefix.autonomous = true;
    prefix.on_link = address.length <= slaac_prefix_length;
    return prefix;
}

size_t advertise_router(const PortConfig& config, const FrameAddresses& addresses,
                        wire::MutableBytes out) {
    if (!config.serves_ipv6() || !config.ndp || !config.router_advertisements) return 0;
    wire::RouterAdvertisement advertisement;
    advertisement.managed = config.dhcpv6 && config.address6;
    advertisement.other = config.dhcpv6;
    advertisement.router_lifetime = router_lifetime;
    advertisement.source_mac = config.our_mac;
    advertisement.mtu = config.mtu;
    if (config.address6) advertisement.prefix = prefix_information(*config.address6);
    advertisement.dns = config.dns;
    advertisement.search = config.search;

    wire::Writer writer(message_room(out, icmpv6_message_offset, config.mtu));
    advertisement.emit(writer);
    return writer.ok() ? finish_ndp_frame(out, addresses, writer.position()) : 0;
}

size_t answer_router_solicitation(const PortConfig& config, const NdpFrame& request,
                                  wire::MutableBytes out) {
    const auto solicitation = wire::RouterSolicitation::parse(request.message);
    if (!solicitation) return 0;
    if (!request.ip.src.is_unspecified())
        return advertise_router(config,
                                {solicitation->source_mac.value_or(request.ethernet.src),
                                 config.our_mac, request.ip.src, config.our_link_local},
                                out);
    // Without an address it cannot have a link-layer address to tell (RFC 4861, 6.1.1).
    return solicitation->source_mac ? 0 : router_advertisement(config, out);
}

size_t answer_neighbor_solicitation(const PortConfig& config, const NdpFrame& request,
                                    wire::MutableBytes out) {
    const auto solicitation = wire::NeighborSolicitation::parse(request.message);
    if (!config.serves_ipv6() || !config.ndp || !solicitation || request.ip.src.is_unspecified())
        return 0;
    if (!solicitation->target.is_unicast() || solicitation->target.is_loopback()) return 0;
    if (config.address6 && solicitation->target == config.address6->address) return 0;

    wire::NeighborAdvertisement advertisement;
    advertisement.router = true;
    advertisement.solicited = true;
    advertisement.override_cache = true;
    advertisement.target = solicitation->target;
    advertisement.target_mac = config.our_mac;

    const wire::MutableBytes message = message_room(out, icmpv6_message_offset, config.mtu);
    if (message.size() < wire::NeighborAdvertisement::size) return 0;
    advertisement.emit(message);
    return finish_ndp_frame(out,
                            {solicitation->source_mac.value_or(request.ethernet.src),
                             config.our_mac, request.ip.src, solicitation->target},
                            wire::NeighborAdvertisement::size);
}

}  // namespace

size_t ndp_reply(const PortConfig& config, wire::Bytes frame, wire::MutableBytes out) {
    const auto request = NdpFrame::parse(frame);
    if (!request || !(request->ip.src.is_unicast() || request->ip.src.is_unspecified())) return 0;
    // Each parser takes its own type only; the first byte says which one to ask.
    if (!request->message.empty() && request->message[0] == wire::icmpv6::router_solicitation)
        return answer_router_solicitation(config, *request, out);
    return answer_neighbor_solicitation(config, *request, out);
}

size_t router_advertisement(const PortConfig& config, wire::MutableBytes out) {
    return advertise_router(config,
                            {wire::multicast_mac(wire::all_nodes), config.our_mac, wire::all_nodes,
                             config.our_link_local},
                            out);
}

}  // namespace pasta::core
