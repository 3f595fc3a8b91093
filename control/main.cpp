// pasta-xdp: connects network namespaces to the host's network.

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>

#include "control/daemon.hpp"
#include "control/options.hpp"

namespace {

using pasta::control::LogLevel;
using pasta::control::Options;

void set_up_log(const Options& options) {
    if (options.log_file.empty()) {
        // Journals and terminals know the time; a line begins with what it says.
        spdlog::set_default_logger(spdlog::stderr_logger_mt("pasta-xdp"));
        spdlog::set_pattern("%v");
    } else {
        spdlog::set_default_logger(spdlog::basic_logger_mt("pasta-xdp", options.log_file));
        spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
        spdlog::flush_on(spdlog::level::info);
    }
    switch (options.log_level) {
        case LogLevel::warning:
            spdlog::set_level(spdlog::level::warn);
            break;
        case LogLevel::info:
            spdlog::set_level(spdlog::level::info);
            break;
        case LogLevel::debug:
            spdlog::set_level(spdlog::level::debug);
            break;
    }
}

/// Written when everything is connected, removed at the end.
class PidFile {
  public:
    explicit PidFile(const std::string& path) : path_(path) {
        if (path_.empty()) return;
        std::ofstream file(path_);
        file << getpid() << '\n';
        if (!file.flush()) throw std::runtime_error("cannot write the PID file " + path_);
    }
    ~PidFile() {
        if (!path_.empty()) unlink(path_.c_str());
    }
    PidFile(const PidFile&) = delete;
    PidFile& operator=(const PidFile&) = delete;

  private:
    std::string path_;
};

int serve(const Options& options) {
    set_up_log(options);
    pasta::control::Daemon daemon(options);
    const PidFile pid_file(options.pid_file);
    return daemon.run();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Options options = pasta::control::parse_options(argc, argv);
        if (options.output) {
            std::fputs(options.output->c_str(), stdout);
            return 0;
        }
        return serve(options);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "pasta-xdp: %s\n", e.what());
        return 1;
    }
}
