// Counters as text, for --stats.
#pragma once

#include <string>
#include <vector>

#include "control/attachment.hpp"
#include "dataplane/core/counters.hpp"

namespace pasta::control {

void add(Attachment::Statistics& sum, const Attachment::Statistics& more);

/// One line "name value  meaning" for each counter: those of the workers summed, then the clients
/// that the gate `refused`, then those of links, rings and sockets (struct xdp_statistics).
std::string format_statistics(const std::vector<const core::Counters*>& workers,
                              const Attachment::Statistics& links, uint64_t refused);

}  // namespace pasta::control
