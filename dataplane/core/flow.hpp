// What identifies a flow, and how the rest of the process refers to one.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/core/port_config.hpp"
#include "dataplane/core/siphash.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::core {

/// A flow as the namespace sees it. Ports in host byte order; for echo flows guest_port is the
/// identifier and peer_port is 0. Has no padding, so that it is hashed and compared as bytes.
struct FlowKey {
    wire::IpAddress guest;
    wire::IpAddress peer;
    uint16_t guest_port = 0;
    uint16_t peer_port = 0;
    PortId port = 0;
    uint16_t protocol = 0;

    bool operator==(const FlowKey&) const = default;
};
static_assert(sizeof(FlowKey) == 40, "hashed as bytes: no padding");

inline uint64_t hash(const SipKey& secret, const FlowKey& key) {
    return siphash(secret, &key, sizeof key);
}

enum class FlowKind : uint8_t {
    none,
    tcp,
    udp,
    echo,
    listener,  ///< no flow, but it has readiness to report as flows do
    // Between loopbacks, without frames (dataplane/splice). A connection has two sockets, each
    // named by a kind of its own; the rest of the id is the same.
    splice_tcp_client,
    splice_tcp_target,
    splice_udp,
};

/// Names one flow of one shard for as long as it lives; a later flow in the same place has another
/// generation, so a stale id (an event that was under way, an old timer) finds nothing.
struct FlowId {
    uint32_t index = 0;
    uint32_t generation : 24 = 0;
    uint32_t kind_bits : 8 = 0;

    FlowId() = default;
    FlowId(FlowKind kind, uint32_t slot, uint32_t gen)
        : index(slot), generation(gen & 0xffffff), kind_bits(static_cast<uint8_t>(kind)) {}

    FlowKind kind() const { return static_cast<FlowKind>(kind_bits); }
    explicit operator bool() const { return kind() != FlowKind::none; }
    bool operator==(const FlowId& o) const { return packed() == o.packed(); }
    /// For epoll_event.data and back.
    uint64_t packed() const {
        return uint64_t{index} | uint64_t{generation} << 32 | uint64_t{kind_bits} << 56;
    }
    static FlowId unpack(uint64_t v) {
        return {static_cast<FlowKind>(v >> 56), static_cast<uint32_t>(v),
                static_cast<uint32_t>(v >> 32) & 0xffffff};
    }
};

}  // namespace pasta::core
