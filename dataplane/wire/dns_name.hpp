// Domain names on the wire (RFC 1035, 3.1 and 4.1.4), as options of DHCP and NDP carry them.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "dataplane/wire/bytes.hpp"

namespace pasta::wire {

/// True when each label of `name` (dots between them, none at the end) has 1 to 63 bytes and the
/// whole fits the 255 bytes of RFC 1035, 2.3.4.
bool is_valid_dns_name(std::string_view name);

/// Writes a valid name as labels with a final root label: name.size() + 2 bytes.
void emit_dns_name(Writer& out, std::string_view name);

/// Writes the valid ones of `names` one after the other, and leaves out those that do not fit.
void emit_dns_names(Writer& out, std::span<const std::string> names);

/// The same with common endings replaced by pointers, which count from where `out` stood (RFC
/// 3397, 2). `out` must begin at its own start.
void emit_compressed_dns_names(Writer& out, std::span<const std::string> names);

}  // namespace pasta::wire
