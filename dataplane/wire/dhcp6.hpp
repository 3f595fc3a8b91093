// DHCPv6 messages as a server sees them (RFC 8415).
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/wire/address.hpp"
#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

inline constexpr uint16_t dhcp6_server_port = 547;
inline constexpr uint16_t dhcp6_client_port = 546;

/// ff02::1:2, all relay agents and servers (RFC 8415, 7.1).
inline constexpr IpAddress all_dhcp6_servers{
    {0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2}};

enum class Dhcp6MessageType : uint8_t {
    solicit = 1,
    advertise = 2,
    request = 3,
    confirm = 4,
    renew = 5,
    rebind = 6,
    reply = 7,
    release = 8,
    decline = 9,
    information_request = 11,
};

enum class Dhcp6Status : uint16_t {
    success = 0,
    no_addrs_avail = 2,
    not_on_link = 4,
    no_prefix_avail = 6,
};

namespace dhcp6_option {
inline constexpr uint16_t client_id = 1;
inline constexpr uint16_t server_id = 2;
inline constexpr uint16_t ia_na = 3;
inline constexpr uint16_t ia_ta = 4;
inline constexpr uint16_t ia_address = 5;
inline constexpr uint16_t preference = 7;
inline constexpr uint16_t status_code = 13;
inline constexpr uint16_t rapid_commit = 14;
inline constexpr uint16_t dns_servers = 23;  // RFC 3646
inline constexpr uint16_t domain_list = 24;  // RFC 3646
inline constexpr uint16_t ia_pd = 25;
inline constexpr uint16_t client_fqdn = 39;  // RFC 4704
}  // namespace dhcp6_option

/// RFC 8415, 11.1: a DUID has a type of two bytes and at most 128 bytes more.
inline constexpr size_t dhcp6_max_duid = 130;

/// One option; `body` points into the parsed bytes.
struct Dhcp6Option {
    uint16_t code = 0;
    Bytes body;
};

/// Walks a list of options.
class Dhcp6Options {
  public:
    explicit Dhcp6Options(Bytes options) : reader_(options) {}

    /// The next option; nothing at the end, or when one runs over it (see ok()).
    std::optional<Dhcp6Option> next();
    bool ok() const { return reader_.ok(); }

  private:
    Reader reader_;
};

/// An identity association as a client sent it: IA_NA, or IA_PD without regard to its prefixes.
struct Dhcp6Association {
    uint32_t id = 0;  ///< IAID
    Bytes options;    ///< well-formed

    /// `body` is that of an IA_NA or IA_PD option.
    static std::optional<Dhcp6Association> parse(Bytes body);
};

/// The address of an IA Address option's body.
std::optional<IpAddress> parse_dhcp6_ia_address(Bytes body);

/// A client's message. Spans point into the parsed bytes.
struct Dhcp6Request {
    Dhcp6MessageType type = Dhcp6MessageType::solicit;
    uint32_t transaction_id = 0;  ///< 24 bits
    std::optional<Bytes> client_id;
    std::optional<Bytes> server_id;
    std::optional<uint8_t> fqdn_flags;  ///< of option 39, when the client sent it
    bool rapid_commit = false;
    bool has_association = false;  ///< IA_NA, IA_TA or IA_PD
    Bytes options;                 ///< all of them, well-formed

    /// `message` is the UDP payload. Nothing when it is cut short, an option (also one inside an
    /// IA_NA or IA_PD) runs over, a DUID is too long or empty, or the type is none that clients
    /// send to servers (a relay's, for example).
    static std::optional<Dhcp6Request> parse(Bytes message);
};

/// Appends one option, whose body `write_body` appends to the same writer.
template <class WriteBody>
void emit_dhcp6_option(Writer& out, uint16_t code, WriteBody write_body) {
    out.be16(code);
    const size_t length_field = out.position();
    out.be16(0);
    const size_t start = out.position();
    write_body();
    if (out.ok())
        store_be16(&out.written()[length_field], static_cast<uint16_t>(out.position() - start));
}
/// Appends a status code option without a message.
void emit_dhcp6_status(Writer& out, Dhcp6Status status);

}  // namespace pasta::wire
