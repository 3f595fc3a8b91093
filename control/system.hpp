// What the process needs of the machine: privileges, CPUs, limits, randomness.
#pragma once

#include <vector>

#include "control/config.hpp"
#include "dataplane/core/context.hpp"

namespace pasta::control {

/// Throws std::runtime_error that names the capabilities that are missing.
void require_capabilities();

/// The CPU of each worker. `auto` leaves the first usable CPU to the rest of the system when there
/// is more than one; a count takes the last ones. Throws std::runtime_error when there are fewer
/// usable CPUs than asked for, or a listed one is not usable.
std::vector<int> choose_cpus(const Workers& workers);

/// As many file descriptors as the hard limit allows.
void raise_descriptor_limit();
/// Back to what it was, in a child that is to execute something else: programs that use select(2)
/// cannot live with more. Async-signal-safe.
void restore_descriptor_limit();

/// Fresh secrets of getrandom(2). Throws std::system_error.
core::Secrets random_secrets();

}  // namespace pasta::control
