// DHCP messages as a server sees them (RFC 2131, options RFC 2132), BOOTP (RFC 951) included.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

inline constexpr uint16_t dhcp_server_port = 67;
inline constexpr uint16_t dhcp_client_port = 68;

enum class Dhcp4MessageType : uint8_t {
    discover = 1,
    offer = 2,
    request = 3,
    decline = 4,
    ack = 5,
    nak = 6,
    release = 7,
    inform = 8,
};

namespace dhcp4_option {
inline constexpr uint8_t pad = 0;
inline constexpr uint8_t subnet_mask = 1;
inline constexpr uint8_t router = 3;
inline constexpr uint8_t dns_servers = 6;
inline constexpr uint8_t hostname = 12;
inline constexpr uint8_t domain_name = 15;
inline constexpr uint8_t interface_mtu = 26;
inline constexpr uint8_t requested_address = 50;
inline constexpr uint8_t lease_time = 51;
inline constexpr uint8_t overload = 52;
inline constexpr uint8_t message_type = 53;
inline constexpr uint8_t server_id = 54;
inline constexpr uint8_t parameter_list = 55;
inline constexpr uint8_t max_message_size = 57;
inline constexpr uint8_t client_id = 61;
inline constexpr uint8_t rapid_commit = 80;       // RFC 4039
inline constexpr uint8_t fqdn = 81;               // RFC 4702
inline constexpr uint8_t domain_search = 119;     // RFC 3397
inline constexpr uint8_t classless_routes = 121;  // RFC 3442
inline constexpr uint8_t end = 255;
}  // namespace dhcp4_option

/// Fields that requests and replies share. Client addresses and the like are IPv4.
struct Dhcp4Fixed {
    /// Up to and including the magic cookie.
    static constexpr size_t size = 240;

    uint8_t hardware_type = 1;
    uint8_t hardware_length = 6;
    uint32_t transaction_id = 0;
    bool broadcast = false;                      ///< the client cannot receive unicast yet
    IpAddress client = IpAddress::v4(0);         ///< ciaddr
    IpAddress your = IpAddress::v4(0);           ///< yiaddr
    IpAddress server = IpAddress::v4(0);         ///< siaddr
    IpAddress relay = IpAddress::v4(0);          ///< giaddr
    std::array<uint8_t, 16> hardware_address{};  ///< chaddr
};

/// A client's message. Spans point into the parsed bytes.
struct Dhcp4Request {
    Dhcp4Fixed fixed;
    std::optional<Dhcp4MessageType> type;  ///< absent in BOOTP
    std::optional<IpAddress> requested_address;
    std::optional<IpAddress> server_id;
    std::optional<uint8_t> fqdn_flags;  ///< of option 81, when the client sent it
    Bytes parameter_list;               ///< option codes in the client's order
    Bytes client_id;
    uint16_t max_message_size = 576;  ///< bytes of the IP packet; at least 576
    bool rapid_commit = false;

    /// `message` is the UDP payload. Nothing when it is shorter than BOOTP's fixed fields, not a
    /// request, when an option runs over its field, or the message type is none of RFC 2131. A
    /// message without the magic cookie is BOOTP without options. Overloaded options (52) are read
    /// from the file and sname fields. Options of a wrong length are ignored.
    static std::optional<Dhcp4Request> parse(Bytes message);
};

/// Appends the fixed fields of a reply (op 2) and the magic cookie. No sname, no file.
void emit_dhcp4_reply(Writer& out, const Dhcp4Fixed& fixed);

/// Appends one option, as several with the same code if it is longer than 255 bytes (RFC 3396).
/// Appends nothing and returns false when it does not fit `out`.
bool emit_dhcp4_option(Writer& out, uint8_t code, Bytes body);

/// The number of bytes that emit_dhcp4_option() needs.
constexpr size_t dhcp4_option_size(size_t body) {
    const size_t pieces = body == 0 ? 1 : (body + 254) / 255;
    return body + 2 * pieces;
}

}  // namespace pasta::wire
