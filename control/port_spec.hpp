// Which ports are forwarded, in the syntax of pasta's -t, -u, -T and -U.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/core/listener_config.hpp"
#include "dataplane/wire/address.hpp"

namespace pasta::control {

/// Ports from first to last, both included; first <= last.
struct PortRange {
    uint16_t first = 0;
    uint16_t last = 0;
    bool operator==(const PortRange&) const = default;
};

/// The listening ports `from` and, for the first of them, the port on the other side; the others
/// follow in order.
struct PortMapping {
    PortRange from;
    uint16_t to = 0;
    bool operator==(const PortMapping&) const = default;
};

/// One SPEC:
///   none | [[ADDRESS][%INTERFACE]/]auto | [[ADDRESS][%INTERFACE]/]all |
///   [[ADDRESS][%INTERFACE]/]LIST
///   LIST: items with commas between, each FIRST[-LAST][:FIRST[-LAST]] or ~FIRST[-LAST]
/// An IPv6 address may stand in square brackets. Items with ~ are exclusions; when there is nothing
/// else in the list, all ports that are neither ephemeral nor excluded are meant. `auto` means what
/// listens on the other side, `all` every port that is not ephemeral.
struct PortSpec {
    enum class Kind { none, automatic, all, list };

    Kind kind = Kind::none;
    std::optional<wire::IpAddress> address;  ///< to listen on; unset = any
    std::string interface;                   ///< to listen on; empty = any
    std::vector<PortMapping> mappings;       ///< in the order given
    std::vector<PortRange> exclusions;       ///< no two overlap

    /// True where no port is named: then a port that is in use is passed over.
    bool takes_what_is_free() const {
        return kind == Kind::automatic || kind == Kind::all ||
               (kind == Kind::list && mappings.empty());
    }
    bool operator==(const PortSpec&) const = default;
};

using core::ListenSide;

/// Reads one SPEC, in which only the host's side may name an address or an interface. Throws
/// ValueError (control/value_syntax.hpp).
PortSpec parse_port_spec(std::string_view text, ListenSide side);

/// Reads one entry of `forward` in the config file: a SPEC, or ADDRESS:PORTS:PORTS with a colon
/// instead of the slash, as other container tools write it. Throws ValueError.
PortSpec parse_forward_entry(std::string_view text, ListenSide side);

/// The mappings that are left of a list, or of all ports, without exclusions and, where no port is
/// named, without the `ephemeral` ones. Nothing for none and auto.
std::vector<PortMapping> expand(const PortSpec& spec, const PortRange& ephemeral);

/// As parse_port_spec() reads it, an IPv6 address in brackets.
std::string to_text(const PortSpec& spec);

}  // namespace pasta::control
