#include "control/ip_text.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <bit>
#include <charconv>

namespace pasta::control {

namespace {

/// All of `text` as an unsigned number in digits only.
std::optional<unsigned> parse_number(std::string_view text, int base) {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::optional<wire::IpAddress> parse_address(std::string_view text) {
    const std::string terminated{text};
    std::array<uint8_t, 16> octets{};
    if (terminated.size() != std::char_traits<char>::length(terminated.c_str())) return {};
    if (inet_pton(AF_INET, terminated.c_str(), octets.data()) == 1)
        return wire::IpAddress::v4(std::span<const uint8_t, 4>{octets.data(), 4});
    if (inet_pton(AF_INET6, terminated.c_str(), octets.data()) == 1)
        return wire::IpAddress::v6(octets);
    return std::nullopt;
}

std::string to_text(const wire::IpAddress& address) {
    char text[INET6_ADDRSTRLEN];
    if (address.is_v4()) return inet_ntop(AF_INET, address.v4_octets().data(), text, sizeof text);
    return inet_ntop(AF_INET6, address.octets.data(), text, sizeof text);
}

std::optional<core::Prefix> parse_prefix(std::string_view text) {
    const size_t slash = text.find('/');
    if (slash == std::string_view::npos) return std::nullopt;
    const auto address = parse_address(text.substr(0, slash));
    const auto length = parse_number(text.substr(slash + 1), 10);
    if (!address || !length || *length > (address->is_v4() ? 32u : 128u)) return std::nullopt;
    return core::Prefix{*address, static_cast<uint8_t>(*length)};
}

std::string to_text(const core::Prefix& prefix) {
    return fmt::format("{}/{}", to_text(prefix.address), prefix.length);
}

std::optional<uint8_t> parse_netmask(std::string_view text) {
    if (const auto length = parse_number(text, 10)) {
        if (*length > 32) return std::nullopt;
        return static_cast<uint8_t>(*length);
    }
    const auto mask = parse_address(text);
    if (!mask || !mask->is_v4()) return std::nullopt;
    const int length = std::countl_one(mask->v4_number());
    if (std::popcount(mask->v4_number()) != length) return std::nullopt;
    return static_cast<uint8_t>(length);
}

std::optional<wire::MacAddress> parse_mac(std::string_view text) {
    wire::MacAddress mac;
    if (text.size() != 17) return std::nullopt;
    for (size_t i = 0; i < 6; ++i) {
        const auto octet = parse_number(text.substr(3 * i, 2), 16);
        if (!octet || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
        mac.octets[i] = static_cast<uint8_t>(*octet);
    }
    return mac;
}

std::string to_text(const wire::MacAddress& mac) {
    return fmt::format("{:02x}", fmt::join(mac.octets, ":"));
}

}  // namespace pasta::control
