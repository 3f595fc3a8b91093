// Which port rules of a configuration cannot hold, alone or together.
#pragma once

#include <optional>
#include <vector>

#include "control/config.hpp"

namespace pasta::control {

/// The address that a rule listens on, on the host; nothing = any of both families, which is one
/// dual-stack socket. A rule without an address is narrowed to the family that is enabled.
std::optional<wire::IpAddress> listen_address(const ForwardRule& rule, bool ipv4, bool ipv6);

/// Looks for rules of a disabled protocol or family and, among those that name their ports, for two
/// that want the same one: on the host between all namespaces, on the loopback of each namespace.
/// Whether two listeners get along is the kernel's rule: same protocol and port, no interface or
/// the same, no address or the same, or one of them the unspecified address of their family.
/// `auto` and `all` take what is left and so contradict nobody. Throws ConfigError, with the origin
/// of the rule that came second.
void check_forwards(const std::vector<NamespaceConfig>& namespaces);

}  // namespace pasta::control
