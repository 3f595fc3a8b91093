// The command line of pasta-xdp.
#pragma once

#include <optional>
#include <string>

#include "control/config.hpp"

namespace pasta::control {

enum class LogLevel { warning, info, debug };

/// What one invocation asks for.
struct Options {
    Config config;
    /// Where `config` was read from, to be read again at SIGHUP; empty when it comes from options.
    std::string config_file;

    LogLevel log_level = LogLevel::info;
    std::string log_file;  ///< empty = standard error
    std::string pid_file;  ///< empty = none
    bool stats = false;    ///< print the counters at exit

    /// Text to print (--help, --version, --check) before leaving with status 0.
    std::optional<std::string> output;
};

/// Reads the command line and, with -c, the config file. Throws ConfigError with one line for
/// whatever is wrong; the caller prints it and leaves with status 1.
Options parse_options(int argc, const char* const* argv);

}  // namespace pasta::control
