// Addresses as people write them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "dataplane/core/port_config.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::core {

inline bool operator==(const Prefix& a, const Prefix& b) {
    return a.address == b.address && a.length == b.length;
}

}  // namespace pasta::core

namespace pasta::control {

/// Dotted IPv4 or RFC 4291 IPv6 text, without zone and brackets; nothing for anything else. An
/// IPv4-mapped IPv6 address is read as the IPv4 address it stands for.
std::optional<wire::IpAddress> parse_address(std::string_view text);
/// Dotted IPv4, or IPv6 in the form of RFC 5952.
std::string to_text(const wire::IpAddress& address);

/// ADDRESS/LENGTH, the length in bits of the address's own family. Host bits may be set.
std::optional<core::Prefix> parse_prefix(std::string_view text);
std::string to_text(const core::Prefix& prefix);

/// A length in bits (0 to 32) from either that number or a contiguous dotted mask.
std::optional<uint8_t> parse_netmask(std::string_view text);

/// Six two-digit hexadecimal numbers with colons.
std::optional<wire::MacAddress> parse_mac(std::string_view text);
std::string to_text(const wire::MacAddress& mac);

}  // namespace pasta::control
