// From configuration and the host's state to what the dataplane needs to know about a namespace.
#pragma once

#include "control/config.hpp"
#include "control/link.hpp"
#include "control/template_interface.hpp"
#include "dataplane/core/port_config.hpp"

namespace pasta::control {

/// What the host offers to every namespace.
struct HostView {
    TemplateInterface interface;
    ResolverConfig resolver;
};

/// The addresses of the namespace's interface: those of the configuration; in a family without
/// any, the template's.
std::vector<core::Prefix> interface_addresses(const NamespaceConfig& config, const HostView& host);

/// The routes: in each family the template's, or a default route by the configured gateway.
std::vector<Route> interface_routes(const NamespaceConfig& config, const HostView& host);

/// Everything but id, workers and MAC addresses, which the caller knows.
core::PortConfig port_config(const NamespaceConfig& config, const HostView& host);

}  // namespace pasta::control
