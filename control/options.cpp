#include "control/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>

#include "control/forward_check.hpp"
#include "control/value_syntax.hpp"

namespace pasta::control {

namespace {

[[noreturn]] void fail(std::string_view option, std::string_view problem) {
    throw ConfigError(fmt::format("{}: {}", option, problem));
}

class HelpFormatter : public CLI::Formatter {
  public:
    std::string make_usage(const CLI::App*, std::string name) const override {
        return fmt::format(
            "Usage: {0} [OPTIONS] -- COMMAND...        run COMMAND in a new namespace\n"
            "       {0} [OPTIONS] PID                  the namespace of a process\n"
            "       {0} [OPTIONS] --netns PATH|NAME    a bound namespace\n"
            "       {0} [OPTIONS] -c FILE              the namespaces of a config file\n",
            name);
    }
};

/// The options of one invocation. CLI11 splits the command line and calls a setter for each option
/// in the order given, so that of a repeated single value the last one stays.
class CommandLine {
  public:
    CommandLine();
    Options parse(int argc, const char* const* argv);

  private:
    using Setter = std::function<void(const std::string&)>;
    /// Options of the process go with a config file, those that make up a configuration do not.
    enum class Scope { process, config };

    void value(Scope scope, const std::string& names, const std::string& type,
               const std::string& help, Setter set);
    void flag(Scope scope, const std::string& names, const std::string& help,
              std::function<void()> set);
    void address(const std::string& names, const std::string& help, AddressPair& pair,
                 std::string_view keyword, const ValueSyntax<wire::IpAddress>& syntax);

    void add_process_options();
    void add_dataplane_options();
    void add_link_options();
    void add_address_options();
    void add_mapping_options();
    void add_dns_options();
    void add_protocol_options();
    void add_forward_options();

    void parse_arguments(int argc, const char* const* argv);
    void set_target(Target target);
    void read_positionals(const std::vector<std::string>& words);
    void read_addresses();
    LogLevel log_level() const;
    void finish_file();
    void finish_namespace();

    CLI::App app_;
    Options options_;
    NamespaceConfig ns_;
    std::optional<Target> target_;
    std::vector<std::string> addresses_;  ///< as given; the mask for them may come later
    std::optional<uint8_t> netmask_;
    bool no_map_gw_ = false;
    bool quiet_ = false, debug_ = false, check_ = false;
    std::string config_option_;  ///< the first of Scope::config that was given
};

CommandLine::CommandLine()
    : app_{"Connects network namespaces to the host's network over AF_XDP.", "pasta-xdp"} {
    app_.formatter(std::make_shared<HelpFormatter>());
    app_.set_help_flag("-h,--help", "Print this help");
    app_.set_version_flag("--version", "pasta-xdp " PASTA_XDP_VERSION, "Print the version");
    app_.prefix_command();  // the first word that is no option ends the options
    add_process_options();
    add_dataplane_options();
    add_link_options();
    add_address_options();
    add_mapping_options();
    add_dns_options();
    add_protocol_options();
    add_forward_options();
}

void CommandLine::value(Scope scope, const std::string& names, const std::string& type,
                        const std::string& help, Setter set) {
    const std::string name = names.substr(names.find("--"));
    const auto setter = [this, scope, name, set = std::move(set)](const std::string& text) {
        if (scope == Scope::config && config_option_.empty()) config_option_ = name;
        try {
            set(text);
        } catch (const ValueError& error) {
            fail(name, error.what());
        }
    };
    app_.add_option_function<std::string>(names, setter, help)->type_name(type)->trigger_on_parse();
}

void CommandLine::flag(Scope scope, const std::string& names, const std::string& help,
                       std::function<void()> set) {
    const std::string name = names.substr(names.find("--"));
    const auto setter = [this, scope, name, set = std::move(set)] {
        if (scope == Scope::config && config_option_.empty()) config_option_ = name;
        set();
    };
    app_.add_flag_callback(names, setter, help)->disable_flag_override()->trigger_on_parse();
}

void CommandLine::address(const std::string& names, const std::string& help, AddressPair& pair,
                          std::string_view keyword, const ValueSyntax<wire::IpAddress>& syntax) {
    value(Scope::config, names, "ADDRESS", help, [&pair, keyword, &syntax](const auto& text) {
        if (const auto one = value_unless(keyword, syntax, text))
            (one->is_v4() ? pair.v4 : pair.v6) = *one;
        else
            pair = {};
    });
}

void CommandLine::add_process_options() {
    value(Scope::process, "-c,--config", "FILE", "Read the configuration from a YAML file",
          [this](const auto& text) { options_.config_file = path_syntax(text); });
    flag(Scope::process, "--check", "Check and print the effective configuration, then leave",
         [this] { check_ = true; });
    flag(Scope::process, "-d,--debug", "Log more", [this] { debug_ = true; });
    flag(Scope::process, "--trace", "Log every packet (not implemented yet)",
         [] { fail("--trace", "not implemented yet (--debug)"); });
    flag(Scope::process, "-q,--quiet", "Log only warnings and errors", [this] { quiet_ = true; });
    value(Scope::process, "-l,--log-file", "FILE", "Log to a file instead of standard error",
          [this](const auto& text) { options_.log_file = path_syntax(text); });
    value(Scope::process, "-P,--pid", "FILE", "Write the process id to a file",
          [this](const auto& text) { options_.pid_file = path_syntax(text); });
    flag(Scope::process, "--stats", "Print the counters at exit",
         [this] { options_.stats = true; });
    flag(Scope::process, "-f,--foreground", "Stay in the foreground (always the case)", [] {});
}

void CommandLine::add_dataplane_options() {
    DataplaneConfig& dataplane = options_.config.dataplane;
    value(Scope::config, "--workers", "N|CPUS", "Worker threads: auto, a number, or CPUs as 2,3",
          [&](const auto& text) { dataplane.workers = workers_syntax(text); });
    value(Scope::config, "--polling", "MODE", "busy, adaptive (default) or interrupt",
          [&](const auto& text) { dataplane.polling = polling_syntax(text); });
    value(Scope::config, "--umem-mib", "MIB", "Frame memory, default 64",
          [&](const auto& text) { dataplane.umem_mib = umem_mib_syntax(text); });
    value(Scope::config, "--queues", "1|all",
          "Queues of the interface: 1 (default) or one per worker",
          [this](const auto& text) { ns_.queues = queues_syntax(text); });
}

void CommandLine::add_link_options() {
    value(Scope::config, "--netns", "PATH|NAME", "Namespace by path, or by name in /run/netns",
          [this](const auto& text) { target_ = NetnsPath{netns_syntax(text)}; });
    value(Scope::config, "-i,--interface", "NAME", "Template for addresses, routes and DNS",
          [this](const auto& text) {
              options_.config.host.interface = value_unless("auto", interface_syntax, text);
          });
    value(Scope::config, "-I,--ns-ifname", "NAME", "Interface name in the namespace",
          [this](const auto& text) { ns_.interface = interface_syntax(text); });
    value(Scope::config, "-m,--mtu", "BYTES", "MTU, default 65520",
          [this](const auto& text) { ns_.mtu = mtu_syntax(text); });
    value(Scope::config, "-M,--mac-addr", "MAC", "Our MAC address on the link",
          [this](const auto& text) { ns_.mac = mac_syntax(text); });
    value(Scope::config, "--ns-mac-addr", "MAC", "MAC address of the interface in the namespace",
          [this](const auto& text) { ns_.ns_mac = mac_syntax(text); });
    value(Scope::config, "--configure", "HOW", "netlink (default), dhcp or none",
          [this](const auto& text) { ns_.configure = configure_syntax(text); });
    flag(Scope::config, "--config-net", "The same as --configure netlink",
         [this] { ns_.configure = Configure::netlink; });
    flag(Scope::config, "--no-config-net", "The same as --configure dhcp",
         [this] { ns_.configure = Configure::dhcp; });
}

void CommandLine::add_address_options() {
    value(Scope::config, "-a,--address", "ADDRESS[/LENGTH]",
          "Address in the namespace instead of the template's; may be repeated",
          [this](const auto& text) { addresses_.push_back(text); });
    value(Scope::config, "-n,--netmask", "MASK", "Mask of the IPv4 addresses given by --address",
          [this](const auto& text) { netmask_ = netmask_syntax(text); });
    address("-g,--gateway", "Default gateway; once for each family", ns_.gateway, "auto",
            address_syntax);
    address("-o,--outbound", "Source address of host sockets; once for each family", ns_.outbound,
            "auto", address_syntax);
    flag(Scope::config, "-4,--ipv4-only", "No IPv6", [this] { ns_.ipv6 = false; });
    flag(Scope::config, "-6,--ipv6-only", "No IPv4", [this] { ns_.ipv4 = false; });
}

void CommandLine::add_mapping_options() {
    value(Scope::config, "--map-host-loopback", "ADDRESS",
          "Address that reaches the host's loopback, or none; default: the gateway",
          [this](const auto& text) {
              if (text == "gateway") return ns_.map_host_loopback.reset();
              if (!ns_.map_host_loopback || text == "none") ns_.map_host_loopback.emplace();
              if (const auto one = value_unless("none", address_syntax, text))
                  (one->is_v4() ? ns_.map_host_loopback->v4 : ns_.map_host_loopback->v6) = *one;
          });
    flag(Scope::config, "--no-map-gw", "The gateway does not reach the host's loopback",
         [this] { no_map_gw_ = true; });
    address("--map-guest-addr", "Address that reaches the host at its own address, or none",
            ns_.map_guest_addr, "none", address_syntax);
}

void CommandLine::add_dns_options() {
    value(Scope::config, "-D,--dns", "ADDRESS", "Name server to announce, or none; may be repeated",
          [this](const auto& text) {
              if (!ns_.dns || text == "none") ns_.dns.emplace();
              if (const auto one = value_unless("none", address_syntax, text))
                  ns_.dns->push_back(*one);
          });
    value(Scope::config, "-S,--search", "DOMAIN",
          "Search domain to announce, or none; may be repeated", [this](const auto& text) {
              if (!ns_.search || text == "none") ns_.search.emplace();
              if (const auto one = value_unless("none", domain_syntax, text))
                  ns_.search->push_back(*one);
          });
    address("--dns-forward", "Queries to this address reach the host's name server",
            ns_.dns_forward, "none", address_syntax);
    address("--dns-host", "The name server that --dns-forward reaches", ns_.dns_host, "auto",
            server_syntax);
    value(Scope::config, "-H,--hostname", "NAME", "Host name to announce",
          [this](const auto& text) { ns_.hostname = domain_syntax(text); });
    value(Scope::config, "--fqdn", "NAME", "Fully qualified domain name to announce",
          [this](const auto& text) { ns_.fqdn = domain_syntax(text); });
}

void CommandLine::add_protocol_options() {
    for (const Switch& each : switches) {
        if (each.name.starts_with("ip")) continue;  // -4 and -6
        flag(Scope::config, fmt::format("--no-{}", each.name), fmt::format("No {}", each.title),
             [this, &each] { ns_.*each.on = false; });
    }
}

void CommandLine::add_forward_options() {
    for (const ForwardList& list : forward_lists) {
        const std::string help = fmt::format(
            "{}: none, auto (default), all, or a list such as 8080:80,9000-9010; may be repeated",
            list.summary);
        value(Scope::config, list.options, "SPEC", help, [this, &list](const auto& text) {
            add_rule(ns_.forward.*list.rules,
                     {parse_port_spec(text, list.side), fmt::format("{} {}", list.option(), text)});
        });
    }
    value(Scope::config, "-p,--pcap", "FILE", "Capture packets to a file (only none so far)",
          [](const auto& text) {
              if (value_unless("none", path_syntax, text))
                  throw ValueError("not implemented yet (none)");
          });
}

void CommandLine::set_target(Target target) {
    if (target_)
        throw ConfigError(
            "several namespaces (one of -- COMMAND, PID, --netns; more with -c FILE)");
    target_ = std::move(target);
}

/// What CLI11 left over: first the options it does not know, then everything from the first word
/// that is no option (or "--") on.
void CommandLine::read_positionals(const std::vector<std::string>& words) {
    if (words.empty()) return;
    const std::string& first = words.front();
    if (first == "--") {
        if (words.size() == 1) fail("--", "no command follows (a command and its arguments)");
        return set_target(NetnsCommand{{words.begin() + 1, words.end()}});
    }
    if (first.size() > 1 && first.front() == '-')
        throw ConfigError(fmt::format("unrecognized option '{}' (see --help)", first));
    if (first.find_first_not_of("0123456789") != std::string::npos)
        return set_target(NetnsCommand{words});
    if (words.size() > 1)
        throw ConfigError(fmt::format("'{}' after a PID (options come before it)", words[1]));
    try {
        set_target(NetnsPid{pid_syntax(first)});
    } catch (const ValueError& error) {
        fail("PID", error.what());
    }
}

/// The prefix length of an IPv4 address before CIDR: class A, B, C, or the host alone.
uint8_t classful_length(const wire::IpAddress& address) {
    const uint8_t first = address.v4_octets()[0];
    if (first < 128) return 8;
    if (first < 192) return 16;
    return first < 224 ? 24 : 32;
}

void CommandLine::read_addresses() try {
    bool netmask_used = false;
    for (const std::string& text : addresses_) {
        if (text.find('/') != std::string::npos) {
            add_prefix(ns_.addresses, prefix_syntax(text));
            continue;
        }
        const wire::IpAddress address = address_syntax(text);
        uint8_t length = 64;
        if (address.is_v4()) {
            length = netmask_.value_or(classful_length(address));
            netmask_used = true;
        }
        add_prefix(ns_.addresses, {address, length});
    }
    if (netmask_ && !netmask_used)
        fail("--netmask", "no address that it belongs to (an IPv4 --address without /LENGTH)");
} catch (const ValueError& error) {
    fail("--address", error.what());
}

LogLevel CommandLine::log_level() const {
    if (quiet_ && debug_) fail("--quiet", "together with --debug (one of them)");
    if (debug_) return LogLevel::debug;
    // A command's own output shall be all there is to see.
    const bool command = target_ && std::holds_alternative<NetnsCommand>(*target_);
    return quiet_ || command ? LogLevel::warning : LogLevel::info;
}

void CommandLine::finish_file() {
    if (!config_option_.empty())
        fail(config_option_, "together with --config (set it in the file)");
    if (target_) throw ConfigError("a namespace together with --config (name it in the file)");
    options_.config = load_config(options_.config_file);
}

void CommandLine::finish_namespace() {
    if (!target_)
        throw ConfigError("no namespace (-- COMMAND, PID, --netns PATH|NAME, or -c FILE)");
    ns_.target = *target_;
    if (!ns_.ipv4 && !ns_.ipv6) fail("--ipv4-only", "together with --ipv6-only (one of them)");
    if (no_map_gw_ && !ns_.map_host_loopback) ns_.map_host_loopback.emplace();
    read_addresses();
    add_automatic(ns_.forward, ns_.tcp, ns_.udp);
    if (const auto contradiction = complete(ns_)) {
        std::string option{contradiction->key == "addresses" ? "address" : contradiction->key};
        std::ranges::replace(option, '_', '-');
        fail("--" + option, contradiction->text);
    }
    options_.config.namespaces.push_back(ns_);
    check_forwards(options_.config.namespaces);
}

void CommandLine::parse_arguments(int argc, const char* const* argv) {
    try {
        app_.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        options_.output = app_.help();
    } catch (const CLI::CallForVersion& version) {
        options_.output = fmt::format("{}\n", version.what());
    } catch (const CLI::ParseError& error) {
        throw ConfigError(error.what());
    }
}

Options CommandLine::parse(int argc, const char* const* argv) {
    parse_arguments(argc, argv);
    if (options_.output) return options_;
    read_positionals(app_.remaining());
    options_.log_level = log_level();
    if (options_.config_file.empty())
        finish_namespace();
    else
        finish_file();
    if (check_) options_.output = to_yaml(options_.config);
    return options_;
}

}  // namespace

Options parse_options(int argc, const char* const* argv) {
    return CommandLine{}.parse(argc, argv);
}

}  // namespace pasta::control
